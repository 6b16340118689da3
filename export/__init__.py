"""Offline: from a checkpoint to a Triton model repository."""
