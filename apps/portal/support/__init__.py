"""Help: whom to ask, and diagnostics that can be sent on."""
