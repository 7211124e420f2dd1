"""Environment objects: rows, their values, what may be written."""
