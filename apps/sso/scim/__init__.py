"""Provisioning by SCIM 2.0: accounts and Teams that an identity provider manages. `views.endpoint`
is its API.
"""
