"""API tokens of organizations, workspaces and Deployments."""
