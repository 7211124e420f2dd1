"""Placeholder while the machines are drawn."""
