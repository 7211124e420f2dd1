"""What can be done to many Deployments: one small class for each, in the list `ACTIONS`."""
