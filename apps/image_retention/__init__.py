"""Images leave registries when nothing needs them.

`sweeping`: those with packages of projects leave the registry of a cluster when nothing has named
their lock for a week: no revision of a Deployment, no deploy, no preview, no promotion that waits.

`pushed_images`: those that people pushed to the portal's own registry leave it when no revision has
named their digest for the days of a setting.
"""
