"""Component logs (`component_logs`), the watches of Kubernetes clusters (`watching`), and
`incidents`.
"""
