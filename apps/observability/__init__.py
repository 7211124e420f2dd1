"""Component logs (`component_logs`), the watches of Kubernetes clusters (`watching`), and what
Deployments did: asked for (`collecting`), kept (`history`) and shown (`analytics`).
"""
