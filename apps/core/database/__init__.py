"""The database backend of the portal: Django's own for PostgreSQL, with an end to waiting."""
