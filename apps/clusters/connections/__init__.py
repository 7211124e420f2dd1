"""The connection to a cluster: credentials, kubeconfig, probes, and the data plane of a row."""
