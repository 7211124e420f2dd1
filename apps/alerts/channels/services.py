"""Creating, changing and deleting channels. Secrets are sealed, written and never shown."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.db import IntegrityError, transaction

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.alerts.channels.kinds import NEEDS, ChannelKind
from apps.alerts.channels.models import Channel
from apps.alerts.places import Place, fields_of
from apps.core.encryption.crypto import SecretUnreadable
from apps.core.encryption.keys import key_ring
from apps.core.errors import Invalid
from apps.deployments.models import Deployment


@dataclass(frozen=True, kw_only=True)
class ChannelData:
    """What a person enters. An empty `url` or `key` keeps the one that is stored."""

    name: str
    is_shared: bool = False
    to: tuple[str, ...] = ()
    region: str = "us"
    url: str = ""
    key: str = ""
    deployment: Deployment | None = None
    dag: str = ""
    room: str = ""


@transaction.atomic
def create_channel(*, actor: User, place: Place, kind: str, data: ChannelData) -> Channel:
    """Create a channel. Raises Invalid when the name is taken, or a secret is missing."""
    channel = Channel(**fields_of(place), kind=kind, created_by=actor)
    _write(channel, data, actor)
    _record("created", actor, channel, {"channel": [None, f"{channel.name} ({kind})"]})
    return channel


@transaction.atomic
def update_channel(*, actor: User, channel: Channel, data: ChannelData) -> Channel:
    """Change a channel, and try it again at once if it waits. Raises Invalid."""
    before = channel.name, channel.destination, channel.is_shared
    channel.next_at = None
    _write(channel, data, actor)
    if before[2] and not channel.is_shared:
        _withdraw(channel)
    after = channel.name, channel.destination, channel.is_shared
    names = ("name", "destination", "shared")
    changes = {
        name: [str(old), str(new)]
        for name, old, new in zip(names, before, after, strict=True)
        if old != new
    }
    if data.url or data.key:
        changes["secret"] = ["replaced", "replaced"]
    _record("updated", actor, channel, {"channel": [channel.name, channel.name], **changes})
    return channel


@transaction.atomic
def delete_channel(*, actor: User, channel: Channel) -> None:
    """Delete a channel and the log of its messages."""
    _record("deleted", actor, channel, {"channel": [channel.name, None]})
    channel.delete()


def secrets_of(channel: Channel) -> dict[str, str]:
    """Open what is sealed of a channel: `url` and `key`. Raises SecretUnreadable."""
    if not channel.sealed:
        return {}
    text = key_ring().open(sealed=bytes(channel.sealed), identity=channel.identity("sealed"))
    found: dict[str, str] = json.loads(text)
    return found


def _withdraw(channel: Channel) -> None:
    """Take a channel that is not shared any more out of the rules of workspaces."""
    channel.rules.remove(*channel.rules.exclude(workspace=None))
    channel.escalations.exclude(workspace=None).update(escalate_to=None, escalate_minutes=0)


def _write(channel: Channel, data: ChannelData, actor: User) -> None:
    channel.name = data.name
    channel.is_shared = data.is_shared and channel.workspace is None
    _seal(channel, data)
    if channel.kind == ChannelKind.EMAIL:
        channel.config = {"to": list(data.to)}
    elif NEEDS[channel.kind].has_room:
        channel.config = {"room": data.room}
    elif data.deployment is not None:
        channel.config = {
            "deployment": data.deployment.pk,
            "name": data.deployment.name,
            "dag": data.dag,
            "by": actor.pk,
        }
    elif NEEDS[channel.kind].has_url:
        host = urlsplit(data.url).hostname if data.url else channel.config.get("host")
        channel.config = {"host": str(host or "")}
    else:
        channel.config = {"region": data.region}
    try:
        with transaction.atomic():
            channel.save()
    except IntegrityError:
        raise Invalid(f"There is a channel “{data.name}” here already.", field="name") from None


def _seal(channel: Channel, data: ChannelData) -> None:
    needs = NEEDS[channel.kind]
    if not needs.has_url and not needs.key_label:
        return
    known = _known(channel)
    secret = {"url": data.url or known.get("url", ""), "key": data.key or known.get("key", "")}
    if needs.has_url and not secret["url"]:
        raise Invalid("Enter the address.", field="url")
    if needs.key_label and not secret["key"]:
        raise Invalid(f"Enter the {needs.key_label.lower()}.", field="key")
    if secret != known:
        channel.sealed = key_ring().seal(
            value=json.dumps(secret), identity=channel.identity("sealed")
        )


def _known(channel: Channel) -> dict[str, str]:
    try:
        return secrets_of(channel)
    except SecretUnreadable:
        # Its key was lost: whoever edits it enters everything again.
        return {}


def _record(what: str, actor: User, channel: Channel, changes: Mapping[str, Any]) -> None:
    record_on(action=f"alert_channel.{what}", actor=actor, on=channel.place, changes=changes)
