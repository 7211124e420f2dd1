"""What the portal knows of running Deployments: incidents, history, scaling, DAGs."""
