"""Signing in through a connection: who is let in, tests, bypass links."""
