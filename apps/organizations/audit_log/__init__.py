"""The audit log of an organization: filter, export, verify."""
