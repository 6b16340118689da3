"""What is measured on held-out people, network by network; ``export.studio_mini.evaluate`` gathers it."""
