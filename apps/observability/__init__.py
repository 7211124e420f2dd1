"""Component logs (`component_logs`), the watches of Kubernetes clusters (`watching`), what
Deployments did: asked for (`collecting`), kept (`history`) and shown (`analytics`), what is wrong
with them (`incidents`), and why a task waits (`why`).
"""
