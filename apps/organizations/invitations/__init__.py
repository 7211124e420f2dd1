"""Invitations to organizations and workspaces."""
