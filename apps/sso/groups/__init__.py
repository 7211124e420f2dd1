"""Groups of an identity provider and the Teams they become."""
