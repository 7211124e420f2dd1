"""A branch gets a Deployment of its own, and loses it with the branch, or after some days.

`services` keeps the rule of a repository, `following` is the job that makes and deletes them. Their
code comes by the branch that each follows, as for every Deployment: see `apps.deploys.git`.
"""
