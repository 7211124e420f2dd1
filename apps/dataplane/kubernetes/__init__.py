"""The data plane on Kubernetes clusters. `plane.KubernetesPlane` is the entry, `config` what it
must know of a cluster.
"""
