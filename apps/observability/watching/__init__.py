"""Watches of Kubernetes clusters: a handful of open requests for each, whatever runs there.

They write what they see and wake the reconciler, nothing else. Without them surveys see the same,
a minute later.
"""
