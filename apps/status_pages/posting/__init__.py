"""Posting reports and their updates: by people, or by the portal itself from health and time."""
