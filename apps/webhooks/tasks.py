"""Jobs of this app. Unknown arguments come from a newer portal."""

from datetime import datetime, timedelta
from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from apps.webhooks.deliveries.models import WebhookDelivery

MOST_FORGOTTEN = 50_000


@shared_task(name="apps.webhooks.tasks.sweep_webhooks")
def sweep_webhooks(**_newer: Any) -> None:
    forget_old(now=timezone.now())


def forget_old(*, now: datetime) -> int:
    """Delete deliveries that are over and older than the setting keeps messages, `MOST_FORGOTTEN`
    at most, and return how many.
    """
    old = WebhookDelivery.objects.exclude(state=WebhookDelivery.State.WAITING).filter(
        created_at__lt=now - timedelta(days=settings.ALERT_DAYS)
    )
    ids = list(old.order_by("created_at").values_list("pk", flat=True)[:MOST_FORGOTTEN])
    return WebhookDelivery.objects.filter(pk__in=ids).delete()[0]
