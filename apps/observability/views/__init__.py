"""Pages of component logs."""
