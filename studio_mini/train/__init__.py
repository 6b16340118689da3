"""Training of studio-mini, stage by stage."""
