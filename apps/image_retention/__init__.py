"""Images with packages of projects leave the registry of a cluster when nothing has named their
lock for a week: no revision of a Deployment, no deploy, no preview, no promotion that waits.
"""
