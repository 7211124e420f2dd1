"""The page as people read it. Rendered once for each copy, in UTC, without a request."""

import re
from collections.abc import Sequence
from datetime import UTC
from itertools import groupby
from typing import Any

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import mark_safe

from apps.status_pages.copies.bars import in_words, runs_of
from apps.status_pages.copies.content import DAYS, ComponentContent, PageContent
from apps.status_pages.setup.states import DISTURBED, TONES, State

# HTML has no form for these, not even an escaped one.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
# Where the portal's own server says that a copy is old; elsewhere it is an invisible comment.
STALE_MARK = "<!-- written by the portal -->"


def index(
    content: PageContent,
    *,
    stylesheets: Sequence[str],
    takes_subscriptions: bool,
    preview: dict[str, Any] | None = None,
) -> str:
    """Write the first page. For those who manage it, `preview` has `is_on` and `icon`."""
    context = _frame(content, stylesheets) | {
        "verdict": verdict(content),
        "tone": TONES[content.state],
        "groups": _groups(content),
        "takes_subscriptions": takes_subscriptions,
        "is_preview": preview is not None,
        **(preview or {}),
    }
    return _rendered("index", context)


def history(content: PageContent, *, stylesheets: Sequence[str]) -> str:
    """Write the page of all reports of 90 days."""
    return _rendered("history", _frame(content, stylesheets))


def verdict(content: PageContent) -> str:
    """Say in a few words how everything is."""
    affected = sum(one.state in DISTURBED for one in content.components)
    if content.state == State.OPERATIONAL:
        return "All systems operational"
    if affected and affected == len(content.components):
        return "All components are affected" if affected > 1 else "Affected"
    if affected:
        return (
            "One component is affected" if affected == 1 else f"{affected} components are affected"
        )
    return "Maintenance" if content.state == State.MAINTENANCE else "Not everything is reported"


def _rendered(name: str, context: dict[str, Any]) -> str:
    with timezone.override(UTC):
        text = render_to_string(f"status_pages/copy/{name}.html", context)
    # A third of a page of loops would be empty lines.
    lines = UNPRINTABLE.sub("", text).split("\n")
    return "\n".join(line for line in lines if line.strip()) + "\n"


def _frame(content: PageContent, stylesheets: Sequence[str]) -> dict[str, Any]:
    return {
        "content": content,
        "stylesheets": stylesheets,
        "home": "index.html",
        "stale_mark": mark_safe(STALE_MARK),  # noqa: S308 - a constant
    }


def _groups(content: PageContent) -> list[dict[str, Any]]:
    """Arrange components under their groups, each group where its first component is."""
    order = {one.group: at for at, one in reversed(list(enumerate(content.components)))}
    components = sorted(content.components, key=lambda one: (order[one.group], one.position))
    return [
        {"name": name, "rows": [_row(one, content) for one in inside]}
        for name, inside in groupby(components, key=lambda one: one.group)
    ]


def _row(component: ComponentContent, content: PageContent) -> dict[str, Any]:
    return {
        "name": component.name,
        "about": component.about,
        "tone": TONES[component.state],
        "word": State(component.state).label,
        "runs": runs_of(component.days),
        "bars_in_words": in_words(component),
        "uptime_in_words": _uptime(component),
    }


def _uptime(component: ComponentContent) -> str:
    if component.uptime is None:
        return "No data yet"
    days, words = component.data_days, f"{component.uptime:.2f} % up"
    if days >= DAYS:
        return words
    return f"{words}, with data of {days} day{'' if days == 1 else 's'}"
