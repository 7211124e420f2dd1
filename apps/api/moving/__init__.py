"""What moves Deployments as a whole."""
