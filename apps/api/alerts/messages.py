"""The log of messages to channels, and sending one again."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from ninja import Path, Query, Router

from apps.alerts.channels.models import Channel
from apps.alerts.deliveries.models import Delivery
from apps.alerts.deliveries.services import resend
from apps.alerts.pages.queries import STATES
from apps.api.alerts.places import managed, may_manage, seen
from apps.api.wire.errors import or_404
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.idempotency import once
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import InOrganization, Listing, Shape
from apps.core.errors import Invalid
from apps.core.public_ids import number_of, numbers_of, public_id

router = Router(by_alias=True, exclude_none=True, tags=["Alert"])


class AtMessage(InOrganization):
    message_id: str


class MessageShape(Shape):
    """`status` is WAITING, DELIVERED or FAILED; `error` is what the receiver said last."""

    id: str
    notification_channel_id: str
    notification_channel_name: str
    deployment_id: str | None = None
    alert_number: int | None = None
    event: str
    title: str
    status: str
    attempts: int
    error: str | None = None
    created_at: datetime
    done_at: datetime | None = None
    next_at: datetime | None = None


class MessageList(Listing):
    messages: list[MessageShape]


class MessageQuery(Paging):
    notification_channel_ids: list[str] = []
    status: str = ""


@router.get(
    "/organizations/{organizationId}/alert-messages",
    auth=in_organization(),
    response=MessageList,
    operation_id="ListAlertMessages",
    summary="List messages to channels that the caller manages, the newest first",
)
def list_messages(request: Call, at: Path[InOrganization], asked: Query[MessageQuery]) -> Any:
    mine = Channel.objects.filter(managed(request))
    found = _rows().filter(channel__in=mine.values("pk"))
    if asked.notification_channel_ids:
        found = found.filter(channel__in=numbers_of("channel", asked.notification_channel_ids))
    if asked.status:
        if asked.status.lower() not in STATES:
            known = ", ".join(one.upper() for one in STATES)
            raise Invalid(f"Choose one of {known}.", field="status")
        found = found.filter(state=asked.status.lower())
    page = page_of(found, asked, sorts={"createdAt": "-pk"})
    return MessageList(messages=[_shape(one) for one in page.rows], **page.numbers(asked))


@router.post(
    "/organizations/{organizationId}/alert-messages/{messageId}/resend",
    auth=in_organization(),
    response=MessageShape,
    operation_id="ResendAlertMessage",
    summary="Send a message again, as it was",
)
@once
def send_again(request: Call, at: Path[AtMessage]) -> Any:
    channels = Channel.objects.filter(seen(request)).values("pk")
    number = number_of("message", at.message_id)
    found = or_404(_rows().filter(channel__in=channels, pk=number).first())
    may_manage(request, found.channel.place)
    resend(actor=request.caller.user, delivery=found, now=timezone.now())
    return _shape(_rows().get(pk=found.pk))


def _rows() -> Any:
    above = ("channel__organization", "channel__workspace__organization", "alert")
    return Delivery.objects.select_related(*above)


def _shape(one: Delivery) -> MessageShape:
    alert = one.alert
    is_waiting = one.done_at is None
    return MessageShape(
        id=public_id("message", one.pk),
        notification_channel_id=public_id("channel", one.channel_id),
        notification_channel_name=one.channel.name,
        deployment_id=public_id("deployment", alert.deployment_id) if alert else None,
        alert_number=alert.pk if alert else None,
        event=one.event.upper(),
        title=str(one.message.get("title", "")),
        status=one.state.upper(),
        attempts=one.attempts,
        error=one.error or None,
        created_at=one.created_at,
        done_at=one.done_at,
        next_at=one.next_at if is_waiting else None,
    )
