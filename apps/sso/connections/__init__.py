"""Connections to identity providers: create, change, enable, disable, delete."""
