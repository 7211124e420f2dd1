"""What Deployments did (usage, objectives with their error budgets), and who is told (webhooks)."""
