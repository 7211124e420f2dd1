"""The feeds of a page: Atom (RFC 4287) and RSS 2.0. Every update is an entry, the newest first."""

from datetime import datetime
from email.utils import format_datetime
from xml.etree.ElementTree import Element, SubElement, tostring

from apps.status_pages.copies.content import PageContent, ReportContent, UpdateContent

MOST_ENTRIES = 50
ATOM = "http://www.w3.org/2005/Atom"


def atom(content: PageContent) -> bytes:
    """Write the Atom feed of a page."""
    feed = Element("feed", xmlns=ATOM)
    _add(feed, "id", content.url)
    _add(feed, "title", content.name)
    _add(feed, "updated", _iso(_newest(content)))
    SubElement(feed, "link", href=content.url)
    SubElement(feed, "link", rel="self", href=f"{content.url}history.atom")
    _add(SubElement(feed, "author"), "name", content.name)
    for report, update in _entries(content):
        entry = SubElement(feed, "entry")
        _add(entry, "id", f"{_link(content, report)}-{update.key}")
        _add(entry, "title", _title(report, update))
        _add(entry, "updated", _iso(update.at))
        SubElement(entry, "link", href=_link(content, report))
        _add(entry, "content", _body(report, update))
    return _written(feed)


def rss(content: PageContent) -> bytes:
    """Write the RSS feed of a page."""
    root = Element("rss", version="2.0")
    channel = SubElement(root, "channel")
    _add(channel, "title", content.name)
    _add(channel, "link", content.url)
    _add(channel, "description", content.about or f"Incidents and maintenance of {content.name}")
    _add(channel, "lastBuildDate", format_datetime(_newest(content)))
    for report, update in _entries(content):
        item = SubElement(channel, "item")
        _add(item, "title", _title(report, update))
        _add(item, "link", _link(content, report))
        _add(item, "guid", f"{content.key}-{report.key}-{update.key}").set("isPermaLink", "false")
        _add(item, "pubDate", format_datetime(update.at))
        _add(item, "description", _body(report, update))
    return _written(root)


def _entries(content: PageContent) -> list[tuple[ReportContent, UpdateContent]]:
    pairs = [(report, update) for report in content.reports for update in report.updates]
    return sorted(pairs, key=lambda pair: pair[1].at, reverse=True)[:MOST_ENTRIES]


def _newest(content: PageContent) -> datetime:
    """Return when something was posted last: the minute of a copy is nothing new to readers."""
    entries = _entries(content)
    if entries:
        return entries[0][1].at
    return max((one.created_at for one in content.components), default=content.at)


def _title(report: ReportContent, update: UpdateContent) -> str:
    return f"{update.stage.label}: {report.title}"


def _body(report: ReportContent, update: UpdateContent) -> str:
    names = ", ".join(report.component_names)
    return f"{update.text}\n\n{names}" if names else update.text


def _link(content: PageContent, report: ReportContent) -> str:
    return f"{content.url}history.html#{report.key}"


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def _add(parent: Element, name: str, text: str) -> Element:
    found = SubElement(parent, name)
    # XML has no form for control characters, not even an escaped one.
    found.text = "".join(one for one in text if one in "\n\t" or one.isprintable())
    return found


def _written(root: Element) -> bytes:
    written: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return written
