"""Metadata databases, and what is read from them."""
