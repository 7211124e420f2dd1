"""Connections, variables and environment variables that Deployments share. The way of a value:

    pages, apps.api     what a person or a program enters
          ▼
    objects             stored at a workspace or a Deployment: secrets sealed, everything else plain
          ▼
    delivery            what one Deployment gets: its workspace's, overridden, then its own
          ▼
    a data plane        a file, or a Secret that pods mount; `portal_secrets` in Airflow reads it

Connections and Airflow variables restart nothing: the next task reads the file. Environment
variables are part of every process, so a change of one replaces all processes.
"""
