"""Asking Deployments how they are, every 30 seconds; `collector` draws the loop."""
