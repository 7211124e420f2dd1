"""What people choose about a Deployment, as pure values: shape, limits, differences, merging."""
