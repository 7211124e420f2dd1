"""Two-factor authentication: how allauth stores and requires it."""
