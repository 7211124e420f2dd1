"""Sending one message to one channel, once. What goes wrong is a `SendFailed` with a sentence."""

import json
import smtplib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage

from apps.alerts.channels.kinds import ChannelKind
from apps.alerts.channels.models import Channel
from apps.alerts.channels.services import secrets_of
from apps.alerts.deliveries import dag_runs, payloads
from apps.alerts.deliveries.messages import Message
from apps.alerts.deliveries.payloads import Request
from apps.core.encryption.crypto import SecretUnreadable
from apps.core.errors import PortalError
from apps.core.outbound.guarded_http import Answer, ExchangeFailed, Guard, Reach, post
from apps.dataplane.untrusted import masked, masks, text_of

SECONDS, MOST_BYTES, LONGEST_ERROR = 12.0, 4096, 300
# Slack repeats the message in its answer.
MOST_SLACK_BYTES = 256 * 1024
SHORTEST_SECRET = 8
# The message itself is what these refuse; another one may go through.
REFUSED = frozenset({400, 413, 422})
UNREADABLE = "The portal cannot read the secret of this channel any more. Enter it again."
MAIL_REFUSED = "The mail server refused the message."
MAIL_SILENT = "The mail server does not answer, or cut the connection."


class SendFailed(PortalError):
    """A message did not arrive. `is_final` says that trying it again is of no use, `again_in` are
    the seconds that the receiver asked for, None if it did not, `status` is that of its answer, 0
    without one.
    """

    def __init__(
        self,
        message: str,
        *,
        is_final: bool = False,
        again_in: float | None = None,
        status: int = 0,
    ) -> None:
        super().__init__(message[:LONGEST_ERROR])
        self.is_final = is_final
        self.again_in = again_in
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What the receiver answered, in one line, and how it names the message, if it says."""

    answer: str
    receipt: str = ""


def send(
    *, channel: Channel, message: Message, delivery: str, now: datetime, thread: str = ""
) -> Sent:
    """Send a message.

    `delivery` names it for the receiver, the same at each attempt; `thread` is the receipt of the
    first message of its alert. Raises SendFailed.
    """
    if channel.kind == ChannelKind.EMAIL:
        return Sent(answer=_mail(channel, message))
    if channel.kind == ChannelKind.DAG:
        return Sent(answer=_trigger(channel, message, delivery))
    if channel.kind == ChannelKind.SLACK_APP:
        return _to_slack(channel, message, thread)
    try:
        request = request_of(channel=channel, message=message, delivery=delivery, now=now)
    except SecretUnreadable:
        raise SendFailed(UNREADABLE) from None
    return Sent(answer=post_once(request, keys=[secrets_of(channel).get("key", "")]))


def post_once(request: Request, *, keys: Iterable[str]) -> str:
    """Send a request to a receiver that people named and return its answer, in one line, without
    the address and the `keys`, should it repeat them. Raises SendFailed.
    """
    return judge(exchange(request), secrets_in(request, keys))


def exchange(
    request: Request, *, most_bytes: int = MOST_BYTES, reach: Reach | None = None
) -> Answer:
    """Send a request and return the answer, whatever it is. Without a `reach`, to whatever people
    of the portal may name. Raises SendFailed when none comes.
    """
    reach = reach or Reach(
        networks=settings.ALERT_NETWORKS,
        setting="PORTAL_ALERT_NETWORKS",
        allows_http=settings.ALERTS_ALLOW_HTTP,
    )
    guard = Guard(reach=reach, seconds=SECONDS, most_bytes=most_bytes)
    try:
        return post(request.url, body=request.body, headers=request.headers, guard=guard)
    except ExchangeFailed as error:
        raise SendFailed(error.message) from None


def request_of(*, channel: Channel, message: Message, delivery: str, now: datetime) -> Request:
    """Write the request that tells a channel a message. Raises SecretUnreadable."""
    secret = secrets_of(channel)
    url, key = secret.get("url", ""), secret.get("key", "")
    region = str(channel.config.get("region", "us"))
    match channel.kind:
        case ChannelKind.SLACK:
            return payloads.slack(message, url=url)
        case ChannelKind.TEAMS:
            return payloads.teams(message, url=url)
        case ChannelKind.PAGERDUTY:
            return payloads.pagerduty(message, key=key, region=region)
        case ChannelKind.OPSGENIE:
            return payloads.opsgenie(message, key=key, region=region)
    at = int(now.timestamp())
    return payloads.webhook(message, url=url, key=key, delivery=delivery, at=at)


def _to_slack(channel: Channel, message: Message, thread: str) -> Sent:
    """Post by Slack's API, which answers 200 and says in the body what went wrong."""
    try:
        token = secrets_of(channel).get("key", "")
    except SecretUnreadable:
        raise SendFailed(UNREADABLE) from None
    room = str(channel.config.get("room", ""))
    request = payloads.slack_app(message, token=token, room=room, thread=thread)
    answer = exchange(request, most_bytes=MOST_SLACK_BYTES)
    line = judge(answer, masks([token]))
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise SendFailed(f"It answered {line}")
    if said.get("ok") is not True:
        raise SendFailed(f"Slack refused the message: {text_of(said.get('error'), 80)}.")
    return Sent(answer="Posted.", receipt=text_of(said.get("ts"), 40))


def _trigger(channel: Channel, message: Message, delivery: str) -> str:
    try:
        return dag_runs.trigger(channel=channel, message=message, delivery=delivery)
    except dag_runs.TriggerFailed as error:
        raise SendFailed(error.message, is_final=error.is_final) from None


def _mail(channel: Channel, message: Message) -> str:
    subject, body = payloads.email(message)
    to = [str(one) for one in channel.config.get("to", [])]
    mail = EmailMessage(subject, body, to=to)
    # No vacation notice is wanted in answer (RFC 3834); mail programs gather what belongs together.
    mail.extra_headers = {"Auto-Submitted": "auto-generated"}
    try:
        mail.send()
    except smtplib.SMTPResponseException as error:
        said = error.smtp_error
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        line = text_of(text, 200)
        raise SendFailed(f"{MAIL_REFUSED} {error.smtp_code} {line}".strip()) from None
    except (smtplib.SMTPException, ValueError):
        raise SendFailed(MAIL_REFUSED) from None
    except OSError:
        raise SendFailed(MAIL_SILENT) from None
    return "Handed to the mail server." if settings.EMAIL_HOST else "Kept in the outbox of mails."


def secrets_in(request: Request, keys: Iterable[str]) -> tuple[str, ...]:
    """Return what a receiver must not repeat into the log: the address, its parts, and the keys."""
    path = urlsplit(request.url).path
    parts = [one for one in path.split("/") if len(one) >= SHORTEST_SECRET]
    return masks([request.url, path, *parts, *keys])


def judge(answer: Answer, secrets: tuple[str, ...]) -> str:
    """Return an answer in one line, secrets masked. Raises SendFailed unless it is a success."""
    said = text_of(masked(answer.body.decode(errors="replace"), secrets), 200)
    line = f"{answer.status} {said}".strip()
    if 200 <= answer.status < 300:
        return line
    if 300 <= answer.status < 400:
        raise SendFailed(
            f"It answered with a redirect ({answer.status}). The portal follows none: enter the "
            "address that it leads to."
        )
    raise SendFailed(
        f"It answered {line}",
        is_final=answer.status in REFUSED,
        again_in=_retry_after(answer),
        status=answer.status,
    )


def _retry_after(answer: Answer) -> float | None:
    found = {name.lower(): value for name, value in answer.headers.items()}
    text = found.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None
