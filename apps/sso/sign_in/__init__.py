"""Signing in through a connection: admission, tests, bypass links."""
