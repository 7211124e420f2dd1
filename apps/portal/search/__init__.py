"""What the palette and the search page find, and the actions they offer."""
