"""The states of components, found in stored rows, and how long each lasted on each day."""
