"""Hints to the workers, by name: who sends them does not import what they do."""

from celery import current_app

from apps.deployments.tasks import send

READ = "apps.airflow_imports.tasks.read_import"
SEND = "apps.airflow_imports.tasks.send_import"
UNPAUSE = "apps.airflow_imports.tasks.unpause_dags"
QUEUE = "background"


def request_read(import_id: str) -> None:
    """Let a worker read an import soon. Without a broker the sweeper finds the row."""
    send([(current_app.signature(READ), [import_id], QUEUE)])


def request_send(import_id: str) -> None:
    """Let a worker put an import into its bucket soon. Without a broker the sweeper finds it."""
    send([(current_app.signature(SEND), [import_id], QUEUE)])


def request_unpause(import_id: str) -> None:
    """Let a worker unpause DAGs soon. Without a broker the sweeper finds the row."""
    send([(current_app.signature(UNPAUSE), [import_id], QUEUE)])
