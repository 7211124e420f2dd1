import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.clusters.models import Cluster
from apps.dataplane.errors import Unreachable
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.status import AirflowResponse, LiveMetrics, ScalingDecision, Usage
from apps.deployments.models import Deployment, Phase
from apps.deployments.reconciling.results import observed_json
from apps.deployments.secrets import sealed
from apps.observability.collecting import asking, collector, turns
from apps.observability.collecting.answers import CLOCK_SECONDS, read_answer
from apps.observability.collecting.asking import Reading, Target
from apps.observability.collecting.collector import Collector
from apps.observability.collecting.turns import Turn
from apps.observability.history import queries, storage
from apps.observability.history.models import (
    Collection,
    HistoryDay,
    RecordedDecision,
    Sample,
    Series,
)
from apps.observability.history.storage import Gauges, SeriesIds
from tests.dataplane.specs import SIGN_IN_KEY
from tests.observability.test_log_pages import put_on_plane

NOW = datetime(2026, 11, 28, 12, 2, tzinfo=UTC)
START = int(NOW.timestamp()) // 300 * 300
SIGN_IN_PEM = SIGN_IN_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PATH = ("GET", "/auth/portal/history")


def answer(now: datetime = NOW, **changes: Any) -> dict[str, Any]:
    clock = int(now.timestamp())
    start = clock // 300 * 300
    told = {
        "clock": clock,
        "database_bytes": 9_000_000,
        "tasks": [["default", 3, 2]],
        "runs": {"running": 1},
        "pools": [["default_pool", 128, 2, 3, 1]],
        "heartbeats": {"SchedulerJob": 2.5},
        "ended": {
            "from": start - 900,
            "until": clock,
            "runs": [[start - 300, 4, 1, 30.0, 60.0, None]],
            "tasks": [[start - 300, 9, 1, 2, 3.0, 8.0, 0.5, 2.0]],
        },
    }
    return {**told, **changes}


# ---------- Answers ----------


def test_an_answer_is_read_as_numbers_by_name():
    read = read_answer(answer(), since=START - 900, now=NOW)

    assert read is not None
    assert read.problem == ""
    assert read.gauges == {
        ("database_bytes", ""): 9_000_000,
        ("runs_queued", ""): 0,
        ("runs_running", ""): 1,
        ("queued", "default"): 3,
        ("running", "default"): 2,
        ("pool_slots", "default_pool"): 128,
        ("pool_used", "default_pool"): 5,
        ("pool_waiting", "default_pool"): 1,
        ("heartbeat_age", "scheduler"): 2.5,
    }
    assert read.ended is not None
    assert read.ended.values["runs_succeeded"] == {START - 300: 4}
    assert read.ended.values["delay_p90"] == {}
    assert read.ended.values["tasks_retried"] == {START - 300: 2}


@pytest.mark.parametrize("said", [None, [], "x", 7, {}, {"clock": "noon"}, {"clock": float("nan")}])
def test_what_is_no_answer_is_none(said: object):
    assert read_answer(said, since=None, now=NOW) is None


RUBBISH = [None, True, -1, float("inf"), "7", [], {}, 10**400]


@pytest.mark.parametrize("rubbish", RUBBISH, ids=lambda value: str(value)[:8])
def test_rubbish_is_left_out_and_the_rest_is_kept(rubbish: Any):
    said = answer(
        database_bytes=rubbish,
        tasks=[["default", 3, 2], ["other", rubbish, 1], rubbish, [rubbish, 1, 1]],
        pools=rubbish,
        heartbeats=rubbish,
        runs=rubbish,
        ended=answer()["ended"] | {"runs": [[START - 300, rubbish, 1, 1, 1, 1], rubbish]},
    )

    read = read_answer(said, since=START - 900, now=NOW)

    assert read is not None
    known = {label for metric, label in read.gauges if metric in ("queued", "running")}
    assert known - {"7"} == {"default"}
    assert {metric for metric, _ in read.gauges} <= {
        "queued",
        "running",
        "runs_queued",
        "runs_running",
    }
    assert read.ended is not None
    assert read.ended.values["runs_succeeded"] == {}
    assert read.ended.values["runs_failed"] == {START - 300: 1}


def test_names_are_cut_and_stripped_and_lists_have_an_end():
    rows = [[f"q\x1b[31m\u202e\ud800{number:03d}" + "x" * 500, 1, 1] for number in range(5000)]

    read = read_answer(answer(tasks=rows), since=None, now=NOW)

    assert read is not None
    labels = {label for metric, label in read.gauges if metric == "queued"}
    assert len(labels) == 100
    assert all(len(label) == 100 and "\x1b" not in label for label in labels)
    assert all(label.encode() for label in labels)


def test_buckets_of_another_time_are_left_out():
    ended = {
        "from": 0,
        "until": 10**12,
        "runs": [[START - 86_400, 7, 0, 1, 1, 1], [START + 86_400, 7, 0, 1, 1, 1]],
        "tasks": [[START - 300 + 1, 7, 0, 0, 1, 1, 1, 1]],
    }

    read = read_answer(answer(ended=ended), since=START - 900, now=NOW)

    assert read is not None
    assert read.ended is not None
    assert (read.ended.begin, read.ended.end) == (START - 900, int(NOW.timestamp()))
    assert not any(read.ended.values.values())


def test_a_clock_that_is_wrong_is_said():
    ahead = answer(clock=int(NOW.timestamp()) + 7200)

    late = read_answer(ahead, since=START, now=NOW)
    fine = read_answer(answer(), since=START, now=NOW + timedelta(seconds=CLOCK_SECONDS - 1))

    assert late is not None
    assert late.problem == "Its clock is 120 min ahead of that of the portal."
    assert fine is not None
    assert fine.problem == ""


def test_a_database_that_is_slow_is_said():
    read = read_answer(answer(ended=None), since=START, now=NOW)

    assert read is not None
    assert read.ended is None
    assert "too long" in read.problem


# ---------- Turns ----------


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(settings, "AIRFLOW_SIGN_IN_KEY", SIGN_IN_PEM)
    yield
    # Clusters are held as long as the connection lasts, which is that of all tests.
    if connection.connection is not None and not connection.connection.closed:
        connection.connection.execute("SELECT pg_advisory_unlock_all()")


@pytest.fixture
def due(deployment: Deployment) -> Deployment:
    put(deployment)
    Deployment.objects.update(created_at=timezone.now() - timedelta(days=1))
    turns.add_missing()
    Collection.objects.update(next_at=timezone.now() - timedelta(seconds=1))
    return deployment


def put(deployment: Deployment) -> None:
    """Give a Deployment its secrets and an Airflow on the fake plane."""
    deployment.airflow_secrets = sealed.new_airflow_secrets(deployment_id=deployment.pk)
    deployment.save(update_fields=["airflow_secrets"])
    put_on_plane(deployment)


def test_deployments_that_run_get_a_turn_and_others_none(
    deployment: Deployment, make_deployment: Callable[..., Deployment]
):
    make_deployment(phase=Phase.DELETED)
    make_deployment(health="stopped")

    assert turns.add_missing() == 1
    assert turns.add_missing() == 0
    assert Collection.objects.get().deployment == deployment


def test_a_turn_is_taken_by_one_collector(due: Deployment):
    [turn] = turns.take_due(most=10)

    assert turn.deployment_id == due.pk
    assert turns.take_due(most=10) == []


def test_a_turn_that_was_taken_and_died_is_due_again(due: Deployment):
    turns.take_due(most=10)

    waits = Collection.objects.get().next_at - timezone.now()

    assert timedelta(seconds=50) < waits <= timedelta(seconds=60)


def test_the_next_turn_keeps_to_the_rhythm(due: Deployment):
    planned = timezone.now() - timedelta(seconds=4)
    Collection.objects.update(next_at=planned)
    [turn] = turns.take_due(most=10)

    turns.put_back([outcome(turn)])

    assert turn.due_at == planned
    assert Collection.objects.get().next_at == planned + timedelta(seconds=30)


def test_whoever_does_not_answer_is_asked_ever_more_seldom(due: Deployment):
    waits = []
    for _ in range(8):
        Collection.objects.update(next_at=timezone.now())
        [turn] = turns.take_due(most=10)
        turns.put_back([outcome(turn, is_answered=False, problem="No.")])
        waits.append(round((Collection.objects.get().next_at - timezone.now()).total_seconds()))

    assert waits == [30, 60, 120, 240, 300, 300, 300, 300]
    assert Collection.objects.get().last_error == "No."


@pytest.mark.parametrize("jump", [timedelta(hours=-5), timedelta(hours=5)])
def test_a_clock_that_jumped_delays_no_turn(due: Deployment, jump: timedelta):
    Collection.objects.update(next_at=timezone.now() + jump)

    [turn] = turns.take_due(most=10)

    assert abs(turn.due_at - timezone.now()) < timedelta(seconds=5)


def test_clusters_that_are_away_or_busy_are_left_alone(due: Deployment, cluster: Cluster):
    assert turns.take_due(most=10, without=[cluster.pk]) == []
    Cluster.objects.update(blind_until=timezone.now() + timedelta(minutes=1))
    assert turns.take_due(most=10) == []


def outcome(turn: Turn, *, is_answered: bool = True, problem: str = "") -> turns.Outcome:
    return turns.Outcome(
        deployment_id=turn.deployment_id,
        due_at=turn.due_at,
        is_answered=is_answered,
        problem=problem,
        counted_until=None,
    )


# ---------- A round, without threads ----------


def round_of(one: Collector) -> list[Reading]:
    """Take what is due, ask, and write what was answered."""
    readings = [
        (turn, target if isinstance(target, Reading) else asking.ask(target, now=turn.due_at))
        for turn, target in one._step([])
    ]
    one._write(readings)
    return [reading for _, reading in readings]


def points(deployment: Deployment, metric: str) -> list[float]:
    now = timezone.now()
    span = queries.span_between(now - timedelta(hours=1), now)
    found = queries.lines(deployment_id=deployment.pk, span=span, metrics=[metric], now=now)
    return [value for line in found for value in line.values if value is not None]


def test_a_round_keeps_what_airflow_says_and_what_was_seen(due: Deployment):
    now = timezone.now()
    FakePlane.store.responses[PATH] = AirflowResponse(status=200, data=answer(now))
    seen = FakePlane().observe(ref=due.ref)
    Deployment.objects.update(observation=observed_json({}, seen))

    [reading] = round_of(Collector())

    assert reading.is_answered
    assert points(due, "queued") == [3]
    assert points(due, "pool_slots") == [128]
    assert points(due, "pods") == [1] * 5
    assert sum(points(due, "runs_failed")) == 1
    kept = Collection.objects.get()
    assert kept.answered_at is not None
    assert kept.counted_until is not None
    assert now - kept.counted_until < timedelta(seconds=10)


def test_usage_comes_from_the_plane_where_it_measures(due: Deployment):
    used = {"scheduler": Usage(memory_bytes=500, cpu_millis=70)}
    FakePlane.store.airflows[due.ref].live_metrics = LiveMetrics(taken_at=NOW, usage=used)

    round_of(Collector())

    assert points(due, "cpu_millis") == [70]
    assert points(due, "memory_bytes") == [500]


def test_limits_are_kept_where_the_plane_knows_them(due: Deployment):
    FakePlane.store.limit = Usage(memory_bytes=1000, cpu_millis=400)
    seen = FakePlane().observe(ref=due.ref)
    Deployment.objects.update(observation=observed_json({}, seen))

    round_of(Collector())

    assert points(due, "memory_limit") == [1000] * 5
    assert points(due, "cpu_limit") == [400] * 5


def test_first_a_month_is_asked_for_then_what_is_new(due: Deployment):
    now, long_ago = timezone.now(), timezone.now() - timedelta(days=400)
    asked = [
        collector._since(Turn(deployment_id=1, counted_until=until, due_at=now), first=long_ago)
        for until in (None, now - timedelta(hours=3), now - timedelta(seconds=20))
    ]
    new = collector._since(Turn(deployment_id=1, counted_until=None, due_at=now), first=now)

    assert asked[0] == int((now - timedelta(days=30)).timestamp()) // 300 * 300
    assert new == int(now.timestamp()) // 300 * 300
    assert asked[1] == int((now - timedelta(hours=3, minutes=15)).timestamp()) // 300 * 300
    assert asked[2] is None


def test_after_an_hour_away_counts_are_filled_and_measurements_are_a_gap(due: Deployment):
    now = timezone.now()
    hour_ago = int(now.timestamp()) // 300 * 300 - 3600
    Collection.objects.update(counted_until=now - timedelta(hours=1))
    ended = {
        "from": hour_ago - 900,
        "until": int(now.timestamp()),
        "runs": [[hour_ago + 300 * place, 2, 0, 5, 5, 5] for place in range(1, 12)],
        "tasks": [],
    }
    FakePlane.store.responses[PATH] = AirflowResponse(status=200, data=answer(now, ended=ended))

    round_of(Collector())

    assert sum(points(due, "runs_succeeded")) == 22
    assert len(points(due, "queued")) == 1


def test_asking_again_counts_nothing_twice(due: Deployment):
    now = timezone.now()
    FakePlane.store.responses[PATH] = AirflowResponse(status=200, data=answer(now))
    for one in (Collector(), Collector()):
        Collection.objects.update(next_at=timezone.now(), counted_until=None)
        round_of(one)

    assert sum(points(due, "tasks_succeeded")) == 9
    assert Sample.objects.count() <= 2


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (AirflowResponse(status=404, data=None), "does not tell its history yet"),
        (AirflowResponse(status=500, data={"detail": "x"}), "cannot read (500)"),
        (AirflowResponse(status=200, data=["rubbish"]), "cannot read (200)"),
        (AirflowResponse(status=200, data=None), "cannot read (200)"),
    ],
)
def test_an_answer_that_is_none_is_said_and_remembered(
    due: Deployment, response: AirflowResponse, problem: str
):
    FakePlane.store.responses[PATH] = response

    round_of(Collector())

    assert problem in Collection.objects.get().last_error
    assert points(due, "queued") == []


def test_an_airflow_that_is_away_is_a_gap(due: Deployment):
    FakePlane.store.fail("airflow", Unreachable("The API server does not answer."))

    [reading] = round_of(Collector())

    assert not reading.is_answered
    assert Collection.objects.get().last_error == "The API server does not answer."
    assert not Series.objects.exists()


def test_a_round_costs_the_same_for_many(
    due: Deployment, make_deployment: Callable[..., Deployment]
):
    now = timezone.now()
    told = answer(now)
    del told["ended"]
    FakePlane.store.responses[PATH] = AirflowResponse(status=200, data=told)
    one = Collector()
    others = [make_deployment() for _ in range(5)]
    for other in others:
        put(other)
    turns.add_missing()
    costs = []
    for number in (1, 6, 6):
        later = timezone.now() + timedelta(seconds=200)
        chosen = [due, *others][:number]
        Collection.objects.update(next_at=later, counted_until=timezone.now())
        Collection.objects.filter(pk__in=[each.pk for each in chosen]).update(
            next_at=timezone.now() - timedelta(seconds=1)
        )
        with CaptureQueriesContext(connection) as asked:
            assert len(round_of(one)) == number
        costs.append(len(asked))

    # The second round learns the series of five new ones; the third knows all.
    assert costs[2] <= costs[0]
    assert costs[2] <= 8


# ---------- The process ----------


@pytest.fixture
def slow_plane(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let every answer wait for the event."""
    go = threading.Event()

    def ask(target: Target, *, now: datetime) -> Reading:
        go.wait(20)
        return Reading(deployment_id=target.deployment_id, at=now, gauges={("queued", "x"): 1.0})

    monkeypatch.setattr(collector, "ask", ask)
    yield go
    go.set()


async def _run(one: Collector, *, until: Callable[[], bool], seconds: float = 15) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(one.run(stop=stop))
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(_in_thread, until) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    stop.set()
    await running


def _in_thread(until: Callable[[], bool]) -> bool:
    try:
        return until()
    finally:
        connection.close()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_two_collectors_together_write_every_sample_once(
    deployment: Deployment, make_deployment: Callable[..., Deployment]
):
    told = answer(timezone.now())
    FakePlane.store.responses[PATH] = AirflowResponse(status=200, data=told)
    for one in (deployment, *(make_deployment() for _ in range(7))):
        put(one)
    turns.add_missing()
    Collection.objects.update(next_at=timezone.now())

    async def both() -> None:
        wanted = lambda: Sample.objects.count() >= 8  # noqa: E731
        await asyncio.gather(_run(Collector(), until=wanted), _run(Collector(), until=wanted))

    asyncio.run(both())

    asked = [ref for method, ref in FakePlane.store.calls if method == "airflow"]
    assert len(asked) == 8
    assert Sample.objects.count() == 8
    assert not Collection.objects.exclude(last_error="").exists()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_deployment_that_hangs_takes_two_threads_of_its_cluster_at_most(
    deployment: Deployment,
    make_deployment: Callable[..., Deployment],
    slow_plane: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(collector, "DEADLINE_SECONDS", 0.5)
    for one in (deployment, *(make_deployment() for _ in range(4))):
        put(one)
    turns.add_missing()
    Collection.objects.update(next_at=timezone.now())

    def is_said() -> bool:
        return Collection.objects.filter(last_error__contains="did not answer").count() >= 2

    asyncio.run(_run(Collector(), until=is_said))

    assert Collection.objects.filter(last_error__contains="did not answer").count() == 2
    assert not Sample.objects.exists()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_batch_of_a_deployment_that_is_gone_does_not_stop_the_others(
    deployment: Deployment, make_deployment: Callable[..., Deployment]
):
    put(deployment)
    turns.add_missing()
    Collection.objects.update(next_at=timezone.now())
    one = Collector()
    gone = Turn(deployment_id=deployment.pk + 1000, counted_until=None, due_at=NOW)
    one._done = [
        (gone, Reading(deployment_id=gone.deployment_id, at=NOW, gauges={("pods", ""): 1}))
    ]

    asyncio.run(_run(one, until=lambda: Collection.objects.exclude(last_error="").exists()))

    assert "does not tell its history yet" in Collection.objects.get().last_error


FULL = """
    CREATE FUNCTION refuse_as_full() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER full_disk BEFORE INSERT ON observability_sample
    EXECUTE FUNCTION refuse_as_full();
"""


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_what_a_full_disk_refuses_is_written_when_there_is_room(deployment: Deployment):
    put(deployment)
    one = Collector()
    turn = Turn(deployment_id=deployment.pk, counted_until=None, due_at=NOW)
    reading = Reading(deployment_id=deployment.pk, at=NOW, gauges={("pods", ""): 1})
    one._done = [(turn, reading)]

    with connection.cursor() as cursor:
        cursor.execute(FULL)
    try:
        asyncio.run(one._turn())
        assert one._done == [(turn, reading)]
        assert not Sample.objects.exists()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse_as_full CASCADE")
    asyncio.run(one._turn())
    one._database.submit(collector._close).result()

    assert Sample.objects.filter(deployment=deployment).count() == 1
    assert (turn, reading) not in one._done


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_the_command_asks_and_ends_when_it_is_told_to(deployment: Deployment, tmp_path: Path):
    database = connection.settings_dict
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "astro_portal.settings",
        "DATABASE_URL": (
            f"postgresql://{quote(database['USER'], '')}:{quote(database['PASSWORD'], '')}"
            f"@{quote(database['HOST'], '')}:{database['PORT']}/{database['NAME']}"
        ),
        "PORTAL_AIRFLOW_SIGN_IN_KEY": SIGN_IN_PEM,
        "PORTAL_HEARTBEAT_FILE": str(tmp_path / "alive"),
    }
    command = [sys.executable, "manage.py", "collect"]
    with subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment) as process:
        deadline = time.monotonic() + 60
        while (
            time.monotonic() < deadline and not Collection.objects.exclude(last_error="").exists()
        ):
            Collection.objects.update(next_at=timezone.now())
            time.sleep(0.5)
        process.terminate()
        assert process.wait(30) == 0

    # Without a key ring this is as far as a question comes; the process goes on all the same.
    assert Collection.objects.get().last_error == collector.NOT_ASKED
    assert (tmp_path / "alive").exists()


# ---------- Decisions about workers, and who asks a cluster ----------


def test_decisions_are_kept_with_the_tasks_that_airflow_counted(due: Deployment):
    now = timezone.now()
    decided = ScalingDecision(
        at=now,
        queue="default",
        queued=None,
        running=None,
        ready=None,
        concurrency=2,
        min_workers=0,
        max_workers=3,
        cooldown_seconds=300,
        wanted=3,
        workers=1,
        reason="up",
    )
    FakePlane.store.airflows[due.ref].scaling = (decided,)
    FakePlane.store.responses[PATH] = AirflowResponse(status=200, data=answer(now))
    once = Collector()

    for _ in range(2):
        Collection.objects.update(next_at=now - timedelta(seconds=1))
        [(turn, target)] = once._step([])
        assert isinstance(target, Target)
        once._step([(turn, asking.ask(target, now=now))])

    row = RecordedDecision.objects.get()
    assert (row.queued, row.running, row.wanted, row.reason) == (3, 2, 3, "up")


def test_a_cluster_is_asked_by_one_collector(due: Deployment):
    key = "SELECT pg_try_advisory_lock(hashtext('portal.collecting'), %s)"
    other = psycopg.connect(**_login())
    try:
        other.execute(key, [due.cluster_id])
        assert turns.take_due(most=10) == []
        # Its server lets go of the lock some time after a connection has ended.
        other.execute(key.replace("pg_try_advisory_lock", "pg_advisory_unlock"), [due.cluster_id])
    finally:
        other.close()

    assert [turn.deployment_id for turn in turns.take_due(most=10)] == [due.pk]


def _login() -> dict[str, Any]:
    names = ("dbname", "user", "password", "host", "port")
    given = connection.get_connection_params()
    return {name: given[name] for name in names if given.get(name)}


def test_series_that_are_gone_make_room_after_a_day(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
):
    # One of them is when in its half minute a sample was taken.
    monkeypatch.setattr(storage, "MOST_SERIES", 4)
    now, queued = timezone.now(), Series.objects.filter(metric="queued")
    old, new = (
        Gauges(
            deployment_id=deployment.pk,
            at=at,
            values={("queued", f"{name}-{number}"): 1.0 for number in range(3)},
        )
        for at, name in ((now - timedelta(days=3), "old"), (now, "new"))
    )
    storage.write_samples(gauges=[old], ids=SeriesIds())
    storage.write_samples(gauges=[new], ids=SeriesIds())
    assert set(queued.values_list("label", flat=True)) == {"old-0", "old-1", "old-2"}

    while storage.pack_hours(now=now):
        pass
    storage.write_samples(gauges=[replace(new, at=now + timedelta(seconds=30))], ids=SeriesIds())

    assert Series.objects.filter(label__startswith="new").count() == 3
    HistoryDay.objects.filter(series__label="old-1").delete()
    storage.forget(now=now)
    assert set(Series.objects.filter(label__startswith="old").values_list("label", flat=True)) == {
        "old-0",
        "old-2",
    }
