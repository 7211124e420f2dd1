"""One attempt to send an event."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from apps.alerts.deliveries.payloads import signed_request
from apps.alerts.deliveries.sending import SendFailed, post_once
from apps.core.encryption.crypto import SecretUnreadable
from apps.webhooks.hooks.models import Webhook
from apps.webhooks.hooks.secrets import opened, signing_secrets

UNREADABLE = (
    "The portal cannot read the address and the secret any more. Rotate the secret and enter the "
    "address again."
)


def send(*, webhook: Webhook, body: Mapping[str, Any], event: str, now: datetime) -> str:
    """Send an event and return what the receiver answered, in one line. Raises SendFailed.

    `event` names it for the receiver, the same at each attempt.
    """
    try:
        found = opened(webhook)
    except SecretUnreadable:
        raise SendFailed(UNREADABLE) from None
    if not found["url"]:
        raise SendFailed(UNREADABLE)
    keys = signing_secrets(webhook, found, now)
    at = int(now.timestamp())
    request = signed_request(body, url=found["url"], keys=keys, delivery=event, at=at)
    return post_once(request, keys=[found["secret"], found["former"]])
