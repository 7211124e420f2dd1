"""A job that does nothing: what Celery itself costs."""

from celery import shared_task


@shared_task(name="bench.nothing")
def nothing(number: int) -> None:
    return None
