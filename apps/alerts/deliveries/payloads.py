"""What each kind of channel is sent: pure functions from a message to a request.

Text of Airflows is escaped as each receiver asks for it, so that no name of a DAG mentions a whole
channel, links elsewhere or breaks out of its place.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from apps.alerts.deliveries.messages import Message

PAGERDUTY = {
    "us": "https://events.pagerduty.com",
    "eu": "https://events.eu.pagerduty.com",
}
OPSGENIE = {"us": "https://api.opsgenie.com", "eu": "https://api.eu.opsgenie.com"}
SLACK_API = "https://slack.com/api/chat.postMessage"
SLACK_COLORS = {"critical": "#b3261e", "warning": "#b06000", "info": "#1a5fb4"}
OVER_COLOR = "#1e7e34"
TEAMS_STYLES = {"critical": "attention", "warning": "warning", "info": "accent"}
PRIORITIES = {"critical": "P1", "warning": "P3", "info": "P5"}
WEBHOOK_PREFIX = "whsec_"
FROM = "Astro Portal"
# https://api.slack.com/reference/surfaces/formatting#escaping
SLACK_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# Text blocks of adaptive cards read a part of Markdown.
MARKDOWN = str.maketrans({one: f"\\{one}" for one in "\\`*_[]<>#~|"})


@dataclass(frozen=True, kw_only=True)
class Request:
    """A POST of JSON."""

    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def slack(message: Message, *, url: str) -> Request:
    """Write an incoming webhook of Slack. https://api.slack.com/messaging/webhooks"""
    return Request(url=url, body=_json(_slack_body(message)))


def slack_app(message: Message, *, token: str, room: str, thread: str) -> Request:
    """Write a message of an app of Slack, into a thread unless that is empty.
    https://api.slack.com/methods/chat.postMessage
    """
    body = {"channel": room, **_slack_body(message), **({"thread_ts": thread} if thread else {})}
    headers = {"Authorization": f"Bearer {token}"}
    return Request(url=SLACK_API, body=_json(body), headers=headers)


def _slack_body(message: Message) -> dict[str, Any]:
    lines = "\n".join(_slack(line) for line in message.lines)
    facts = " · ".join(f"{_slack(label)}: {_slack(value)}" for label, value in message.facts)
    text = "\n".join(part for part in (lines, facts, f"<{message.url}|Open the alert>") if part)
    color = OVER_COLOR if message.is_over else SLACK_COLORS[message.severity]
    section = {"type": "section", "text": {"type": "mrkdwn", "text": text[:2900]}}
    title = _slack(_headline(message))
    return {"text": title, "attachments": [{"color": color, "blocks": [section]}]}


def teams(message: Message, *, url: str) -> Request:
    """Write an adaptive card for a workflow of Teams. https://adaptivecards.io/explorer/"""
    style = "good" if message.is_over else TEAMS_STYLES[message.severity]
    title = {"size": "medium", "weight": "bolder", "color": style}
    facts = [{"title": label, "value": _markdown(value)} for label, value in message.facts]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            _block(_headline(message), **title),
            *(_block(line) for line in message.lines),
            {"type": "FactSet", "facts": facts},
        ],
        "actions": [{"type": "Action.OpenUrl", "title": "Open the alert", "url": message.url}],
    }
    content = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return Request(url=url, body=_json({"type": "message", "attachments": [content]}))


def pagerduty(message: Message, *, key: str, region: str) -> Request:
    """Write an event. https://developer.pagerduty.com/docs/events-api-v2-overview"""
    body: dict[str, Any] = {
        "routing_key": key,
        "event_action": "resolve" if message.is_over else "trigger",
        "dedup_key": message.key,
    }
    if not message.is_over:
        details = dict(message.facts) | {"Details": "\n".join(message.lines)}
        body |= {
            "client": FROM,
            "client_url": message.url,
            "links": [{"href": message.url, "text": "Open the alert"}],
            "payload": {
                "summary": message.title[:1024],
                "source": message.deployment,
                "severity": message.severity,
                "timestamp": message.happened_at,
                "component": message.deployment,
                "group": message.workspace,
                "class": message.rule,
                "custom_details": details,
            },
        }
    return Request(url=f"{PAGERDUTY[region]}/v2/enqueue", body=_json(body))


def opsgenie(message: Message, *, key: str, region: str) -> Request:
    """Write a request that creates or closes an alert. https://docs.opsgenie.com/docs/alert-api"""
    headers = {"Authorization": f"GenieKey {key}"}
    base = f"{OPSGENIE[region]}/v2/alerts"
    if message.is_over:
        url = f"{base}/{quote(message.key, safe='')}/close?identifierType=alias"
        note = {"source": FROM, "note": "\n".join(message.lines)[:25_000]}
        return Request(url=url, body=_json(note), headers=headers)
    body = {
        "message": message.title[:130],
        "alias": message.key,
        "description": "\n".join((*message.lines, message.url))[:15_000],
        "priority": PRIORITIES[message.severity],
        "source": FROM,
        "entity": message.deployment,
        "details": {**dict(message.facts), "url": message.url},
    }
    return Request(url=base, body=_json(body), headers=headers)


def webhook(message: Message, *, url: str, key: str, delivery: str, at: int) -> Request:
    """Write the message itself, signed. `delivery` is the same each time that a message is tried,
    `at` are seconds since 1970.
    """
    content = {"type": f"alert.{message.event}", "timestamp": at, "data": message.as_json()}
    return signed_request(content, url=url, keys=(key,), delivery=delivery, at=at)


def signed_request(
    content: Mapping[str, Any], *, url: str, keys: Iterable[str], delivery: str, at: int
) -> Request:
    """Write JSON with a signature by each key: whoever knows one of them accepts it.
    https://www.standardwebhooks.com
    """
    body = _json(content)
    signed = f"{delivery}.{at}.".encode() + body
    headers = {
        "webhook-id": delivery,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(_signature(signed, key) for key in keys),
    }
    return Request(url=url, body=body, headers=headers)


def _signature(signed: bytes, key: str) -> str:
    digest = hmac.new(_signing_key(key), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def email(message: Message) -> tuple[str, str]:
    """Write the subject and the text of an e-mail."""
    subject = f"[{_word(message)}] {message.title}"
    facts = [f"{label}: {value}" for label, value in message.facts]
    parts = ["\n".join(message.lines), "\n".join(facts), message.url]
    return " ".join(subject.split())[:200], "\n\n".join(part for part in parts if part) + "\n"


def _headline(message: Message) -> str:
    return message.title if message.is_over else f"{_word(message)}: {message.title}"


def _word(message: Message) -> str:
    if message.is_over:
        return "Resolved"
    return "Test" if message.event == "test" else message.severity.capitalize()


def _signing_key(key: str) -> bytes:
    if key.startswith(WEBHOOK_PREFIX):
        try:
            return base64.b64decode(key.removeprefix(WEBHOOK_PREFIX), validate=True)
        except ValueError:
            pass
    return key.encode()


def _block(text: str, **look: str) -> dict[str, Any]:
    return {"type": "TextBlock", "text": _markdown(text), "wrap": True, **look}


def _slack(text: str) -> str:
    return text.translate(SLACK_ESCAPES)


def _markdown(text: str) -> str:
    return text.translate(MARKDOWN)


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
