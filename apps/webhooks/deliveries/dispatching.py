"""Takes events from the outbox and writes a delivery for each webhook that wants one.

One transaction under an advisory lock: an event is taken with its deliveries or not at all, so that
none is lost and none is there twice.
"""

from collections import defaultdict
from datetime import datetime, timedelta

from django.db import connection, transaction

from apps.webhooks.deliveries.models import WebhookDelivery
from apps.webhooks.events.composing import Composed, compose
from apps.webhooks.events.models import Event
from apps.webhooks.hooks.models import Webhook

GIVE_UP = timedelta(days=3)
MOST_EVENTS = 1000
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('portal.webhooks'))"


def dispatch(*, now: datetime) -> int:
    """Take up to `MOST_EVENTS` events and return how many; 0, too, when another process does it.

    A constant number of statements.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_LOCK)
            row = cursor.fetchone()
        if not row or not row[0]:
            return 0
        events = list(Event.objects.order_by("pk")[:MOST_EVENTS])
        if events:
            _write(list(compose(events)), now)
            Event.objects.filter(pk__in=[one.pk for one in events]).delete()
        return len(events)


def _write(composed: list[Composed], now: datetime) -> None:
    rows: list[WebhookDelivery] = []
    hooks = _hooks({one.organization_id for one in composed})
    told: dict[int, Webhook] = {}
    for one in composed:
        for hook in hooks[one.organization_id]:
            if one.topic in hook.topics and hook.workspace_id in (None, one.workspace_id):
                rows.append(_delivery(hook, one, now))
                told[hook.pk] = hook
    WebhookDelivery.objects.bulk_create(rows, batch_size=1000)
    Webhook.objects.bulk_update(told.values(), ["last_sequence"])


def _hooks(organizations: set[int]) -> dict[int, list[Webhook]]:
    """Lock the webhooks, so that none is switched off or deleted meanwhile."""
    found: dict[int, list[Webhook]] = defaultdict(list)
    rows = Webhook.objects.filter(organization__in=organizations, is_enabled=True)
    for hook in rows.order_by("pk").select_for_update(of=("self",), no_key=True):
        found[hook.organization_id].append(hook)
    return found


def _delivery(hook: Webhook, one: Composed, now: datetime) -> WebhookDelivery:
    hook.last_sequence += 1
    envelope = one.envelope.model_copy(update={"sequence": hook.last_sequence})
    return WebhookDelivery(
        webhook=hook,
        sequence=hook.last_sequence,
        event=envelope.id,
        type=envelope.type,
        body=envelope.model_dump(mode="json"),
        give_up_at=now + GIVE_UP,
        created_at=now,
    )
