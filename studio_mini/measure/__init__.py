"""What is measured on held-out people, network by network; ``studio_mini.evaluate`` gathers it."""
