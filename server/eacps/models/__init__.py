"""Code of Triton's Python models. Imported by their adapters in `model_repository/`, by training and by tests only."""
