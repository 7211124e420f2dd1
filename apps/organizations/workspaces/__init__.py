"""Workspaces and the settings of organizations."""
