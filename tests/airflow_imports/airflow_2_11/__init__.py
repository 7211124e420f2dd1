"""Dumps of the metadata database of a real Airflow 2.11, made by `make`."""
