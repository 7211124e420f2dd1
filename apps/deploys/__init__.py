"""Code of Deployments: checked archives, deliveries, rollbacks.

`deliveries.services.deliver` is the entry, whichever way code comes.
"""
