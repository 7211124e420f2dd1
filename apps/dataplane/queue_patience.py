"""Settings of Airflow, on every data plane, with which a full queue fails no task."""

# After ten minutes in a queue Airflow takes a task back and queues it again, which also finds one
# that a lost broker has forgotten. By itself it fails a task the third time. The token that a task
# waits with ends when it is taken back: the leeway covers the time until that is noticed.
PATIENCE_WITH_QUEUES = {
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "600",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "20",
    "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "1000000",
    "AIRFLOW__API_AUTH__JWT_LEEWAY": "60",
}
