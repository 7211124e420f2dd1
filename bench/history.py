"""Measuring 1,000 Deployments, and drawing a month of one.

Writing stands beside COPY of the same points into a table of rows, reading beside a query of such a
table. Wall times count, because most of the work is the database's; CPU is that of this process.
Where Debian's Prometheus is installed, a month in it stands beside, too.
"""

import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from django.db import connection
from django.urls import reverse
from django.utils import timezone

from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.status import AirflowResponse
from apps.deployments.models import Deployment
from apps.deployments.reconciling.results import observed_json
from apps.observability.analytics.charts import SHOWN
from apps.observability.collecting import asking, turns
from apps.observability.collecting.asking import Target
from apps.observability.collecting.collector import Collector
from apps.observability.history import storage
from apps.observability.history.metrics import RAW, STEPS
from apps.observability.history.models import Collection, HistoryDay, Sample, Series
from apps.observability.history.packing import DAY_SECONDS, joined, packed
from apps.observability.history.queries import lines, span_between
from apps.observability.history.storage import Gauges, Name, SeriesIds
from bench.measure import Timing, by_turns
from bench.population import populate
from bench.prometheus import is_installed, prometheus_with
from bench.quiet import control_noise
from bench.report import Line
from bench.settled_plane import SettledPlane
from bench.visitor import client_of, getter, n_queries

N_DEPLOYMENTS, N_PACKED, PACKED_HOURS, DAYS = 1000, 20, 24, 30
# The four components with CPU and memory, one queue, three pools: 20 values.
PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("cpu_millis", ("scheduler", "api-server", "dag-processor", "triggerer")),
    ("memory_bytes", ("scheduler", "api-server", "dag-processor", "triggerer")),
    ("queued", ("default",)),
    ("running", ("default",)),
    ("workers", ("default",)),
    ("pool_used", ("default_pool", "load", "send")),
    ("pool_waiting", ("default_pool", "load", "send")),
    ("heartbeat_age", ("scheduler", "dag-processor")),
    ("database_bytes", ("",)),
)
NAMES: tuple[Name, ...] = tuple((metric, part) for metric, parts in PARTS for part in parts)
MOST_BYTES_A_POINT, LEAST_OF_COPY, MOST_OF_TABLE = 6.0, 0.5, 0.05
MOST_OF_PROMETHEUS = 1.0
MOST_OF_A_CORE, MOST_QUERIES, MOST_PAGE_BYTES, MOST_PAGE_MS = 0.15, 6, 100_000, 100.0
_NARROW = """
    CREATE TABLE IF NOT EXISTS bench_point (
        series bigint NOT NULL, at timestamptz NOT NULL, value real NOT NULL
    )
"""
_QUERY = """
    SELECT floor(extract(epoch FROM at) / 7200), max(value) FROM bench_point
    WHERE series = %s AND at >= %s AND at < %s GROUP BY 1 ORDER BY 1
"""


def run() -> tuple[list[Line], list[str]]:
    population = populate(
        n_workspaces=5, n_deployments=N_DEPLOYMENTS, n_users=10, in_first_workspace=100
    )
    deployments = population.deployments
    found, notes = [], []
    ingest, noise = _ingest(deployments)
    found += ingest
    found += [_collecting(deployments), _size(deployments[:N_PACKED])]
    shown = deployments[0]
    fill_month(shown)
    _fill_rows(shown)
    found += _reading(shown)
    found += _beside_prometheus(shown)
    client = client_of(population.reader)
    found += _pages(client, shown)
    return found, [*notes, *noise]


# ---------- Writing ----------


def _ingest(deployments: list[Deployment]) -> tuple[list[Line], list[str]]:
    ids = SeriesIds()
    moments = _moments()
    storage.write_samples(gauges=_gauges(deployments, next(moments)), ids=ids)
    with connection.cursor() as cursor:
        cursor.execute(_NARROW)
        cursor.execute("CREATE INDEX IF NOT EXISTS bench_by_series ON bench_point (series, at)")

    def ours() -> None:
        storage.write_samples(gauges=_gauges(deployments, next(moments)), ids=ids)

    def copy() -> None:
        at = next(moments)
        with (
            connection.cursor() as cursor,
            cursor.copy("COPY bench_point (series, at, value) FROM STDIN") as target,
        ):
            for one in _gauges(deployments, at):
                for series, value in zip(
                    ids.of(one.deployment_id, one.values).values(), one.values.values(), strict=True
                ):
                    target.write_row((series, at, value))

    times = by_turns({"ours": ours, "copy": copy, "control": copy}, n_calls=3, n_rounds=5)
    points = len(deployments) * len(NAMES)
    mine, theirs = (points / (times[name].wall_ms / 1000) for name in ("ours", "copy"))
    ratios = [b / a for a, b in zip(times["ours"].wall, times["copy"].wall, strict=True)]
    value = median(ratios)
    line = Line(
        name="ingest, 1,000 Deployments x 20",
        ours=f"{mine:,.0f} points/s",
        peer=f"COPY of rows {theirs:,.0f} points/s",
        ratio=value,
        spread=(min(ratios), max(ratios)),
        goal=f">= {LEAST_OF_COPY}x",
        is_met=value >= LEAST_OF_COPY,
    )
    return [line], list(control_noise(times["control"].wall))


def _moments() -> Iterator[datetime]:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    return (begin + timedelta(seconds=RAW * number) for number in count())


def _gauges(deployments: list[Deployment], at: datetime) -> list[Gauges]:
    chance = random.Random(at.timestamp())  # noqa: S311 - no secret
    return [
        Gauges(
            deployment_id=deployment.pk,
            at=at,
            values={name: _value(name[0], chance) for name in NAMES},
        )
        for deployment in deployments
    ]


def _value(metric: str, chance: random.Random) -> float:
    """Return a value as such a metric has: bytes and CPU vary in each digit, counts are small."""
    if metric in ("cpu_millis", "memory_bytes", "database_bytes"):
        return chance.uniform(1e8, 6e8)
    return float(chance.choice((0, 0, 0, 1, 2, 7)))


def _size(deployments: list[Deployment]) -> Line:
    """Write a day of some Deployments as the collector and its job do, and weigh it."""
    Sample.objects.all().delete()
    begin, ids = timezone.now() - timedelta(hours=PACKED_HOURS + 2), SeriesIds()
    for step in range(PACKED_HOURS * 3600 // RAW):
        at = begin + timedelta(seconds=RAW * step)
        storage.write_samples(gauges=_gauges(deployments, at), ids=ids)
    began = time.perf_counter()
    while storage.pack_hours(now=timezone.now()):
        pass
    seconds = time.perf_counter() - began
    points = len(deployments) * len(NAMES) * PACKED_HOURS * 3600 // RAW
    with connection.cursor() as cursor:
        cursor.execute("VACUUM observability_historyday")
        cursor.execute(
            "SELECT sum(octet_length(packed)) FILTER (WHERE step = 30), "
            "sum(pg_column_size(packed)) FROM observability_historyday"
        )
        raw, stored = (float(value or 0) for value in cursor.fetchone())
    bytes_a_point = stored / points
    return Line(
        name="stored bytes a point, 3 resolutions",
        ours=f"{bytes_a_point:.2f} B, packed at {points / seconds:,.0f} points/s",
        peer=f"raw floats {raw / points:.2f} B",
        goal=f"<= {MOST_BYTES_A_POINT:g} B",
        is_met=bytes_a_point <= MOST_BYTES_A_POINT,
    )


# ---------- Collecting ----------


def _collecting(deployments: list[Deployment]) -> Line:
    """Ask 1,000 Deployments twice. Answers come at once, so their time is left out."""
    now = timezone.now()
    seen = observed_json({}, SettledPlane().observe(ref="any"))
    Deployment.objects.update(observation=seen, observed_at=now)
    FakePlane.store.respond = lambda *_: AirflowResponse(status=200, data=_answer(now))
    turns.add_missing()
    collector, asked, cpu = Collector(), 0, 0.0
    for _ in range(2):
        Collection.objects.update(next_at=timezone.now() - timedelta(seconds=1))
        asked, began = 0, time.process_time()
        done: list[object] = []
        while found := collector._step(done):  # type: ignore[arg-type]
            done = [
                (turn, asking.ask(one, now=now) if isinstance(one, Target) else one)
                for turn, one in found
            ]
            asked += len(found)
        cpu = time.process_time() - began
    FakePlane.store.respond = None
    part = cpu / turns.EVERY_SECONDS * len(deployments) / max(1, asked)
    return Line(
        name="collecting 1,000 Deployments",
        ours=f"{100 * part:.1f} % of a core ({1000 * cpu / max(1, asked):.2f} ms each)",
        goal=f"<= {100 * MOST_OF_A_CORE:.0f} %",
        is_met=part <= MOST_OF_A_CORE and asked >= len(deployments),
    )


def _answer(now: datetime) -> dict[str, object]:
    clock = int(now.timestamp())
    bucket = clock // 300 * 300
    return {
        "clock": clock,
        "database_bytes": 9_000_000,
        "tasks": [["default", 3, 2]],
        "runs": {"running": 1},
        "pools": [["default_pool", 128, 2, 3, 1], ["load", 8, 2, 0, 0], ["send", 4, 0, 0, 0]],
        "heartbeats": {"SchedulerJob": 2.5, "DagProcessorJob": 1.0, "TriggererJob": 3.0},
        "strain": {"lost_tasks": 0, "triggers": 2, "triggers_waiting": 0, "parse_age": 12},
        "ended": {
            "from": bucket - 900,
            "until": clock,
            "runs": [[bucket - 300, 4, 1, 30.0, 60.0, None]],
            "tasks": [[bucket - 300, 9, 1, 2, 3.0, 8.0, 0.5, 2.0]],
        },
    }


# ---------- Reading ----------


def fill_month(deployment: Deployment) -> None:
    """Write a month of one Deployment, as the collector and its job keep it."""
    today = timezone.now().date()
    chance = random.Random(7)  # noqa: S311 - no secret
    ids = SeriesIds().of(deployment.pk, NAMES)
    HistoryDay.objects.filter(series__deployment=deployment).delete()
    days = []
    for name, series in ids.items():
        for back in range(DAYS + 1):
            values = [_value(name[0], chance) for _ in range(DAY_SECONDS // RAW)]
            for step in STEPS:
                part = joined(values, size=step // RAW, how="highest")
                day = today - timedelta(days=back)
                days.append(HistoryDay(series_id=series, step=step, day=day, packed=packed(part)))
    HistoryDay.objects.bulk_create(days, batch_size=500)
    with connection.cursor() as cursor:
        # As for the table of rows, and as PostgreSQL does by itself after a while.
        cursor.execute("ANALYZE observability_historyday, observability_series")


def _fill_rows(deployment: Deployment) -> None:
    """Write a month of one series of a Deployment into the table of rows."""
    series = Series.objects.get(deployment=deployment, metric="running", label="default").pk
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE bench_point")
        # As they arrive: those of a thousand Deployments mixed, 20 of which are enough here.
        cursor.execute(
            "INSERT INTO bench_point SELECT CASE other WHEN 0 THEN %s ELSE -other END, "
            "at, random() FROM generate_series(now() - interval '30 days', now(), "
            "interval '30 seconds') AS at, generate_series(0, 19) AS other ORDER BY at",
            [series],
        )
        cursor.execute("ANALYZE bench_point")


def _reading(deployment: Deployment) -> list[Line]:
    now = timezone.now()
    span = span_between(now - timedelta(days=DAYS), now)
    series = Series.objects.get(deployment=deployment, metric="running", label="default").pk
    begin, end = (datetime.fromtimestamp(at, UTC) for at in (span.begin, span.end))

    def ours() -> None:
        lines(deployment_id=deployment.pk, span=span, metrics=("running",), now=now)

    def table() -> None:
        with connection.cursor() as cursor:
            cursor.execute(_QUERY, [series, begin, end])
            cursor.fetchall()

    times = by_turns({"ours": ours, "table": table}, n_calls=5)
    ratios = [a / b for a, b in zip(times["ours"].wall, times["table"].wall, strict=True)]
    value = median(ratios)
    return [
        Line(
            name=f"chart of a month, {span.size} points",
            ours=f"{times['ours'].wall_ms:.1f} ms",
            peer=f"table of rows {times['table'].wall_ms:.1f} ms",
            ratio=value,
            spread=(min(ratios), max(ratios)),
            goal=f"<= {MOST_OF_TABLE}x",
            is_met=value <= MOST_OF_TABLE,
        )
    ]


def _beside_prometheus(deployment: Deployment) -> list[Line]:
    """Read a month of a series here and from Prometheus, which has it beside four others."""
    if not is_installed():
        return []
    now = timezone.now()
    span = span_between(now - timedelta(days=DAYS), now)
    chance = random.Random(8)  # noqa: S311 - no secret
    times = range(span.begin, int(now.timestamp()), RAW)
    series = [
        (f'bench{{series="{number}"}}', [(at, _value("running", chance)) for at in times])
        for number in range(5)
    ]
    with TemporaryDirectory() as folder, prometheus_with(series, Path(folder)) as ask:

        def ours() -> None:
            lines(deployment_id=deployment.pk, span=span, metrics=("running",), now=now)

        def theirs(expression: str) -> Callable[[], object]:
            return lambda: ask(expression, span.begin, span.end, span.step)

        calls = {
            "ours": ours,
            "plain": theirs('bench{series="0"}'),
            "highest": theirs(f'max_over_time(bench{{series="0"}}[{span.step}s])'),
        }
        measured = by_turns(calls, n_calls=5)
    pairs = zip(measured["ours"].wall, measured["plain"].wall, strict=True)
    ratios = [mine / other for mine, other in pairs]
    return [
        Line(
            name="the same beside Prometheus",
            ours=f"{measured['ours'].wall_ms:.1f} ms",
            peer=f"query_range {measured['plain'].wall_ms:.1f} ms, "
            f"of the highest {measured['highest'].wall_ms:.1f} ms",
            ratio=median(ratios),
            spread=(min(ratios), max(ratios)),
            goal=f"<= {MOST_OF_PROMETHEUS:g}x",
            is_met=median(ratios) <= MOST_OF_PROMETHEUS,
        )
    ]


def _pages(client: object, deployment: Deployment) -> list[Line]:
    address = reverse("observability:analytics", args=[deployment.ref])
    points = reverse("observability:analytics_points", args=[deployment.ref])
    overview = reverse("deployments:overview", args=[deployment.ref])
    calls: dict[str, Callable[[], object]] = {
        "page": getter(client, f"{address}?range=30d"),  # type: ignore[arg-type]
        "points": getter(client, f"{points}?range=30d"),  # type: ignore[arg-type]
        "overview": getter(client, overview),  # type: ignore[arg-type]
    }
    times = by_turns(calls, n_calls=5)
    size = len(bytes(calls["page"]()))  # type: ignore[arg-type]
    queries = n_queries(calls["overview"])
    longest = max(times["page"].wall_ms, times["points"].wall_ms)
    return [
        Line(
            name=f"page of charts, {len(SHOWN)} metrics",
            ours=f"{size / 1000:.0f} kB, {_both(times)}",
            goal="<= 100 kB, 100 ms",
            is_met=size <= MOST_PAGE_BYTES and longest <= MOST_PAGE_MS,
        ),
        Line(
            name="overview queries",
            ours=str(queries),
            goal=f"<= {MOST_QUERIES}",
            is_met=queries <= MOST_QUERIES,
        ),
    ]


def _both(times: dict[str, Timing]) -> str:
    return f"{times['page'].wall_ms:.0f} ms and {times['points'].wall_ms:.0f} ms for its points"
