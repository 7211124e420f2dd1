"""How a configuration changes: forms, drafts, services, revisions."""
