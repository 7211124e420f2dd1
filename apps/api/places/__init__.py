"""Organizations, workspaces and clusters."""
