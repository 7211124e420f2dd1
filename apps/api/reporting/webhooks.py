"""Webhooks of an organization, and those of its workspaces: an operation asks for the permission on
the place that a webhook belongs to.
"""

from datetime import datetime
from typing import Any

from django.utils import timezone
from ninja import Path, Query, Router
from pydantic import Field

from apps.access.scoped import require
from apps.alerts.channels.addresses import checked_address
from apps.alerts.places import Place
from apps.api.wire.errors import or_404
from apps.api.wire.finding import place_of
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.idempotency import once_with_secret
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import InOrganization, Listing, Name, Shape
from apps.core.public_ids import number_of, public_id
from apps.organizations.models import Organization, Workspace
from apps.webhooks.events.topics import Topic
from apps.webhooks.hooks import services
from apps.webhooks.hooks.models import Webhook
from apps.webhooks.hooks.queries import webhooks_of
from apps.webhooks.hooks.services import WebhookData

router = Router(by_alias=True, exclude_none=True, tags=["Webhook"])
MANAGE: dict[type[Any], str] = {
    Organization: "organization.webhooks.manage",
    Workspace: "workspace.webhooks.manage",
}


class AtWebhook(InOrganization):
    webhook_id: str


class WebhookQuery(Paging):
    """Without `workspace_id` those of the organization itself."""

    workspace_id: str = ""


class WebhookBody(Shape):
    """What a client sends to create or change a webhook. An empty `url` keeps the stored one."""

    name: Name = Field(max_length=80)
    url: str = Field(default="", max_length=2000)
    topics: list[Topic] = Field(min_length=1)
    is_enabled: bool = True


class NewWebhookBody(WebhookBody):
    workspace_id: str = ""


class WebhookShape(Shape):
    """The address is never told: `host` is the part of it that is no secret."""

    id: str
    workspace_id: str | None = None
    name: str
    host: str
    topics: list[str]
    is_enabled: bool
    created_at: datetime
    failing_since: datetime | None = None
    last_error: str | None = None
    delivered_at: datetime | None = None


class SecretShape(WebhookShape):
    """With the secret that signs, which is told this once."""

    secret: str


class WebhookList(Listing):
    webhooks: list[WebhookShape]


@router.get(
    "/organizations/{organizationId}/webhooks",
    auth=in_organization(),
    response=WebhookList,
    operation_id="ListWebhooks",
    summary="List webhooks of an organization, or of a workspace",
)
def list_webhooks(request: Call, at: Path[InOrganization], asked: Query[WebhookQuery]) -> Any:
    found = webhooks_of(_place(request, asked.workspace_id))
    page = page_of(found, asked, sorts={"name": "name", "createdAt": "created_at"})
    shapes = [WebhookShape(**_fields(one)) for one in page.rows]
    return WebhookList(webhooks=shapes, **page.numbers(asked))


@router.post(
    "/organizations/{organizationId}/webhooks",
    auth=in_organization(),
    response=SecretShape,
    operation_id="CreateWebhook",
    summary="Create a webhook",
)
@once_with_secret
def new_webhook(request: Call, at: Path[InOrganization], body: NewWebhookBody) -> Any:
    place = _place(request, body.workspace_id)
    made, secret = services.create_webhook(
        actor=request.caller.user, place=place, data=_entered(body)
    )
    return SecretShape(secret=secret, **_fields(made))


@router.post(
    "/organizations/{organizationId}/webhooks/{webhookId}",
    auth=in_organization(),
    response=WebhookShape,
    operation_id="UpdateWebhook",
    summary="Change a webhook",
)
def change_webhook(request: Call, at: Path[AtWebhook], body: WebhookBody) -> Any:
    webhook = _found(request, at.webhook_id)
    services.update_webhook(actor=request.caller.user, webhook=webhook, data=_entered(body))
    return WebhookShape(**_fields(webhook))


@router.post(
    "/organizations/{organizationId}/webhooks/{webhookId}/rotate",
    auth=in_organization(),
    response=SecretShape,
    operation_id="RotateWebhookSecret",
    summary="Make a new secret; the one before signs, too, for a day",
)
@once_with_secret
def rotate_webhook(request: Call, at: Path[AtWebhook]) -> Any:
    webhook = _found(request, at.webhook_id)
    secret = services.rotate_secret(actor=request.caller.user, webhook=webhook, now=timezone.now())
    return SecretShape(secret=secret, **_fields(webhook))


@router.delete(
    "/organizations/{organizationId}/webhooks/{webhookId}",
    auth=in_organization(),
    response={204: None},
    operation_id="DeleteWebhook",
    summary="Delete a webhook and the log of its deliveries",
)
def remove_webhook(request: Call, at: Path[AtWebhook]) -> None:
    webhook = _found(request, at.webhook_id)
    services.delete_webhook(actor=request.caller.user, webhook=webhook)


def _place(request: Call, workspace_id: str) -> Place:
    """Return where webhooks are asked for, after the permission on it."""
    place: Place = place_of(request, workspace_id)
    require(user=request.caller.user, permission=MANAGE[type(place)], on=place)
    return place


def _found(request: Call, webhook_id: str) -> Webhook:
    rows = Webhook.objects.filter(organization=request.organization)
    webhook = or_404(rows.filter(pk=number_of("webhook", webhook_id)).first())
    _place(request, public_id("workspace", webhook.workspace_id) if webhook.workspace_id else "")
    return webhook


def _entered(body: WebhookBody) -> WebhookData:
    return WebhookData(
        name=body.name,
        url=checked_address(body.url) if body.url else "",
        topics=tuple(topic.value for topic in body.topics),
        is_enabled=body.is_enabled,
    )


def _fields(webhook: Webhook) -> dict[str, Any]:
    inside = webhook.workspace_id
    return {
        "id": public_id("webhook", webhook.pk),
        "workspace_id": public_id("workspace", inside) if inside else None,
        "name": webhook.name,
        "host": webhook.host,
        "topics": list(webhook.topics),
        "is_enabled": webhook.is_enabled,
        "created_at": webhook.created_at,
        "failing_since": webhook.failing_since,
        "last_error": webhook.last_error or None,
        "delivered_at": webhook.delivered_at,
    }
