"""The append-only audit log, chained by hashes. `services.record` writes, `verification` checks."""
