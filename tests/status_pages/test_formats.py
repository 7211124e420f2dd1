"""What programs read of a page, with names that are meant to break it."""

import json
import re
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pytest

from apps.status_pages.copies.content import content_of
from apps.status_pages.copies.files import files_of, packed, unpacked
from apps.status_pages.reports.models import Stage
from tests.core.pages import check_page
from tests.status_pages.examples import MINUTE, NOW, make_component, make_page, make_report

pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert(1)</script>\"'&;,\\ {{ page.key }} ]]>\x07\u202e Über"
ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture
def files(organization: Any) -> dict[str, Any]:
    page = make_page(organization, name=HOSTILE[:80], about=HOSTILE)
    components = [
        make_component(page, name=HOSTILE[:80], about=HOSTILE, group=HOSTILE[:60], state="unknown"),
        make_component(page, name="Prices", state="operational", position=2),
    ]
    report = make_report(
        page, *components, title=HOSTILE, impact="critical", stage=Stage.IDENTIFIED
    )
    report.updates.create(stage=Stage.IDENTIFIED, text=f"{HOSTILE}\nBEGIN:VEVENT", at=NOW + MINUTE)
    planned = make_report(
        page,
        components[1],
        kind="maintenance",
        title=f"{HOSTILE} {'ü' * 60}",
        stage=Stage.SCHEDULED,
        begins_at=NOW + timedelta(days=1),
        ends_at=NOW + timedelta(days=1, hours=1),
    )
    planned.updates.create(stage=Stage.SCHEDULED, text=f"{HOSTILE}\nEND:VEVENT", at=NOW)
    make_report(
        page, stage=Stage.RESOLVED, over_at=NOW, postmortem=HOSTILE, title="Earlier this day"
    )
    return files_of(content_of(page, now=NOW + 2 * MINUTE), takes_subscriptions=True)


def test_pages_are_sound_whatever_people_write(files: dict[str, Any]):
    for name in ("index.html", "history.html"):
        check_page(files[name].text)
        assert "<script" not in files[name].text
        assert "style=" not in files[name].text


def test_json_has_the_shape_of_statuspage(files: dict[str, Any]):
    summary = json.loads(files["api/v2/summary.json"].text)
    incidents = json.loads(files["api/v2/incidents.json"].text)["incidents"]

    assert summary.keys() == {"page", "status", "components", "incidents", "scheduled_maintenances"}
    assert summary["page"].keys() == {"id", "name", "url", "time_zone", "updated_at"}
    assert summary["status"] == {"indicator": "critical", "description": "Major System Outage"}
    component = summary["components"][0]
    assert component["status"] == "major_outage"
    group = next(one for one in summary["components"] if one["group"])
    assert component["group_id"] == group["id"]
    assert group["components"] == [component["id"]]
    assert [one["status"] for one in summary["incidents"]] == ["identified"]
    assert summary["incidents"][0]["incident_updates"][0]["body"].startswith("<script>")
    assert (
        summary["scheduled_maintenances"][0]["scheduled_until"] == "2026-11-29T13:00:00.000+00:00"
    )
    assert {one["name"] for one in incidents} == {HOSTILE, "Earlier this day"}


def test_feeds_are_xml_with_an_entry_for_each_update(files: dict[str, Any]):
    feed = ElementTree.fromstring(files["history.atom"].text)  # noqa: S314 - our own
    channel = ElementTree.fromstring(files["history.rss"].text)[0]  # noqa: S314 - our own

    entries = feed.findall(f"{ATOM}entry")
    assert len(entries) == len(channel.findall("item")) == 5
    ids = {entry.findtext(f"{ATOM}id") for entry in entries}
    assert len(ids) == 5
    assert "<script>alert(1)</script>" in str(entries[0].findtext(f"{ATOM}title"))


def test_the_calendar_has_one_event_and_folded_lines(files: dict[str, Any]):
    text = files["maintenance.ics"].text

    lines = text.split("\r\n")
    assert lines[-1] == ""
    assert "\n" not in "".join(lines)
    assert max(len(line.encode()) for line in lines) <= 75
    assert [line for line in lines if line.startswith("BEGIN:")] == [
        "BEGIN:VCALENDAR",
        "BEGIN:VEVENT",
    ]
    whole = text.replace("\r\n ", "")
    assert "DTSTART:20261129T120000Z" in whole
    assert "\\n" in whole
    assert "\\;\\,\\\\" in whole


def test_the_badge_is_an_image_that_runs_nothing(files: dict[str, Any]):
    badge = ElementTree.fromstring(files["badge.svg"].text)  # noqa: S314 - our own

    assert {one.tag.rpartition("}")[2] for one in badge.iter()} <= {
        "svg",
        "rect",
        "path",
        "g",
        "text",
    }
    assert [one.text for one in badge.iter() if one.tag.endswith("text")][1] == "down"


def test_files_are_the_same_after_packing(files: dict[str, Any]):
    assert unpacked(packed(files)) == files


def test_a_page_is_read_in_few_queries(organization: Any, django_assert_num_queries: Any):
    page = make_page(organization)
    components = [make_component(page, name=f"Part {number}") for number in range(20)]
    for number in range(20):
        make_report(page, *components, title=f"Incident {number}")

    with django_assert_num_queries(5):
        content_of(page, now=NOW)


@pytest.mark.parametrize(
    ("kind", "minutes", "said"),
    [
        ("incident", 0, "Resolved after 1 min,"),
        ("incident", 41, "Resolved after 41 min,"),
        ("incident", 72, "Resolved after 1 h 12 min,"),
        ("maintenance", 60, "Completed 28 Nov"),
    ],
)
def test_what_is_over_says_how_long_it_lasted(
    organization: Any, kind: str, minutes: int, said: str
):
    page = make_page(organization)
    stage = Stage.RESOLVED if kind == "incident" else Stage.COMPLETED
    ends = NOW if kind == "maintenance" else None
    begins = NOW - minutes * MINUTE
    make_report(page, kind=kind, stage=stage, begins_at=begins, ends_at=ends, over_at=NOW)

    text = files_of(content_of(page, now=NOW), takes_subscriptions=False)["index.html"].text

    assert said in re.sub(r"\s+", " ", re.sub("<[^>]*>", "", text))
