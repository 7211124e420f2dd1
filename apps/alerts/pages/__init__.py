"""The pages, for an organization and for a workspace alike."""
