"""Settings in layers: portal, organization, cluster, workspace, Deployment.

    catalogue    which settings there are, what each takes, and where it may be set
    kinds        what a text must be like, and the value that a data plane gets
    models       what each layer but the last says; a Deployment says it in its revisions
    resolving    which layer holds for a Deployment, and who locked it
    queries      the layers above a Deployment

The layer nearest to the Deployment holds, unless one above it is locked.
"""
