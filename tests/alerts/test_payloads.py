"""What each receiver is sent, to the letter."""

import json
from dataclasses import replace
from typing import Any

import pytest

from apps.alerts.deliveries import payloads
from apps.alerts.deliveries.messages import Message
from apps.alerts.rules.matching import matches

URL = "https://portal.example.org/d/etl/alerts/7/"
MESSAGE = Message(
    event="opened",
    severity="critical",
    title="DAG orders failed",
    lines=("orders, run one, 28 Nov, 12:00 UTC",),
    facts=(("Deployment", "etl (Warehouse)"), ("Rule", "Tier 1")),
    url=URL,
    key="https://portal.example.org/alerts/7",
    number=1,
    rule="Tier 1",
    deployment="etl",
    workspace="Warehouse",
    happened_at="2026-11-28T12:00:00+00:00",
)
OVER = replace(MESSAGE, event="resolved", title="Resolved: DAG orders failed", number=2)
EVIL = "<!channel> & *<http://evil|x>* [a](http://evil) `rm`"


def sent(request: payloads.Request) -> Any:
    return json.loads(request.body)


def test_slack():
    assert sent(payloads.slack(MESSAGE, url="https://hooks.slack.com/x")) == {
        "text": "Critical: DAG orders failed",
        "attachments": [
            {
                "color": "#b3261e",
                "blocks": [
                    {
                        "type": "section",
                        "text": {
                            "type": "mrkdwn",
                            "text": "orders, run one, 28 Nov, 12:00 UTC\n"
                            "Deployment: etl (Warehouse) · Rule: Tier 1\n"
                            f"<{URL}|Open the alert>",
                        },
                    }
                ],
            }
        ],
    }


def test_teams():
    content = sent(payloads.teams(OVER, url="https://x"))["attachments"][0]["content"]

    assert content["body"] == [
        {
            "type": "TextBlock",
            "text": "Resolved: DAG orders failed",
            "wrap": True,
            "size": "medium",
            "weight": "bolder",
            "color": "good",
        },
        {"type": "TextBlock", "text": "orders, run one, 28 Nov, 12:00 UTC", "wrap": True},
        {
            "type": "FactSet",
            "facts": [
                {"title": "Deployment", "value": "etl (Warehouse)"},
                {"title": "Rule", "value": "Tier 1"},
            ],
        },
    ]


def test_pagerduty_triggers_and_resolves_the_same_incident():
    begin = payloads.pagerduty(MESSAGE, key="routing", region="us")
    end = payloads.pagerduty(OVER, key="routing", region="eu")

    assert begin.url == "https://events.pagerduty.com/v2/enqueue"
    assert sent(begin) == {
        "routing_key": "routing",
        "event_action": "trigger",
        "dedup_key": "https://portal.example.org/alerts/7",
        "client": "Astro Portal",
        "client_url": URL,
        "links": [{"href": URL, "text": "Open the alert"}],
        "payload": {
            "summary": "DAG orders failed",
            "source": "etl",
            "severity": "critical",
            "timestamp": "2026-11-28T12:00:00+00:00",
            "component": "etl",
            "group": "Warehouse",
            "class": "Tier 1",
            "custom_details": {
                "Deployment": "etl (Warehouse)",
                "Rule": "Tier 1",
                "Details": "orders, run one, 28 Nov, 12:00 UTC",
            },
        },
    }
    assert end.url == "https://events.eu.pagerduty.com/v2/enqueue"
    assert sent(end) == {
        "routing_key": "routing",
        "event_action": "resolve",
        "dedup_key": "https://portal.example.org/alerts/7",
    }


def test_opsgenie_creates_and_closes_the_same_alert():
    begin = payloads.opsgenie(MESSAGE, key="api-key", region="eu")
    end = payloads.opsgenie(OVER, key="api-key", region="us")

    assert begin.url == "https://api.eu.opsgenie.com/v2/alerts"
    assert begin.headers == {"Authorization": "GenieKey api-key"}
    assert sent(begin)["alias"] == "https://portal.example.org/alerts/7"
    assert sent(begin)["priority"] == "P1"
    assert end.url == (
        "https://api.opsgenie.com/v2/alerts/https%3A%2F%2Fportal.example.org%2Falerts%2F7"
        "/close?identifierType=alias"
    )


def test_text_of_an_airflow_stays_text():
    message = replace(MESSAGE, title=EVIL, lines=(EVIL,), facts=((EVIL, EVIL),))

    slack = payloads.slack(message, url="https://x").body.decode()
    teams = sent(payloads.teams(message, url="https://x"))["attachments"][0]["content"]
    subject, _ = payloads.email(replace(message, title="a\r\nBcc: b@example.org"))

    assert "<!channel>" not in slack
    assert "<http://evil" not in slack
    assert teams["body"][1]["text"].startswith(r"\<!channel\> & \*\<http://evil\|x\>\* \[a\]")
    assert "\n" not in subject
    assert "\r" not in subject


def test_a_message_survives_its_row():
    assert Message.from_json(json.loads(json.dumps(MESSAGE.as_json()))) == MESSAGE


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("", "orders", True),
        ("orders", "orders", True),
        ("orders", "orders_2", False),
        ("ord*", "orders", True),
        ("*ers", "orders", True),
        ("o*d*s", "orders", True),
        ("o*x*s", "orders", False),
        ("a, ord*", "orders", True),
        ("*", "", True),
        ("ab*ba", "aba", False),
        ("[o]rders", "orders", False),
        ("o?ders", "orders", False),
        ("*a" * 200, "a" * 250, True),
        ("*a" * 200 + "b", "a" * 250, False),
    ],
)
def test_a_star_stands_for_any_characters(pattern: str, value: str, expected: bool):
    assert matches(pattern, value) == expected
