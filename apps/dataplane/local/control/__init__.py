"""Passes over a Deployment: apply, observe, delete; and the keeper, which scales and heals."""
