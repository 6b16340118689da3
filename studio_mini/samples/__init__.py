"""Edit tasks of held-out people, as files: what the demo searches on."""
