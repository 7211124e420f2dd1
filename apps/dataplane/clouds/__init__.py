"""Clusters of AWS, Azure and Google: short-lived tokens for their APIs, and where they are.

`identities` says as whom the portal comes, `aws`, `azure` and `google` talk to the vendors,
`tokens` keeps one token per identity and process and renews it before it ends. No program is run.
"""
