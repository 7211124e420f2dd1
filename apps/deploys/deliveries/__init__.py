"""Deliveries of code: what each is and comes from, whether it is allowed, and what is kept."""
