"""Through the Kubernetes API to an Airflow: its REST API, and browsers by the gateway."""
