"""Secret values of Deployments: sealing them, and rotating the encryption key."""
