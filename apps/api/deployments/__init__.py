"""Deployments: their shape, choices, changes, code and logs."""
