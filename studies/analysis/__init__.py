"""From the study's rows to figures: pure functions, each with the uncertainty that comes from the choice of tasks."""
