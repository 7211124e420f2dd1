"""SAML and OpenID Connect: what is sent, what is checked, what can fail."""
