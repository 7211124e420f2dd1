"""Two-factor authentication: how allauth keeps and asks for it."""
