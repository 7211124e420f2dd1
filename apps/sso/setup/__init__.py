"""Pages on which owners set up connections to identity providers."""
