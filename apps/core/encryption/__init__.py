"""Envelope encryption of secrets, and the key ring."""
