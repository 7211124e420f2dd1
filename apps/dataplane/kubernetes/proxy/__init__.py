"""Through the Kubernetes API to an Airflow: calls of its REST API, and the gateway for browsers."""
