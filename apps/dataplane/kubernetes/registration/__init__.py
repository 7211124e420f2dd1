"""What a cluster must have before Deployments run on it."""
