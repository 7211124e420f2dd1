"""Granting and revoking roles, to people and to Teams, and the end of grants."""
