"""The pages of an organization and of a workspace, which are alike."""
