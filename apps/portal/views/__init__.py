"""Pages that span the apps: home, overview, search, setup, health, errors."""
