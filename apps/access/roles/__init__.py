"""Permissions, and the built-in roles made of them."""
