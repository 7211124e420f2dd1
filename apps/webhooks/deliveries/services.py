"""Sending on request: a test at once, a delivery again."""

import uuid
from datetime import UTC, datetime

from django.db import transaction

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.alerts.deliveries.sending import SendFailed
from apps.core.errors import Conflict
from apps.webhooks.deliveries.dispatching import GIVE_UP
from apps.webhooks.deliveries.models import WebhookDelivery
from apps.webhooks.deliveries.outbox import note_success
from apps.webhooks.deliveries.sending import send
from apps.webhooks.events.shapes import Envelope, OrganizationOf, TestData, WorkspaceOf
from apps.webhooks.hooks.models import Webhook


def send_test(*, actor: User, webhook: Webhook, now: datetime) -> str:
    """Send `webhook.test` now, wait for the answer and return it. Raises SendFailed.

    It has the number 0 and is not in the log.
    """
    _record("tested", actor, webhook, {"webhook": [None, webhook.name]})
    envelope = _test_of(webhook, actor, now)
    body = envelope.model_dump(mode="json")
    try:
        answer = send(webhook=webhook, body=body, event=envelope.id, now=now)
    except SendFailed as error:
        found = {"last_error": error.message, "failing_since": webhook.failing_since or now}
        Webhook.objects.filter(pk=webhook.pk).update(**found)
        raise
    note_success(webhook, now=now)
    return answer


@transaction.atomic
def resend(*, actor: User, delivery: WebhookDelivery, now: datetime) -> None:
    """Let an event be sent again, as it was, as soon as a sender is free. Raises Conflict when it
    waits already, and no failure holds it up.
    """
    row = WebhookDelivery.objects.select_for_update(of=("self",)).get(pk=delivery.pk)
    webhook = row.webhook
    if row.state == WebhookDelivery.State.WAITING and webhook.next_at is None:
        raise Conflict("This event waits to be sent already.")
    row.state, row.give_up_at, row.done_at = WebhookDelivery.State.WAITING, now + GIVE_UP, None
    row.resent_by = actor
    row.save(update_fields=["state", "give_up_at", "done_at", "resent_by"])
    Webhook.objects.filter(pk=webhook.pk).update(next_at=None)
    _record("resent", actor, webhook, {"event": [None, f"{row.event} ({row.type})"]})


def _test_of(webhook: Webhook, actor: User, now: datetime) -> Envelope:
    workspace = webhook.workspace
    return Envelope(
        id=f"evt_test_{uuid.uuid4().hex}",
        type="webhook.test",
        sequence=0,
        at=now.astimezone(UTC),
        object=f"webhook/{webhook.pk}",
        organization=OrganizationOf(slug=webhook.organization.slug, name=webhook.organization.name),
        workspace=WorkspaceOf(slug=workspace.slug, name=workspace.name) if workspace else None,
        deployment=None,
        data=TestData(message=f"{actor} sent this from Astro Portal. Nothing happened."),
    )


def _record(what: str, actor: User, webhook: Webhook, changes: dict[str, list[object]]) -> None:
    record_on(action=f"webhook.{what}", actor=actor, on=webhook.place, changes=changes)
