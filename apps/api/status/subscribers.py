"""Subscribers of a status page. Visitors subscribe themselves; no operation adds one."""

from datetime import datetime
from typing import Any

from django.db.models import Q
from ninja import Path, Query, Router
from pydantic import Field

from apps.api.status.pages import MANAGE, status_page
from apps.api.wire.errors import or_404
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import InOrganization, Listing, Shape
from apps.core.public_ids import number_of, public_id
from apps.status_pages.subscriptions.models import Subscriber, SubscriberKind
from apps.status_pages.subscriptions.services import remove

router = Router(by_alias=True, exclude_none=True, tags=["Status page"])


class AtSubscriber(InOrganization):
    subscriber_id: str


class SubscriberQuery(Paging):
    """`search` is a part of the address, or of the host of a receiver."""

    search: str = Field(default="", max_length=254)
    is_confirmed: bool | None = None


class SubscriberShape(Shape):
    """`kind` is EMAIL, WEBHOOK or SLACK. Of a receiver the host is told alone. Without components,
    all are wanted.
    """

    id: str
    kind: str
    email: str | None = None
    host: str | None = None
    component_ids: list[str]
    created_at: datetime
    confirmed_at: datetime | None = None
    failing_since: datetime | None = None
    last_error: str | None = None


class SubscriberList(Listing):
    subscribers: list[SubscriberShape]


@router.get(
    "/organizations/{organizationId}/status-page/subscribers",
    auth=in_organization(MANAGE),
    response=SubscriberList,
    operation_id="ListStatusSubscribers",
    summary="List subscribers of the status page, the newest first",
)
def list_subscribers(request: Call, at: Path[InOrganization], asked: Query[SubscriberQuery]) -> Any:
    found = status_page(request).subscribers.select_related("receiver")
    found = found.prefetch_related("components")
    if asked.search:
        is_like = Q(email__icontains=asked.search) | Q(receiver__host__icontains=asked.search)
        found = found.filter(is_like)
    if asked.is_confirmed is not None:
        found = found.filter(confirmed_at__isnull=not asked.is_confirmed)
    page = page_of(found, asked, sorts={"createdAt": "-created_at"})
    return SubscriberList(subscribers=[_shape(one) for one in page.rows], **page.numbers(asked))


@router.delete(
    "/organizations/{organizationId}/status-page/subscribers/{subscriberId}",
    auth=in_organization(MANAGE),
    response={204: None},
    operation_id="RemoveStatusSubscriber",
    summary="End the subscription of a subscriber",
)
def remove_subscriber(request: Call, at: Path[AtSubscriber]) -> None:
    rows = Subscriber.objects.select_related("page__organization", "receiver")
    mine = rows.filter(page=status_page(request))
    found = or_404(mine.filter(pk=number_of("subscriber", at.subscriber_id)).first())
    remove(actor=request.caller.user, subscriber=found)


def _shape(subscriber: Subscriber) -> SubscriberShape:
    is_mail = subscriber.kind == SubscriberKind.EMAIL
    receiver = None if is_mail else subscriber.receiver
    return SubscriberShape(
        id=public_id("subscriber", subscriber.pk),
        kind=subscriber.kind.upper(),
        email=subscriber.email or None,
        host=receiver.host if receiver else None,
        component_ids=[one.key for one in subscriber.components.all()],
        created_at=subscriber.created_at,
        confirmed_at=subscriber.confirmed_at,
        failing_since=receiver.failing_since if receiver else None,
        last_error=(receiver.last_error or None) if receiver else None,
    )
