"""The client of a Kubernetes API: requests, watches, errors, kinds. Nothing here knows Airflow."""
