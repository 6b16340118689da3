"""studio-mini: the whole stack in miniature, from a drawn world of faces to a trained checkpoint."""
