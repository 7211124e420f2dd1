"""The page of the documentation about events, written from the code."""

import json

from apps.webhooks.events.shapes import Envelope
from apps.webhooks.events.topics import ABOUT, Topic

_HEAD = """# Webhook events

What [webhooks](webhooks.md) are sent. This page is written from the code of the portal.

## Types

| Events | Types | When |
|---|---|---|
"""
_AUDIT = """
Events about access, API tokens and the rest are entries of the audit log, whose action is the type;
each action belongs to one of the three. The test button sends `webhook.test`.

## JSON schema

"""


def reference() -> str:
    """Write the page in Markdown."""
    rows = "".join(_row(topic) for topic in Topic)
    schema = json.dumps(Envelope.model_json_schema(), indent=2, ensure_ascii=False)
    return f"{_HEAD}{rows}{_AUDIT}```json\n{schema}\n```\n"


def _row(topic: Topic) -> str:
    about = ABOUT[topic]
    types = ", ".join(f"`{one}`" for one in about.examples)
    more = ", …" if topic in (Topic.ACCESS, Topic.TOKENS, Topic.OTHER) else ""
    return f"| {topic.label} | {types}{more} | {about.hint} |\n"
