"""Addresses that visitors enter: whether they can be a receiver's, and how they are kept.

Anyone may enter one. So a webhook leads to public servers alone, unless the operator allows more,
Slack to the host of its incoming webhooks, and whoever entered an address never sees what came of
it.
"""

import base64
import json
import re
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.utils.crypto import salted_hmac

from apps.core.encryption.keys import key_ring
from apps.core.errors import Invalid
from apps.core.outbound.guarded_http import Reach, parts_of_address
from apps.status_pages.subscriptions.models import Receiver, SubscriberKind

SLACK_HOSTS = frozenset({"hooks.slack.com", "hooks.slack-gov.com"})
SLACK_PATH = re.compile(r"/(services|triggers|workflows)/[A-Za-z0-9_/-]{1,200}")
NOT_SLACK = "Enter an incoming webhook of Slack, such as https://hooks.slack.com/services/T0/B0/x."
NOT_PLAIN = "Enter an address that begins with https://, such as https://status.example.org/in."
PREFIX, KEY_BYTES = "whsec_", 32


@dataclass(frozen=True, kw_only=True)
class Address:
    """An address that can be a receiver's. `digest` is the same for the same one."""

    kind: str
    url: str
    host: str

    @property
    def digest(self) -> str:
        return salted_hmac("status-pages.receiver", self.url, algorithm="sha256").hexdigest()


def address_of(*, kind: str, url: str) -> Address:
    """Read what a visitor entered. Raises Invalid: it is no address that a kind can have."""
    parts = parts_of_address(url, allows_http=settings.ALERTS_ALLOW_HTTP)
    if parts is None or parts.hostname is None:
        raise Invalid(NOT_SLACK if kind == SubscriberKind.SLACK else NOT_PLAIN, field="url")
    if parts.username is not None or parts.password is not None:
        raise Invalid("Leave the user and the password out of the address.", field="url")
    if kind == SubscriberKind.SLACK and not _is_slack(url):
        raise Invalid(NOT_SLACK, field="url")
    plain = urlunsplit((parts.scheme, parts.netloc.lower(), parts.path or "/", parts.query, ""))
    return Address(kind=kind, url=plain, host=parts.hostname)


def _is_slack(url: str) -> bool:
    parts = urlsplit(url)
    is_plain = not parts.query and not parts.fragment and parts.port in (None, 443)
    return is_plain and parts.hostname in SLACK_HOSTS and bool(SLACK_PATH.fullmatch(parts.path))


def reach_of_visitors() -> Reach:
    """Return what an address that anyone may enter can lead to."""
    return Reach(
        networks=settings.STATUS_NETWORKS,
        setting="PORTAL_STATUS_NETWORKS",
        allows_http=settings.ALERTS_ALLOW_HTTP,
        is_public_only=True,
    )


def seal(receiver: Receiver, address: Address) -> None:
    """Put an address on a receiver, not saved, and a new signing secret if it is a webhook's."""
    secret = ""
    if address.kind == SubscriberKind.WEBHOOK:
        secret = PREFIX + base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    value = json.dumps({"url": address.url, "secret": secret})
    receiver.sealed = key_ring().seal(value=value, identity=receiver.identity("sealed"))


def opened(receiver: Receiver) -> dict[str, str]:
    """Open `url` and `secret`. Raises SecretUnreadable."""
    text = key_ring().open(sealed=bytes(receiver.sealed), identity=receiver.identity("sealed"))
    found: dict[str, str] = json.loads(text)
    return found
