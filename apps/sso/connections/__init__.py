"""Connections to identity providers: set up, change, switch, delete."""
