"""The drawn world: faces, looks, scenes, and the words for them."""
