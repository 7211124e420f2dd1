"""Watches of Kubernetes clusters: a handful of open requests for each, whatever runs there.

They record what they see and wake the reconciler, nothing else. Without them surveys see the same,
up to a minute later.
"""
