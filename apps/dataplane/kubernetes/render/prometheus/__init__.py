"""What a Prometheus of the cluster gets of an Airflow."""
