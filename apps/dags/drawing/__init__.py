"""Grids and graphs of tasks, from what Airflow told of them. Pure."""
