"""Code of Deployments: checked archives, deliveries, rollbacks. `services.deliver` is the entry."""
