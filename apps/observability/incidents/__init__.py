"""Incidents: what is wrong with a Deployment, since when, why, and what mends it.

Every 30 seconds `evaluation` reads the stored rows of all Deployments, asks `detectors` what is
wrong now, and lets `hysteresis` decide, by the table in `kinds`, what opens and what closes. No
cluster and no Airflow is asked: what cannot be seen is left as it is.
"""
