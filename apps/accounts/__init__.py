"""People and how they sign in: accounts, sessions, two-factor authentication, outbox. `services`
changes, `queries` reads.
"""
