"""A new Deployment that begins as another one is."""
