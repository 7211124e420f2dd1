"""Backups of metadata databases: archives of pg_dump, written and restored beside a running
Airflow.
"""
