"""Sending on request: a test at once, a message again."""

import uuid
from datetime import datetime

from django.conf import settings
from django.db import transaction

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.alerts.channels.models import Channel
from apps.alerts.deliveries.messages import Message
from apps.alerts.deliveries.models import Delivery, DeliveryState
from apps.alerts.deliveries.outbox import GIVE_UP
from apps.alerts.deliveries.sending import SendFailed, send
from apps.alerts.evaluation.notices import Event
from apps.core.errors import Conflict


def send_test(*, actor: User, channel: Channel, now: datetime) -> str:
    """Send a test message now, wait for the answer and return it. Raises SendFailed.

    A receiver that keeps alerts of its own is told at once that the test is over.
    """
    record_on(
        action="alert_channel.tested",
        actor=actor,
        on=channel.place,
        changes={"channel": [None, channel.name]},
    )
    name = uuid.uuid4().hex
    message = _test_message(channel, actor, now, name, Event.TEST)
    try:
        sent = send(channel=channel, message=message, delivery=f"msg_test_{name}", now=now)
        if channel.needs.tracks:
            over = _test_message(channel, actor, now, name, Event.RESOLVED)
            send(channel=channel, message=over, delivery=f"msg_test_{name}_over", now=now)
    except SendFailed as error:
        _note(channel, now, error=error.message)
        raise
    _note(channel, now, error="")
    return sent.answer


@transaction.atomic
def resend(*, actor: User, delivery: Delivery, now: datetime) -> None:
    """Let a message be sent again, as it was, as soon as a sender is free. Raises Conflict when it
    waits already.
    """
    row = Delivery.objects.select_for_update(of=("self",)).get(pk=delivery.pk)
    if row.state == DeliveryState.WAITING and row.next_at > now:
        raise Conflict("This message waits to be sent already.")
    row.state, row.next_at, row.give_up_at = DeliveryState.WAITING, now, now + GIVE_UP
    row.done_at, row.resent_by = None, actor
    row.save(update_fields=["state", "next_at", "give_up_at", "done_at", "resent_by"])
    channel = delivery.channel
    Channel.objects.filter(pk=channel.pk).update(next_at=None)
    words = str(delivery.message.get("title", ""))[:200]
    changes = {"message": [None, words], "channel": [None, channel.name]}
    record_on(action="alert_message.resent", actor=actor, on=channel.place, changes=changes)


def _test_message(channel: Channel, actor: User, now: datetime, name: str, event: Event) -> Message:
    title = f"Test of the channel {channel.name}"
    return Message(
        event=event,
        severity="info",
        title=f"Resolved: {title}" if event == Event.RESOLVED else title,
        lines=(f"{actor} sent this from Astro Portal. Nothing is wrong.",),
        facts=(("Belongs to", str(channel.place)),),
        url=settings.PORTAL_URL,
        key=f"{settings.PORTAL_URL}/alerts/test/{name}",
        number=1,
        rule="Test",
        deployment="Astro Portal",
        workspace=str(channel.place),
        happened_at=now.isoformat(timespec="seconds"),
    )


def _note(channel: Channel, now: datetime, *, error: str) -> None:
    """Write what a test found on the channel; what waits there is tried again after a good one."""
    found = {"last_error": error, "failing_since": channel.failing_since or now}
    if not error:
        found = {"last_error": "", "failing_since": None, "failures": 0, "next_at": None}
        found |= {"delivered_at": now}
    Channel.objects.filter(pk=channel.pk).update(**found)
