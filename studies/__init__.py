"""Does search pay, and which one? Strategies compared at equal cost on studio-mini; docs/study.md has the account."""
