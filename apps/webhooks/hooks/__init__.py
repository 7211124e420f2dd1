"""Webhooks as rows: where they lead, what they are told, and their sealed secrets."""
