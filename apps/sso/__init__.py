"""Single sign-on and provisioning: connections to identity providers, domains, groups, SCIM. People
enter by `sign_in`, identity providers by `scim`.
"""
