"""What reaches the Airflow of one Deployment."""
