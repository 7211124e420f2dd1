"""People, Teams, roles and API tokens."""
