"""Email domains and their verification by DNS."""
