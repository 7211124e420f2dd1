"""What a page consists of: its settings, and the components that people name."""
