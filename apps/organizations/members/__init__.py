"""People of organizations and workspaces, their accounts and the expiry of their roles."""
