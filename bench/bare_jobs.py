"""Jobs that do nothing, and that only ask the database for something: what Celery itself costs."""

from celery import shared_task
from django.db import connection


@shared_task(name="bench.nothing")
def nothing(number: int) -> None:
    return None


@shared_task(name="bench.one_query")
def one_query(number: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM deployments_deployment WHERE id = %s", [number])
        cursor.fetchone()
