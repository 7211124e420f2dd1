"""Secret values of Deployments: sealing, and turning keys."""
