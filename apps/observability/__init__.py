"""Component logs (`component_logs`), the watches of Kubernetes clusters (`watching`), what
Deployments did: asked for (`collecting`), kept (`history`), shown (`analytics`) and given to a
Prometheus (`metrics`), what tells open pages (`live`), what is wrong (`incidents`), and why a task
waits (`why`).
"""
