"""Component logs (`component_logs`), and the watches of Kubernetes clusters (`watching`)."""
