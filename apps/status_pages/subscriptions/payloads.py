"""What receivers are sent: pure functions to requests.

A webhook is sent JSON, signed as Standard Webhooks describes. Its question holds a challenge, which
the receiver answers, and the secret of the signatures, which is shown to no one else. Text that
people wrote is escaped for Slack: it mentions no channel and links nowhere.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from apps.alerts.deliveries.payloads import SLACK_ESCAPES, Request, signed_request
from apps.status_pages.reports.models import ReportUpdate, Stage
from apps.status_pages.setup.addresses import page_url
from apps.status_pages.setup.models import StatusPage

LONGEST_SLACK = 2_900


def webhook_question(
    *,
    page: StatusPage,
    secret: Mapping[str, str],
    links: Mapping[str, str],
    challenge: str,
    at: int,
) -> Request:
    """Write the question to a webhook. `secret` has `url` and `secret`, `links` are `confirm_url`
    and `unsubscribe_url`, `at` are seconds since 1970.
    """
    data = {"page": _page(page), "challenge": challenge, "secret": secret["secret"], **links}
    content = {"type": "subscription.confirm", "timestamp": at, "data": data}
    return _signed(content, secret=secret, delivery=f"ask_{challenge}", at=at)


def webhook_update(
    *, update: ReportUpdate, secret: Mapping[str, str], unsubscribe_url: str, at: int
) -> Request:
    """Write an update to a webhook. It has the same id each time that it is tried."""
    report = update.report
    word = "maintenance" if report.is_maintenance else "incident"
    data = {
        "page": _page(report.page),
        word: {
            "id": report.key,
            "name": report.title,
            "status": update.stage,
            "impact": "maintenance" if report.is_maintenance else report.impact,
            "components": [
                {"id": one.key, "name": one.name, "status": one.state}
                for one in report.components.all()
            ],
            "started_at": _stamp(report.begins_at),
            "scheduled_until": _stamp(report.ends_at),
            "shortlink": f"{page_url(report.page)}history.html#{report.key}",
        },
        "update": {
            "id": update.key,
            "status": update.stage,
            "body": update.text,
            "created_at": _stamp(update.at),
        },
        "unsubscribe_url": unsubscribe_url,
    }
    content = {"type": f"{word}.updated", "timestamp": at, "data": data}
    return _signed(content, secret=secret, delivery=f"upd_{update.key}", at=at)


def is_answered(body: bytes, challenge: str) -> bool:
    """Whether an answer is the challenge, or JSON of nothing but it: a server that sends back
    whatever it gets confirms nothing.
    """
    text = body.decode(errors="replace").strip()
    if text == challenge:
        return True
    try:
        return bool(json.loads(text) == {"challenge": challenge})
    except (ValueError, RecursionError):
        return False


def slack_question(*, page: StatusPage, url: str, confirm_url: str) -> Request:
    """Write the question to an incoming webhook of Slack."""
    name = _slack(page.name)
    lines = (
        f"The status updates of {name} were requested for this channel.",
        f"<{confirm_url}|Confirm the subscription> within three days, if they are wanted here.",
        "If not, do nothing: nothing more is sent.",
    )
    return _slack_request(url, f"Status updates of {name}", lines)


def slack_update(*, update: ReportUpdate, url: str, unsubscribe_url: str) -> Request:
    """Write an update to an incoming webhook of Slack."""
    report = update.report
    names = ", ".join(one.name for one in report.components.all())
    lines = (
        _slack(update.text),
        f"Components: {_slack(names)}" if names else "",
        f"<{page_url(report.page)}history.html#{report.key}|Open {_slack(report.page.name)}>"
        f" · <{unsubscribe_url}|Unsubscribe>",
    )
    return _slack_request(url, f"{Stage(update.stage).label}: {_slack(report.title)}", lines)


def _slack_request(url: str, title: str, lines: tuple[str, ...]) -> Request:
    *words, links = (line for line in lines if line)
    # What is cut is text of people, never a link.
    text = "\n".join(words)[: LONGEST_SLACK - len(title) - len(links)]
    section = {"type": "section", "text": {"type": "mrkdwn", "text": f"*{title}*\n{text}\n{links}"}}
    body = {"text": title, "blocks": [section]}
    return Request(url=url, body=json.dumps(body, ensure_ascii=False).encode())


def _signed(
    content: Mapping[str, Any], *, secret: Mapping[str, str], delivery: str, at: int
) -> Request:
    return signed_request(
        content, url=secret["url"], keys=[secret["secret"]], delivery=delivery, at=at
    )


def _page(page: StatusPage) -> dict[str, str]:
    return {"id": page.key, "name": page.name, "url": page_url(page)}


def _stamp(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds")


def _slack(text: str) -> str:
    return text.translate(SLACK_ESCAPES)
