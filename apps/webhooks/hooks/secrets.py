"""The sealed part of a webhook: its address and its signing secrets."""

import base64
import json
import secrets
from datetime import datetime

from apps.core.encryption.keys import key_ring
from apps.webhooks.hooks.models import Webhook

PREFIX, KEY_BYTES = "whsec_", 32


def new_secret() -> str:
    """Make a signing secret, in the notation of Standard Webhooks."""
    return PREFIX + base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def seal(webhook: Webhook, *, url: str, secret: str, former: str = "") -> None:
    """Put an address and secrets on a webhook, not saved."""
    value = json.dumps({"url": url, "secret": secret, "former": former})
    webhook.sealed = key_ring().seal(value=value, identity=webhook.identity("sealed"))


def opened(webhook: Webhook) -> dict[str, str]:
    """Open `url`, `secret` and `former`. Raises SecretUnreadable."""
    text = key_ring().open(sealed=bytes(webhook.sealed), identity=webhook.identity("sealed"))
    found: dict[str, str] = json.loads(text)
    return found


def signing_secrets(webhook: Webhook, found: dict[str, str], now: datetime) -> list[str]:
    """Return the secrets that sign now, the newest first: two while they are rotated."""
    former = found["former"] if webhook.has_former_secret(now) else ""
    return [one for one in (found["secret"], former) if one]
