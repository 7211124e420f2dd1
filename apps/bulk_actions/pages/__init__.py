"""The pages of a workspace and of an organization, which are alike."""
