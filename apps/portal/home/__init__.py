"""What Home and the overview of an organization show."""
