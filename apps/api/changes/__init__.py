"""What was changed in a Deployment, and what came of it: revisions, operations, drift."""
