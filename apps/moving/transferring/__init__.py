"""A Deployment goes to another workspace of its organization. What runs is not touched; who may do
what, and what the workspace gives its Deployments, is that of the new one from then on.
"""
