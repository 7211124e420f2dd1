"""How a revision becomes true: leases, passes, results, surveys."""
