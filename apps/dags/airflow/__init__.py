"""Asking one Airflow about its DAGs by its REST API, and reading what it answers."""
