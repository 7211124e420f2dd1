"""Changing a layer above Deployments: which of them it reaches, then a few at a time."""
