"""Sessions of people: limits, list, end."""
