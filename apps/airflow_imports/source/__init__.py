"""What a person gives with an import: secrets, and options."""
