"""Git: repositories of workspaces, what Deployments take from them, and branches."""
