"""Channels of alerts: list, read, create, change, delete and test. Secrets go in and never out."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from ninja import Path, Query, Router
from pydantic import Field

from apps.alerts.channels import services
from apps.alerts.channels.kinds import ChannelKind
from apps.alerts.channels.models import Channel
from apps.alerts.deliveries.sending import SendFailed
from apps.alerts.deliveries.services import send_test
from apps.alerts.pages.forms.channels import ChannelForm
from apps.alerts.pages.queries import deployments_to_run
from apps.alerts.places import Place
from apps.api.alerts.places import entity_of, managed, managed_place, may_manage, seen
from apps.api.wire.errors import NotOffered, or_404
from apps.api.wire.forms import check, fields_named
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.idempotency import once
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import InOrganization, Listing, Name, Profile, Shape, profile_of
from apps.core.errors import Conflict, Invalid
from apps.core.public_ids import number_of, numbers_of, public_id
from apps.organizations.models import Organization

router = Router(by_alias=True, exclude_none=True, tags=["Alert"])
# How clients call the kinds; the others are kinds of this portal alone.
KINDS = {
    "EMAIL": ChannelKind.EMAIL,
    "SLACK": ChannelKind.SLACK,
    "PAGERDUTY": ChannelKind.PAGERDUTY,
    "OPSGENIE": ChannelKind.OPSGENIE,
    "DAG_TRIGGER": ChannelKind.DAG,
    "SLACK_APP": ChannelKind.SLACK_APP,
    "TEAMS": ChannelKind.TEAMS,
    "WEBHOOK": ChannelKind.WEBHOOK,
}
TYPES = {kind: name for name, kind in KINDS.items()}
FIELDS = {
    "to": "definition.recipients",
    "url": "definition.webhookUrl",
    "deployment": "definition.deploymentId",
    "dag": "definition.dagId",
    "room": "definition.channelId",
    "region": "definition.region",
    "is_shared": "isShared",
}
KEY_FIELDS = {
    ChannelKind.PAGERDUTY: "definition.integrationKey",
    ChannelKind.OPSGENIE: "definition.apiKey",
    ChannelKind.SLACK_APP: "definition.botToken",
    ChannelKind.WEBHOOK: "definition.signingSecret",
}


class AtChannel(InOrganization):
    notification_channel_id: str


class ChannelDefinition(Shape):
    """What a kind needs of these. Secrets are `webhookUrl`, `integrationKey`, `apiKey`, `botToken`
    and `signingSecret`: they are never sent, and kept where a change leaves them out.
    """

    recipients: list[str] | None = None
    webhook_url: str | None = Field(default=None, max_length=2000)
    integration_key: str | None = Field(default=None, max_length=500)
    api_key: str | None = Field(default=None, max_length=500)
    bot_token: str | None = Field(default=None, max_length=500)
    signing_secret: str | None = Field(default=None, max_length=500)
    channel_id: str | None = None
    region: str | None = None
    deployment_id: str | None = None
    dag_id: str | None = None


class ChannelShape(Shape):
    """`definition` has no secrets; `host` is that of a stored address. `lastError` is why messages
    wait, where they do.
    """

    id: str
    name: str
    type: str
    definition: ChannelDefinition
    host: str | None = None
    entity_type: str
    entity_id: str
    entity_name: str
    organization_id: str
    workspace_id: str | None = None
    is_shared: bool
    last_error: str | None = None
    created_at: datetime
    updated_at: datetime
    created_by: Profile
    updated_by: Profile


class ChannelList(Listing):
    notification_channels: list[ChannelShape]


class ChannelQuery(Paging):
    notification_channel_ids: list[str] = []
    workspace_ids: list[str] = []
    channel_types: list[str] = []
    entity_type: str = ""


class ChannelChange(Shape):
    """What is left out stays as it is."""

    name: Name | None = Field(default=None, max_length=80)
    type: str | None = None
    definition: ChannelDefinition = ChannelDefinition()
    is_shared: bool | None = None


class NewChannel(ChannelChange):
    name: Name = Field(max_length=80)
    type: str
    entity_type: str
    entity_id: str


class ChannelTest(Shape):
    """What the receiver answered."""

    answer: str


@router.get(
    "/organizations/{organizationId}/notification-channels",
    auth=in_organization(),
    response=ChannelList,
    operation_id="ListNotificationChannels",
    summary="List the channels of alerts of the places that the caller manages",
)
def list_channels(request: Call, at: Path[InOrganization], asked: Query[ChannelQuery]) -> Any:
    found = _with_places().filter(managed(request))
    if asked.notification_channel_ids:
        found = found.filter(pk__in=numbers_of("channel", asked.notification_channel_ids))
    if asked.workspace_ids:
        found = found.filter(workspace__in=numbers_of("workspace", asked.workspace_ids))
    if asked.channel_types:
        found = found.filter(kind__in=[KINDS.get(one, "") for one in asked.channel_types])
    if asked.entity_type:
        found = found.filter(workspace__isnull=asked.entity_type.upper() != "WORKSPACE")
    page = page_of(found, asked, sorts={"name": "name", "createdAt": "created_at"})
    rows = [channel_shape(one) for one in page.rows]
    return ChannelList(notification_channels=rows, **page.numbers(asked))


@router.post(
    "/organizations/{organizationId}/notification-channels",
    auth=in_organization(),
    response=ChannelShape,
    operation_id="CreateNotificationChannel",
    summary="Create a channel of alerts",
)
@once
def new_channel(request: Call, at: Path[InOrganization], body: NewChannel) -> Any:
    place, deployment = managed_place(request, body.entity_type, body.entity_id)
    if deployment is not None:
        raise NotOffered(
            "A channel belongs to an organization or to a workspace. Name one of them."
        )
    kind = KINDS.get(body.type.upper())
    if kind is None:
        raise Invalid(f"Choose one of {', '.join(KINDS)}.", field="type")
    form = _judged(request, place, kind, None, body)
    with fields_named(_names(kind)):
        made = services.create_channel(
            actor=request.caller.user, place=place, kind=kind, data=form.data_entered()
        )
    return channel_shape(made)


@router.get(
    "/organizations/{organizationId}/notification-channels/{notificationChannelId}",
    auth=in_organization(),
    response=ChannelShape,
    operation_id="GetNotificationChannel",
    summary="Get a channel of alerts",
)
def get_channel(request: Call, at: Path[AtChannel]) -> Any:
    return channel_shape(_found(request, at.notification_channel_id))


@router.post(
    "/organizations/{organizationId}/notification-channels/{notificationChannelId}",
    auth=in_organization(),
    response=ChannelShape,
    operation_id="UpdateNotificationChannel",
    summary="Change a channel of alerts",
)
def change_channel(request: Call, at: Path[AtChannel], body: ChannelChange) -> Any:
    channel = _found(request, at.notification_channel_id)
    if body.type and KINDS.get(body.type.upper()) != channel.kind:
        raise NotOffered("A channel keeps its type. Create another one.")
    form = _judged(request, channel.place, channel.kind, channel, body)
    with fields_named(_names(channel.kind)):
        services.update_channel(
            actor=request.caller.user, channel=channel, data=form.data_entered()
        )
    return channel_shape(channel)


@router.delete(
    "/organizations/{organizationId}/notification-channels/{notificationChannelId}",
    auth=in_organization(),
    response={204: None},
    operation_id="DeleteNotificationChannel",
    summary="Delete a channel of alerts and the log of its messages",
)
def remove_channel(request: Call, at: Path[AtChannel]) -> None:
    channel = _found(request, at.notification_channel_id)
    services.delete_channel(actor=request.caller.user, channel=channel)


@router.post(
    "/organizations/{organizationId}/notification-channels/{notificationChannelId}/test",
    auth=in_organization(),
    response=ChannelTest,
    operation_id="TestNotificationChannel",
    summary="Send a test message and return the answer",
)
def test_channel(request: Call, at: Path[AtChannel]) -> Any:
    """409 with what the receiver said where the message did not reach it."""
    channel = _found(request, at.notification_channel_id)
    try:
        answer = send_test(actor=request.caller.user, channel=channel, now=timezone.now())
    except SendFailed as error:
        raise Conflict(f"The test did not reach {channel.name}. {error.message}") from error
    return ChannelTest(answer=answer)


def channel_shape(channel: Channel) -> ChannelShape:
    """Describe a channel, without its secrets."""
    config = channel.config
    deployment = config.get("deployment")
    return ChannelShape(
        id=public_id("channel", channel.pk),
        name=channel.name,
        type=TYPES[ChannelKind(channel.kind)],
        definition=ChannelDefinition(
            recipients=config.get("to"),
            channel_id=config.get("room"),
            region=config.get("region"),
            deployment_id=public_id("deployment", deployment) if deployment else None,
            dag_id=config.get("dag"),
        ),
        host=config.get("host"),
        is_shared=channel.is_shared,
        last_error=channel.last_error or None,
        created_at=channel.created_at,
        updated_at=channel.created_at,
        created_by=profile_of(channel.created_by),
        updated_by=profile_of(channel.created_by),
        **entity_of(channel),
    )


def _with_places() -> QuerySet[Channel]:
    return Channel.objects.select_related("organization", "workspace__organization", "created_by")


def _found(request: Call, text: str) -> Channel:
    """Find a channel of a place that the caller sees. Raises NotHere and PermissionMissing."""
    found = or_404(_with_places().filter(seen(request), pk=number_of("channel", text)).first())
    may_manage(request, found.place)
    return found


def _judged(
    request: Call, place: Place, kind: str, channel: Channel | None, body: ChannelChange
) -> ChannelForm:
    """Fill the form of the page with what a client sent. Raises FieldsInvalid."""
    if body.is_shared and not isinstance(place, Organization):
        raise NotOffered("Only a channel of an organization is shared; leave isShared out.")
    form = ChannelForm(
        _data(kind, channel, body),
        kind=kind,
        place=place,
        channel=channel,
        deployments=deployments_to_run(place=place, user=request.caller.user),
    )
    check(form, _names(kind))
    return form


def _data(kind: str, channel: Channel | None, body: ChannelChange) -> dict[str, Any]:
    sent, known = body.definition, channel.config if channel else {}
    is_shared = channel.is_shared if channel and body.is_shared is None else body.is_shared
    keys = {
        ChannelKind.PAGERDUTY: sent.integration_key,
        ChannelKind.OPSGENIE: sent.api_key,
        ChannelKind.SLACK_APP: sent.bot_token,
        ChannelKind.WEBHOOK: sent.signing_secret,
    }
    to = known.get("to", []) if sent.recipients is None else sent.recipients
    number = number_of("deployment", sent.deployment_id) if sent.deployment_id else None
    return {
        "name": body.name or (channel.name if channel else ""),
        "to": "\n".join(to),
        "url": sent.webhook_url or "",
        "key": keys.get(ChannelKind(kind)) or "",
        "deployment": number or known.get("deployment"),
        "dag": sent.dag_id or known.get("dag", ""),
        "room": sent.channel_id or known.get("room", ""),
        "region": sent.region or known.get("region", "us"),
        "is_shared": bool(is_shared),
    }


def _names(kind: str) -> dict[str, str]:
    return {**FIELDS, "key": KEY_FIELDS.get(ChannelKind(kind), "")}
