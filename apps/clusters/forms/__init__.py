"""Forms of clusters: how to reach one, and its settings."""
