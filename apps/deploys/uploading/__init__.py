"""Uploads by people: the form, and how a file reaches the disk."""
