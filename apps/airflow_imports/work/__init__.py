"""What jobs do without a person: reading, unpausing, removing."""
