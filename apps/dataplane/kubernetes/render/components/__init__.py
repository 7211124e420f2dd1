"""The parts of an Airflow: its processes, workers, broker, database and jobs."""
