"""What visitors reach: a page where the fast path does not serve it, and their subscriptions."""
