"""What an Airflow says, on every plane: import errors, and tasks that wait."""
