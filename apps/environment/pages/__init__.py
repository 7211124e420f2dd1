"""The pages of a workspace's environment and of a Deployment's, which are alike."""
