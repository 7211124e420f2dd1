"""Projects on a cluster: Jobs in the Deployment's namespace that choose packages, build an image
with them, and read DAG files in it. The programs are in `runtime/projects`.

`manifests` says what a Job is, `running` runs one and brings its answer back, `work` has the three
of them, and `errors` the messages about what went wrong.
"""
