"""Asking Deployments how they are, every 30 seconds; `collector` draws the loop.

The command `collect` is in `apps.alerts`, whose notifier works in the same process.
"""
