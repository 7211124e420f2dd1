"""The one way to a Kubernetes API: requests, watches, errors, kinds. Nothing here knows Airflow."""
