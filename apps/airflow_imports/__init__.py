"""Bring an Airflow from elsewhere: a dump or a running database becomes a Deployment.

services  takes a dump or an address ──▶ AirflowImport, waiting
reading   the job: a worker reads it into an archive ──▶ ready, with what was found, or failed
services  a new Deployment that is restored from the archive, all DAGs paused
unpausing the job that lets those run that ran before, when a person says so
"""
