"""Load on a search server: who comes when, what they do, what they saw, and what it cost."""
