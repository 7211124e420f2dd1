"""What programs read: JSON in the shape of Statuspage's API, a calendar, a badge. Pure.

Shapes: https://metastatuspage.com/api (Statuspage), RFC 5545 (iCalendar). A state that is not known
is `unknown`, which Statuspage does not have: to say `operational` would be a guess.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from apps.status_pages.copies.content import ComponentContent, PageContent, ReportContent
from apps.status_pages.setup.states import State, worst

INDICATORS: dict[str, tuple[str, str]] = {
    State.OPERATIONAL: ("none", "All Systems Operational"),
    State.UNKNOWN: ("minor", "Some Systems Not Reported"),
    State.DEGRADED: ("minor", "Degraded Performance"),
    State.PARTIAL: ("major", "Partial System Outage"),
    State.MAJOR: ("critical", "Major System Outage"),
    State.MAINTENANCE: ("maintenance", "Service Under Maintenance"),
}
BADGE_WORDS: dict[str, tuple[str, str]] = {
    State.OPERATIONAL: ("operational", "#2b8555"),
    State.UNKNOWN: ("no data", "#777a84"),
    State.DEGRADED: ("degraded", "#9a6004"),
    State.PARTIAL: ("partly down", "#c4352b"),
    State.MAJOR: ("down", "#c4352b"),
    State.MAINTENANCE: ("maintenance", "#3a6fbe"),
}
LINE_OCTETS = 75


def json_files(content: PageContent) -> dict[str, str]:
    """Return the files below `api/v2/` by name."""
    page = _page(content)
    status = dict(zip(("indicator", "description"), INDICATORS[content.state], strict=True))
    components = _components(content)
    reports = {one.key: _report(one, content) for one in content.reports}
    planned = [reports[one.key] for one in content.planned]
    incidents = [reports[one.key] for one in content.reports if not one.is_maintenance]
    files: dict[str, dict[str, Any]] = {
        "status": {"status": status},
        "components": {"components": components},
        "incidents": {"incidents": incidents},
        "incidents/unresolved": {"incidents": [reports[one.key] for one in content.open_incidents]},
        "scheduled-maintenances": {
            "scheduled_maintenances": [
                reports[one.key] for one in content.reports if one.is_maintenance
            ]
        },
        "summary": {
            "status": status,
            "components": components,
            "incidents": [reports[one.key] for one in content.open_incidents],
            "scheduled_maintenances": planned,
        },
    }
    return {f"api/v2/{name}.json": _dump({"page": page, **body}) for name, body in files.items()}


def calendar(content: PageContent) -> str:
    """Write the maintenances of a page as a calendar."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Astro Portal//Status page//EN",
        "CALSCALE:GREGORIAN",
        f"X-WR-CALNAME:{_text(content.name)}",
    ]
    for one in content.reports:
        if one.is_maintenance and one.ends_at is not None:
            lines += _event(one, content)
    lines.append("END:VCALENDAR")
    return "".join(f"{_folded(line)}\r\n" for line in lines)


def badge(content: PageContent) -> str:
    """Draw the name and the state of a page as an SVG image."""
    word, color = BADGE_WORDS[content.state]
    name = "".join(filter(str.isprintable, content.name))
    label = name if len(name) <= 32 else f"{name[:31]}…"
    left, right = _width(label), _width(word)
    title = quoteattr(f"{label}: {word}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f"aria-label={title}>"
        f'<rect width="{left + right}" height="20" rx="3" fill="#14213a"/>'
        f'<path d="M{left} 0h{right - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1 -3 3h-{right - 3}z" '
        f'fill="{color}"/>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="8" y="14" textLength="{left - 16}">{escape(label)}</text>'
        f'<text x="{left + 8}" y="14" textLength="{right - 16}">{word}</text></g></svg>\n'
    )


def stamp(at: datetime | None) -> str | None:
    """Write a time as Statuspage does."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds")


def _width(text: str) -> int:
    return 16 + 7 * len(text)


def _page(content: PageContent) -> dict[str, Any]:
    return {
        "id": content.key,
        "name": content.name,
        "url": content.url,
        "time_zone": "Etc/UTC",
        "updated_at": stamp(content.at),
    }


def _components(content: PageContent) -> list[dict[str, Any]]:
    """Write the groups, each as a component of components, then the components."""
    groups = {one.group: f"group-{one.key}" for one in reversed(content.components) if one.group}
    rows = [_component(one, content, groups.get(one.group)) for one in content.components]
    for name, key in groups.items():
        inside = [one for one in content.components if one.group == name]
        rows.append(_group(name, key, inside, content))
    return rows


def _component(
    component: ComponentContent, content: PageContent, group: str | None
) -> dict[str, Any]:
    return {
        "id": component.key,
        "name": component.name,
        "status": component.state,
        "created_at": stamp(component.created_at),
        "updated_at": stamp(component.state_at),
        "position": component.position,
        "description": component.about or None,
        "showcase": True,
        "start_date": f"{component.created_at:%Y-%m-%d}",
        "group_id": group,
        "page_id": content.key,
        "group": False,
        "only_show_if_degraded": False,
    }


def _group(
    name: str, key: str, inside: Sequence[ComponentContent], content: PageContent
) -> dict[str, Any]:
    first = inside[0]
    return _component(first, content, None) | {
        "id": key,
        "name": name,
        "status": worst(one.state for one in inside),
        "description": None,
        "group": True,
        "components": [one.key for one in inside],
    }


def _report(report: ReportContent, content: PageContent) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": report.key,
        "name": report.title,
        "status": report.stage,
        "created_at": stamp(report.posted_at),
        "updated_at": stamp(report.updates[0].at if report.updates else report.posted_at),
        "monitoring_at": None,
        "resolved_at": stamp(report.over_at),
        "impact": "maintenance" if report.is_maintenance else report.impact,
        "shortlink": f"{content.url}history.html#{report.key}",
        "started_at": stamp(report.begins_at),
        "page_id": content.key,
        "incident_updates": [
            {
                "id": one.key,
                "status": one.stage,
                "body": one.text,
                "incident_id": report.key,
                "created_at": stamp(one.at),
                "updated_at": stamp(one.at),
                "display_at": stamp(one.at),
            }
            for one in report.updates
        ],
        "components": [
            _component(one, content, None)
            for one in content.components
            if one.key in report.component_keys
        ],
    }
    if report.is_maintenance:
        body |= {
            "scheduled_for": stamp(report.begins_at),
            "scheduled_until": stamp(report.ends_at),
        }
    return body


def _dump(body: dict[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _event(report: ReportContent, content: PageContent) -> Iterable[str]:
    url = f"{content.url}history.html#{report.key}"
    newest = report.updates[0] if report.updates else None
    yield "BEGIN:VEVENT"
    yield f"UID:{report.key}@{content.key}.status"
    yield f"DTSTAMP:{_utc(newest.at if newest else report.posted_at)}"
    yield f"SEQUENCE:{max(len(report.updates) - 1, 0)}"
    yield f"DTSTART:{_utc(report.begins_at)}"
    yield f"DTEND:{_utc(report.ends_at or report.begins_at)}"
    yield f"SUMMARY:{_text(f'{content.name}: {report.title}')}"
    if newest:
        yield f"DESCRIPTION:{_text(newest.text)}"
    yield f"URL:{url}"
    yield "TRANSP:TRANSPARENT"
    yield "END:VEVENT"


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _text(text: str) -> str:
    """Escape a value of the type TEXT (RFC 5545, 3.3.11)."""
    plain = "".join(one for one in text if one == "\n" or one.isprintable())
    for old, new in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\n", "\\n")):
        plain = plain.replace(old, new)
    return plain


def _folded(line: str) -> str:
    """Fold a line at 75 octets, between characters (RFC 5545, 3.1)."""
    parts, part, size = [], "", 0
    for one in line:
        octets = len(one.encode())
        if size + octets > LINE_OCTETS:
            parts.append(part)
            # The blank that begins a folded line counts.
            part, size = "", 1
        part, size = part + one, size + octets
    return "\r\n ".join([*parts, part])
