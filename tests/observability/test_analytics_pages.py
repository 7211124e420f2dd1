import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import User
from apps.dataplane.spec import WorkerQueue
from apps.deployments.models import Deployment
from apps.observability.analytics.charts import sections_of
from apps.observability.analytics.ranges import range_of
from apps.observability.history import storage
from apps.observability.history.models import Collection
from apps.observability.history.queries import Line, Span
from apps.observability.history.storage import Buckets, Gauges, SeriesIds
from apps.observability.templatetags.history import bars_of
from tests.core.pages import check_page
from tests.observability.incidents import make_incident

ClientOf = Callable[[User], Client]
URL = "/d/etl-prod-7f3c/analytics/"
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
EVIL = "<script>alert(1)</script>"


def put_history(deployment: Deployment, *, queue: str = "default", pools: int = 1) -> None:
    """Give a Deployment an hour of measurements, with a gap of ten minutes, until now."""
    now, ids = timezone.now(), SeriesIds()
    gauges = []
    for minutes in (*range(60, 30, -1), *range(20, 0, -1)):
        values = {
            ("queued", queue): 3.0,
            ("running", queue): 2.0,
            ("workers", queue): 1.0,
            ("workers_wanted", queue): 2.0,
            ("heartbeat_age", "scheduler"): 4.0,
            ("memory_bytes", "scheduler"): 3.0e8,
            ("cpu_millis", "scheduler"): 250.0,
            ("database_bytes", ""): 9.0e6,
        }
        for number in range(pools):
            values |= {("pool_slots", f"pool-{number}"): 8.0, ("pool_used", f"pool-{number}"): 8.0}
        at = now - timedelta(minutes=minutes)
        gauges.append(Gauges(deployment_id=deployment.pk, at=at, values=values))
    storage.write_samples(gauges=gauges, ids=ids)
    end = int(now.timestamp()) // 300 * 300
    begin = end - 3600
    values = {
        "runs_succeeded": {begin: 4.0, begin + 600: 5.0},
        "runs_failed": {begin: 1.0},
        "tasks_succeeded": {begin: 40.0},
        "tasks_failed": {},
        "tasks_retried": {begin: 2.0},
        **{f"{one}_p50": {begin: 40.0} for one in ("run", "task", "wait")},
        **{f"{one}_p90": {begin: 95.0} for one in ("run", "task", "wait", "delay")},
    }
    counted = Buckets(deployment_id=deployment.pk, begin=begin, end=end + 300, values=values)
    storage.write_buckets(buckets=counted, ids=ids)
    Collection.objects.update_or_create(
        deployment=deployment, defaults={"next_at": now, "answered_at": now}
    )


@pytest.fixture
def measured(deployment: Deployment) -> Deployment:
    put_history(deployment)
    return deployment


def test_the_page_says_what_the_charts_show(alice: User, measured: Deployment, client_of: ClientOf):
    page = client_of(alice).get(URL).content.decode()

    check_page(page)
    for words in (
        "DAG runs · 1 failed · 90.0 % succeeded",
        "task instances · 0 failed · 2 retried · 100.0 % succeeded",
        "median (P50) · P90 up to 1 min 35 s",
        "1 of 2 workers, 2 wanted",
        "2 running, 3 queued",
        "286 MiB",
        "0.25 CPU",
        "8 of 8",
        "Changes and incidents in this range",
        "Created · the portal",
    ):
        assert words in page, words
    assert 'aria-current="true">24 h' in page
    assert len(page) < 100_000


def test_charts_mark_incidents_beside_changes(
    alice: User, measured: Deployment, make_deployment: Any, client_of: ClientOf
):
    now = timezone.now()
    began = {"opened_at": now - timedelta(minutes=30), "title": "1 DAG file <b> is broken"}
    make_incident(measured, **began, closed_at=now - timedelta(minutes=10))
    make_incident(measured, kind="quota", opened_at=now - timedelta(minutes=5), title="No room")
    make_incident(measured, kind="drift", opened_at=now - timedelta(days=3), title="Of old")
    make_incident(make_deployment(ref="etl-other"), title="Of another")

    client = client_of(alice)
    page = client.get(f"{URL}?range=1h").content.decode()
    marks = client.get(f"{URL}points/?range=1h").json()["marks"]

    check_page(page)
    assert "1 DAG file &lt;b&gt; is broken" in page
    assert "closed after 20 min" in page
    assert "Of old" not in page
    incidents = [mark["title"] for mark in marks if mark["kind"] == "incident"]
    assert incidents == ["1 DAG file <b> is broken", "No room"]
    assert [mark["at"] for mark in marks] == sorted(mark["at"] for mark in marks)


def test_before_the_first_answer_the_page_says_when_to_come_back(
    alice: User, deployment: Deployment, client_of: ClientOf
):
    page = client_of(alice).get(URL).content.decode()

    check_page(page)
    assert "No measurements yet" in page
    assert "data-chart=" not in page


def test_a_range_without_measurements_leads_back(
    alice: User, measured: Deployment, client_of: ClientOf
):
    page = client_of(alice).get(f"{URL}?from=2026-01-01T00:00&to=2026-01-02T00:00").content.decode()

    assert "Nothing was measured in this range" in page
    assert "?range=24h" in page


def test_whoever_may_see_the_deployment_sees_its_charts(
    bob: User, charlie: User, measured: Deployment, client_of: ClientOf
):
    for address in (URL, f"{URL}points/", f"{URL}csv/"):
        assert client_of(bob).get(address).status_code == 200
        assert client_of(charlie).get(address).status_code == 404
        assert Client().get(address).status_code == 302


def test_limits_are_drawn_unless_they_would_flatten_the_chart():
    span = Span(begin=0, end=600, step=300)

    def line(metric: str, label: str, *values: float) -> Line:
        return Line(metric=metric, label=label, span=span, values=values)

    queues = (WorkerQueue(name="default", concurrency=4, min_workers=0, max_workers=7),)
    lines = [
        line("cpu_millis", "scheduler", 500, 900),
        line("cpu_limit", "scheduler", 2000, 2000),
        line("memory_bytes", "scheduler", 100, 100),
        line("memory_limit", "scheduler", 5000, 5000),
        line("pods", "scheduler", 1, 1),
        line("pods", "worker default", 2, 3),
    ]

    [usage] = sections_of(lines, queues=queues, executor="celery")
    cpu, memory, pods = usage.charts

    assert {one.label: one.values for one in cpu.lines} == {"CPU": (0.5, 0.9), "Limit": (2, 2)}
    assert "limit 2.00 CPU" in cpu.detail
    assert [one.label for one in memory.lines] == ["Memory"]
    assert memory.detail == "peak 100 B, limit 4.9 KiB"
    assert {one.label: one.values for one in pods.lines} == {
        "Components": (1, 1),
        "Workers": (2, 3),
        "At most": (8, 8),
    }
    [usage] = sections_of(lines, queues=queues, executor="local")
    assert [one.label for one in usage.charts[-1].lines] == ["Components", "Workers"]


def test_points_have_gaps_as_gaps(alice: User, measured: Deployment, client_of: ClientOf):
    told = client_of(alice).get(f"{URL}points/?range=1h").json()

    charts = {chart["key"]: chart for chart in told["charts"]}
    queue = charts["queue-default"]
    running = next(line for line in queue["lines"] if line["label"] == "Tasks running")
    assert queue["step"] == 30
    assert set(running["values"]) == {2, None}
    assert any(end - begin >= 540 for begin, end in queue["gaps"])
    assert charts["cpu-scheduler"]["unit"] == "cores"
    assert told["end"] - told["begin"] == 3600
    assert told["zone"]


def test_a_failure_of_collecting_is_said(alice: User, measured: Deployment, client_of: ClientOf):
    hour_ago = timezone.now() - timedelta(hours=1)
    Collection.objects.update(answered_at=hour_ago, last_error="It did not answer.")

    page = client_of(alice).get(URL).content.decode()

    assert "The newest measurements are missing" in page
    assert "It did not answer." in page


def test_hostile_names_are_text(alice: User, deployment: Deployment, client_of: ClientOf):
    put_history(deployment, queue=EVIL)

    page = client_of(alice).get(URL).content.decode()
    table = client_of(alice).get(f"{URL}csv/").content.decode()

    check_page(page)
    assert EVIL not in page
    assert "&lt;script&gt;" in page
    assert EVIL in table


def test_the_download_is_a_table_without_formulas(
    alice: User, deployment: Deployment, client_of: ClientOf
):
    put_history(deployment, queue="=cmd|' /C calc'!A0")

    response = client_of(alice).get(f"{URL}csv/?range=1h")
    rows = list(csv.reader(io.StringIO(response.content.decode())))

    assert response["Content-Disposition"] == 'attachment; filename="etl-prod-7f3c-analytics.csv"'
    assert rows[0] == ["time", "chart", "line", "unit", "value"]
    assert ["DAG runs", "Failed", "count", "1"] in [row[1:] for row in rows]
    assert not any(cell.startswith("=") for row in rows for cell in row)


def test_many_pools_are_cut_and_cost_nothing_more(
    alice: User, deployment: Deployment, make_deployment: Any, client_of: ClientOf
):
    client = client_of(alice)
    put_history(deployment)
    client.get(URL)
    with CaptureQueriesContext(connection) as few:
        client.get(URL)
    other = make_deployment(ref="etl-other")
    put_history(other, pools=60)

    client.get("/d/etl-other/analytics/")
    with CaptureQueriesContext(connection) as many:
        page = client.get("/d/etl-other/analytics/").content.decode()

    assert len(many) == len(few) <= 12
    assert "more are in the download alone." in page
    assert len(page) < 100_000


def test_the_overview_has_the_last_day_as_a_bar(
    alice: User, measured: Deployment, client_of: ClientOf
):
    page = client_of(alice).get("/d/etl-prod-7f3c/").content.decode()

    check_page(page)
    assert "DAG runs by hour, the last 24 hours: 10 ended, 1 failed" in page
    assert '<rect data-tone="bad"' in page
    assert f'href="{URL}"' in page


def test_the_overview_of_a_deployment_without_measurements_has_no_bar(
    alice: User, deployment: Deployment, client_of: ClientOf
):
    assert "Last 24 hours" not in client_of(alice).get("/d/etl-prod-7f3c/").content.decode()


def test_bars_stand_on_each_other_and_a_gap_is_no_zero():
    bars = bars_of([None, (0, 0), (6, 2), (4, 0)])

    assert [(bar.tone, bar.x, bar.y, bar.height) for bar in bars] == [
        ("idle", 0, 38, 2),
        ("good", 20, 10, 30),
        ("bad", 20, 0, 10),
        ("good", 30, 20, 20),
    ]


@pytest.mark.parametrize(
    ("query", "length"),
    [
        ({}, timedelta(days=1)),
        ({"range": "1h"}, timedelta(hours=1)),
        ({"range": "30d"}, timedelta(days=30)),
        ({"range": "../../etc"}, timedelta(days=1)),
        ({"from": "2026-11-27T10:00", "to": "2026-11-27T14:00"}, timedelta(hours=4)),
        ({"from": "2026-11-28T11:00", "to": "2036-11-28T11:00"}, timedelta(hours=1)),
        ({"from": "2006-11-28T11:00", "to": "2026-11-28T11:00"}, timedelta(days=731)),
        ({"from": "2026-11-28T11:00", "to": "2026-11-28T11:01"}, timedelta(minutes=5)),
    ],
)
def test_a_range_is_what_its_address_says(query: dict[str, str], length: timedelta):
    shown = range_of(query, now=NOW)

    assert shown.problem == ""
    assert shown.length == length


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({"from": "yesterday", "to": "2026-11-28T11:00"}, "Enter both times"),
        ({"from": "2026-11-28T11:00"}, "Enter both times"),
        ({"from": "2026-11-28T11:00", "to": "2026-11-28T10:00"}, "ends before it begins"),
        ({"from": "2026-12-28T11:00", "to": "2026-12-28T12:00"}, "in the future"),
        ({"from": "9999-12-31T23:59", "to": "0001-01-01T00:00"}, "Enter both times"),
    ],
)
def test_a_range_that_is_none_is_explained(query: dict[str, str], problem: str):
    shown = range_of(query, now=NOW)

    assert problem in shown.problem
    assert shown.length == timedelta(days=1)


def test_ranges_lead_to_their_neighbours():
    shown = range_of({"from": "2026-11-27T10:00", "to": "2026-11-27T14:00"}, now=NOW)

    moves = {key: query for key, _, query in shown.moves()}

    assert moves["earlier"] == "from=2026-11-27T08%3A00&to=2026-11-27T12%3A00"
    assert moves["later"] == "from=2026-11-27T12%3A00&to=2026-11-27T16%3A00"
    assert moves["zoom-in"] == "from=2026-11-27T11%3A00&to=2026-11-27T13%3A00"
    assert moves["zoom-out"] == "from=2026-11-27T08%3A00&to=2026-11-27T16%3A00"
