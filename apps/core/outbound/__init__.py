"""Requests to servers that people name: which addresses are allowed, and how they are asked."""
