"""The receiver of the measurements of an organization. Its secret never comes out."""

from datetime import datetime
from typing import Any

from ninja import Path, Router

from apps.api.wire.errors import or_404
from apps.api.wire.forms import check
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.shapes import InOrganization, Shape
from apps.observability.remote_write.forms import ReceiverForm
from apps.observability.remote_write.models import Receiver
from apps.observability.remote_write.services import remove_receiver, save_receiver
from apps.observability.remote_write.views import EDIT

router = Router(by_alias=True, exclude_none=True, tags=["Analytics"])


class ReceiverShape(Shape):
    """`lastError` is why nothing arrives, where it does not."""

    host: str
    user: str
    last_error: str | None = None
    failing_since: datetime | None = None


class ReceiverChange(Shape):
    """An empty `url` or `secret` keeps the stored one, for the same host and user. Without a `user`
    the secret is sent as a bearer token.
    """

    url: str = ""
    user: str = ""
    secret: str = ""


@router.get(
    "/organizations/{organizationId}/remote-write",
    auth=in_organization(EDIT),
    response=ReceiverShape,
    operation_id="GetRemoteWrite",
    summary="Get where measurements are sent",
)
def get_receiver(request: Call, at: Path[InOrganization]) -> Any:
    """404 where they are sent nowhere."""
    return _shape(_found(request))


@router.post(
    "/organizations/{organizationId}/remote-write",
    auth=in_organization(EDIT),
    response=ReceiverShape,
    operation_id="SetRemoteWrite",
    summary="Send measurements to a receiver of your own",
)
def set_receiver(request: Call, at: Path[InOrganization], body: ReceiverChange) -> Any:
    known = Receiver.objects.filter(pk=request.organization.pk).first()
    form = ReceiverForm(body.model_dump(), receiver=known)
    check(form, {})
    saved = save_receiver(
        actor=request.caller.user, organization=request.organization, entered=form.access()
    )
    return _shape(saved)


@router.delete(
    "/organizations/{organizationId}/remote-write",
    auth=in_organization(EDIT),
    response={204: None},
    operation_id="RemoveRemoteWrite",
    summary="Send measurements no more",
)
def remove(request: Call, at: Path[InOrganization]) -> None:
    remove_receiver(actor=request.caller.user, receiver=_found(request))


def _found(request: Call) -> Receiver:
    found = Receiver.objects.filter(pk=request.organization.pk).select_related("organization")
    return or_404(found.first())


def _shape(receiver: Receiver) -> ReceiverShape:
    return ReceiverShape(
        host=receiver.host,
        user=receiver.user,
        last_error=receiver.last_error or None,
        failing_since=receiver.failing_since,
    )
