"""Permissions, roles and grants. `scoped` is the gate of every tenant view, `grants.services`
changes grants, `queries` checks permissions and filters lists.
"""
