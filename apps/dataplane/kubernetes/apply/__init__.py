"""Making it true: one pass of apply or delete, what it remembers, what it prunes."""
