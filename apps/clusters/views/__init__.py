"""Pages of clusters: list and overview, settings, registration and credentials."""
