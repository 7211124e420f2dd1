"""Creating, changing and deleting webhooks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.db import IntegrityError, transaction

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.alerts.places import Place, fields_of
from apps.core.encryption.crypto import SecretUnreadable
from apps.core.errors import Conflict, Invalid
from apps.webhooks.hooks.models import Webhook
from apps.webhooks.hooks.secrets import new_secret, opened, seal

# How long the secret before the present one signs, too.
ROTATION = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class WebhookData:
    """What a person enters. An empty `url` keeps the one that is stored."""

    name: str
    topics: tuple[str, ...]
    url: str = ""
    is_enabled: bool = True


@transaction.atomic
def create_webhook(*, actor: User, place: Place, data: WebhookData) -> tuple[Webhook, str]:
    """Create a webhook and return it with its signing secret, which is not shown again. Raises
    Invalid when the name is taken or the address is missing.
    """
    if not data.url:
        raise Invalid("Enter the address.", field="url")
    webhook = Webhook(**fields_of(place), created_by=actor)
    secret = new_secret()
    seal(webhook, url=data.url, secret=secret)
    _write(webhook, data)
    said = {"topics": [None, ", ".join(webhook.topics)], "host": [None, webhook.host]}
    _record("created", actor, webhook, {"webhook": [None, webhook.name], **said})
    return webhook, secret


@transaction.atomic
def update_webhook(*, actor: User, webhook: Webhook, data: WebhookData) -> None:
    """Change a webhook, and try it again at once if it waits. Raises Invalid."""
    before = _shown(webhook)
    if data.url:
        known = _known(webhook)
        if not known.get("secret"):
            raise Invalid("Its secret cannot be read any more. Rotate the secret first.")
        seal(webhook, url=data.url, secret=known["secret"], former=known["former"])
    webhook.next_at = None
    _write(webhook, data)
    after = _shown(webhook)
    changes: dict[str, Any] = {
        name: [before[name], after[name]] for name in before if before[name] != after[name]
    }
    if data.url:
        changes["address"] = ["replaced", "replaced"]
    _record("updated", actor, webhook, {"webhook": [webhook.name, webhook.name], **changes})


@transaction.atomic
def rotate_secret(*, actor: User, webhook: Webhook, now: datetime) -> str:
    """Make a new signing secret and return it; the one before signs, too, for `ROTATION`.

    Raises Conflict while an earlier rotation lasts: three secrets would be needed.
    """
    webhook = Webhook.objects.select_for_update(of=("self",)).get(pk=webhook.pk)
    if webhook.has_former_secret(now):
        raise Conflict("The secret before still signs, too. End it first.")
    known, secret = _known(webhook), new_secret()
    seal(webhook, url=known.get("url", ""), secret=secret, former=known.get("secret", ""))
    webhook.former_until = now + ROTATION
    webhook.save(update_fields=["sealed", "former_until"])
    _record("secret_rotated", actor, webhook, {"webhook": [webhook.name, webhook.name]})
    return secret


@transaction.atomic
def end_former_secret(*, actor: User, webhook: Webhook) -> None:
    """Let the present secret alone sign from now on. Raises Conflict when it does already."""
    webhook = Webhook.objects.select_for_update(of=("self",)).get(pk=webhook.pk)
    if webhook.former_until is None:
        raise Conflict("Only the present secret signs already.")
    known = _known(webhook)
    seal(webhook, url=known.get("url", ""), secret=known.get("secret", ""))
    webhook.former_until = None
    webhook.save(update_fields=["sealed", "former_until"])
    _record("former_secret_ended", actor, webhook, {"webhook": [webhook.name, webhook.name]})


@transaction.atomic
def delete_webhook(*, actor: User, webhook: Webhook) -> None:
    """Delete a webhook and the log of its deliveries."""
    _record("deleted", actor, webhook, {"webhook": [webhook.name, None]})
    webhook.delete()


def _write(webhook: Webhook, data: WebhookData) -> None:
    webhook.name, webhook.topics = data.name, sorted(data.topics)
    webhook.is_enabled = data.is_enabled
    if data.url:
        webhook.host = str(urlsplit(data.url).hostname)
    try:
        with transaction.atomic():
            webhook.save()
    except IntegrityError:
        raise Invalid(f"There is a webhook “{data.name}” here already.", field="name") from None


def _shown(webhook: Webhook) -> dict[str, Any]:
    return {
        "name": webhook.name,
        "host": webhook.host,
        "topics": ", ".join(webhook.topics),
        "enabled": webhook.is_enabled,
    }


def _known(webhook: Webhook) -> dict[str, str]:
    try:
        return opened(webhook)
    except SecretUnreadable:
        # Its key was lost: the address is entered and the secret made again.
        return {}


def _record(what: str, actor: User, webhook: Webhook, changes: Mapping[str, Any]) -> None:
    record_on(action=f"webhook.{what}", actor=actor, on=webhook.place, changes=changes)
