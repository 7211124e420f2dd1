"""The objects of a namespace: which are ours, how they are, and who changed them."""
