from datetime import UTC, datetime, timedelta
from math import isnan
from random import Random
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.deployments.models import Deployment
from apps.observability.history import storage
from apps.observability.history.metrics import SECOND
from apps.observability.history.models import HistoryDay, Sample, Series
from apps.observability.history.packing import day_of, empty, joined, packed, unpacked
from apps.observability.history.queries import Line, Span, lines, span_between
from apps.observability.history.storage import Buckets, Gauges, SeriesIds

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
NAN = float("nan")


def sample(deployment: Deployment, at: datetime, **values: float) -> Gauges:
    named = {(metric, "default"): value for metric, value in values.items()}
    return Gauges(deployment_id=deployment.pk, at=at, values=named)


def measure(deployment: Deployment, begin: datetime, values: list[float | None]) -> None:
    """Write a sample of `queued` every 30 seconds; None is one that was missed."""
    gauges = [
        sample(deployment, begin + timedelta(seconds=30 * place), queued=value)
        for place, value in enumerate(values)
        if value is not None
    ]
    storage.write_samples(gauges=gauges, ids=SeriesIds())


def read(deployment: Deployment, begin: datetime, end: datetime, *metrics: str) -> list[Line]:
    span = span_between(begin, end)
    return lines(deployment_id=deployment.pk, span=span, metrics=metrics, now=NOON)


def test_a_day_is_bytes_and_comes_back():
    day = empty(30)
    day[7] = 2.5

    back = day_of(packed(day), step=30)

    assert len(packed(day)) == 4 * 2880
    assert back[7] == 2.5
    assert isnan(back[8])
    assert all(isnan(value) for value in day_of(b"broken", step=30))


def test_values_of_an_interval_are_joined_and_gaps_stay():
    values = [1, 2, NAN, 4, NAN, NAN]

    assert list(joined(values, size=2, how="sum"))[:2] == [3, 4]
    assert list(joined(values, size=2, how="highest"))[:2] == [2, 4]
    assert list(joined(values, size=2, how="mean"))[:2] == [1.5, 4]
    assert isnan(joined(values, size=2, how="sum")[2])
    assert list(joined([NAN, 5, NAN, 3, NAN, 7], size=3, how="highest")) == [5, 7]


@pytest.mark.parametrize(
    ("length", "step"),
    [
        (timedelta(hours=1), 30),
        (timedelta(days=1), 300),
        (timedelta(days=7), 1800),
        (timedelta(days=30), 7200),
        (timedelta(days=731), 604_800),
    ],
)
def test_a_chart_never_has_more_than_some_hundred_points(length: timedelta, step: int):
    span = span_between(NOON - length, NOON)

    assert span.step == step
    assert span.size <= 362
    assert span.begin % step == span.end % step == 0


def test_samples_are_read_at_once_with_gaps_as_gaps(deployment: Deployment):
    measure(deployment, NOON - timedelta(minutes=2), [1, None, 3, 4])

    [line] = read(deployment, NOON - timedelta(minutes=3), NOON, "queued")

    assert (line.metric, line.label, line.span.step) == ("queued", "default", 30)
    assert line.values == (None, None, 1, None, 3, 4)


def test_a_second_collector_changes_nothing(deployment: Deployment):
    measure(deployment, NOON, [1])
    measure(deployment, NOON + timedelta(seconds=9), [70])

    assert Sample.objects.count() == 1
    [line] = read(deployment, NOON, NOON + timedelta(seconds=30), "queued")
    assert line.values == (1,)


def test_an_hour_that_is_over_is_packed_and_reads_the_same(deployment: Deployment):
    begin = NOON - timedelta(hours=2)
    measure(deployment, begin, [float(n) for n in range(100)] + [None] * 20 + [7] * 20)
    before = read(deployment, begin, begin + timedelta(hours=2), "queued")

    assert storage.pack_hours(now=NOON + timedelta(minutes=3)) == 2
    assert storage.pack_hours(now=NOON + timedelta(minutes=3)) == 0

    assert Sample.objects.count() == 0
    assert read(deployment, begin, begin + timedelta(hours=2), "queued") == before
    assert set(HistoryDay.objects.values_list("step", flat=True)) == {30, 300, 3600}
    [coarse] = HistoryDay.objects.filter(step=3600, series__metric="queued")
    assert unpacked(coarse.packed)[10:12].tolist() == [99, 7]


def test_an_hour_that_runs_is_not_packed(deployment: Deployment):
    measure(deployment, NOON, [1, 2])

    assert storage.pack_hours(now=NOON + timedelta(hours=1, seconds=90)) == 0
    assert storage.pack_hours(now=NOON + timedelta(hours=1, seconds=130)) == 1


def test_a_sample_that_comes_late_is_merged_into_its_hour(deployment: Deployment):
    begin = NOON - timedelta(hours=2)
    measure(deployment, begin, [1, None, 3])
    storage.pack_hours(now=NOON)

    measure(deployment, begin, [None, 2])
    storage.pack_hours(now=NOON)

    [line] = read(deployment, begin, begin + timedelta(seconds=90), "queued")
    assert line.values == (1, 2, 3)


def buckets(deployment: Deployment, succeeded: dict[int, float]) -> Buckets:
    begin = int((NOON - timedelta(hours=1)).timestamp())
    values = {
        "runs_succeeded": {begin + 300 * at: count for at, count in succeeded.items()},
        "run_p50": {begin + 300 * at: 40.0 for at in succeeded},
    }
    return Buckets(deployment_id=deployment.pk, begin=begin, end=begin + 1800, values=values)


def test_what_ended_replaces_what_was_known_of_its_time(deployment: Deployment):
    storage.write_buckets(buckets=buckets(deployment, {0: 3, 2: 1}), ids=SeriesIds())
    storage.write_buckets(buckets=buckets(deployment, {0: 3, 2: 2}), ids=SeriesIds())

    begin = NOON - timedelta(hours=1)
    runs, p50 = read(deployment, begin, NOON, "runs_succeeded", "run_p50")
    assert runs.span.step == 300
    assert runs.values == (3, 0, 2, 0, 0, 0, None, None, None, None, None, None)
    assert p50.values[:4] == (40, None, 40, None)
    [week] = read(deployment, NOON - timedelta(days=30), NOON, "runs_succeeded")
    assert [value for value in week.values if value is not None] == [5]


def test_two_days_meet_at_midnight(deployment: Deployment):
    midnight = datetime(2026, 11, 28, tzinfo=UTC)
    measure(deployment, midnight - timedelta(minutes=1), [1, 2, 3, 4])
    storage.pack_hours(now=NOON)

    start, end = midnight - timedelta(minutes=1), midnight + timedelta(minutes=1)
    [line] = read(deployment, start, end, "queued")
    assert line.values == (1, 2, 3, 4)
    assert HistoryDay.objects.filter(step=30).exclude(series__metric=SECOND).count() == 2


def test_old_ranges_are_read_from_what_is_still_kept(deployment: Deployment, settings: Any):
    begin = NOON - timedelta(days=20)
    measure(deployment, begin, [5] * 120)
    storage.pack_hours(now=NOON)

    storage.forget(now=NOON)

    assert not HistoryDay.objects.filter(step=30).exists()
    [line] = read(deployment, begin, begin + timedelta(hours=1), "queued")
    assert line.span.step == 300
    assert line.values == (5,) * 12


def test_each_resolution_is_kept_for_as_long_as_the_handbook_says(deployment: Deployment):
    """Fourteen days, ninety days, and two years, unless a setting says something else."""
    measure(deployment, NOON, [1])
    [series] = Series.objects.filter(metric="queued")
    kept = {30: 14, 300: 90, 3600: 731}
    for step, days in kept.items():
        for age in (days, days + 1):
            day = NOON.date() - timedelta(days=age)
            data = packed(empty(step))
            HistoryDay.objects.create(series=series, step=step, day=day, packed=data)

    storage.forget(now=NOON)

    left = {row.step: (NOON.date() - row.day).days for row in HistoryDay.objects.all()}
    assert left == kept
    assert HistoryDay.objects.count() == len(kept)


def test_history_ends_with_its_deployment(deployment: Deployment):
    measure(deployment, NOON - timedelta(hours=2), [1, 2])
    storage.pack_hours(now=NOON)
    measure(deployment, NOON, [3])
    Deployment.objects.update(phase="deleted")

    storage.forget(now=NOON)

    assert not Series.objects.exists()
    assert not HistoryDay.objects.exists()
    assert not Sample.objects.exists()


def test_reading_asks_twice_whatever_there_is(deployment: Deployment):
    for part in range(30):
        gauges = Gauges(
            deployment_id=deployment.pk, at=NOON, values={("queued", f"queue-{part}"): 1.0}
        )
        storage.write_samples(gauges=[gauges], ids=SeriesIds())

    with CaptureQueriesContext(connection) as asked:
        read(deployment, NOON - timedelta(days=30), NOON, "queued", "running", "runs_failed")

    assert len(asked) == 2


def test_a_deployment_that_names_ever_more_things_gets_no_more_series(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(storage, "MOST_SERIES", 10)
    values = {("pool_used", f"pool-{number}"): 1.0 for number in range(50)}

    gauges = Gauges(deployment_id=deployment.pk, at=NOON, values=values)
    storage.write_samples(gauges=[gauges], ids=SeriesIds())

    assert Series.objects.count() == 10
    assert len(Sample.objects.get().series) == 10


def test_another_deployment_sees_nothing_of_it(deployment: Deployment, make_deployment: Any):
    measure(deployment, NOON, [1])

    assert read(make_deployment(), NOON, NOON + timedelta(hours=1), "queued") == []
    assert Span(begin=0, end=60, step=30).size == 2


@pytest.mark.slow
def test_a_measurement_takes_six_bytes_at_most(deployment: Deployment):
    series, day = 20, NOON - timedelta(days=2, hours=12)
    noise = Random(7)  # noqa: S311 - no secret
    gauges = [
        Gauges(
            deployment_id=deployment.pk,
            at=day + timedelta(seconds=30 * slot),
            values={("memory_bytes", f"c{one}"): noise.uniform(1e8, 1e9) for one in range(series)},
        )
        for slot in range(2880)
    ]
    storage.write_samples(gauges=gauges, ids=SeriesIds())

    while storage.pack_hours(now=NOON):
        pass

    with connection.cursor() as cursor:
        # What a row has beside its value: 23 bytes of head, the other columns, and three indexes.
        cursor.execute(
            "SELECT sum(pg_column_size(packed) + 150)::float FROM observability_historyday"
        )
        [size] = cursor.fetchone()
    assert 4 < size / (2880 * series) <= 6
