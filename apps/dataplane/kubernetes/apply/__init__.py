"""One pass of apply or delete: what is applied, recorded, pruned and awaited."""
