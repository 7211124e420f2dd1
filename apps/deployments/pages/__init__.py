"""The pages of Deployments: list, overview, configure and review, revisions, operations, access."""
