"""Real workers that are killed, stopped, woken up and ended: what was wanted becomes true, once."""

import base64
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import current_app
from django.conf import settings as portal
from django.db import connection
from django.test import Client

from apps.accounts.models import User
from apps.deployments import tasks
from apps.deployments.editing.services import update_config
from apps.deployments.models import Deployment, Operation, RevisionState
from apps.deployments.reconciling.results import QUARANTINED
from tests.control_groups import limited_group
from tests.deployments.test_reconciler import WIDER
from tests.deployments.workers import (
    GROUP,
    JOURNAL,
    LEASE_SECONDS,
    LIMITS,
    POISON,
    SHORT_STEP_SECONDS,
    STEP,
    STEPS,
    Worker,
    crash,
    eat,
    loop,
    loop_deaf,
    read,
)

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
# Every worker of pytest-xdist has a broker of its own: each test empties it.
BROKER_NUMBER = 100 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
SWEEP_SECONDS = 2.0
START_SECONDS = 90
# Three leases, their sweeps, and as many starts of a process.
QUARANTINE_SECONDS = 180
# For a worker at rest, and some more.
GROUP_MB = 600


class Stage:
    """Workers, their broker and their journal."""

    def __init__(self, folder: Path, environment: dict[str, str], broker: "redis.Redis") -> None:
        self.journal, self.log = folder / "journal", folder / "worker.log"
        self.environment = environment | {JOURNAL: str(self.journal)}
        self.broker = broker
        self.workers: list[Worker] = []

    def start(self) -> Worker:
        self.workers.append(Worker(self.environment, self.log))
        return self.workers[-1]

    def end(self) -> None:
        for worker in self.workers:
            worker.end()

    def until(self, condition: Callable[[], bool], seconds: float = START_SECONDS) -> float:
        """Sweep, as beat would, until something is true; return how long that took."""
        began, swept_at = time.monotonic(), 0.0
        while not condition():
            now = time.monotonic()
            assert now - began < seconds, self.log.read_text()[-3000:]
            if now - swept_at > SWEEP_SECONDS:
                swept_at = now
                tasks.sweep()
            time.sleep(0.05)
        return time.monotonic() - began

    def reaches(self, revision: int, step: int) -> Callable[[], bool]:
        return lambda: any((line.revision, line.step) == (revision, step) for line in self.lines)

    @property
    def lines(self) -> Any:
        return read(self.journal)


@pytest.fixture
def stage(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    url = f"{portal.REDIS_URL.rpartition('/')[0]}/{BROKER_NUMBER}"
    monkeypatch.setattr(current_app.conf, "broker_write_url", url)
    database = connection.settings_dict
    key = base64.b64encode(b"0" * 32).decode()
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        # The tests' own host is a folder with a socket, which is no host of an address.
        "DATABASE_URL": "postgresql://{USER}:{PASSWORD}@localhost:{PORT}/{NAME}".format(**database),
        "REDIS_URL": url,
        "PORTAL_AIRFLOW_SIGN_IN_KEY": settings.AIRFLOW_SIGN_IN_KEY,
        "PORTAL_ENCRYPTION_KEYS": json.dumps({"current": "t1", "keys": {"t1": key}}),
    }
    with redis.Redis.from_url(url) as broker:
        broker.flushdb()
        made = Stage(tmp_path, environment, broker)
        yield made
        made.end()
        broker.flushdb()


@pytest.fixture
def _short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten what a job may take, as the lease is; whoever sends a job says it."""
    for limit, seconds in LIMITS.items():
        monkeypatch.setitem(tasks.reconcile._get_exec_options(), limit, seconds)


def is_applied(deployment: Deployment, number: int) -> Callable[[], bool]:
    rows = Deployment.objects.filter(pk=deployment.pk, applied__number=number)
    return lambda: rows.filter(wanted__state=RevisionState.APPLIED, lease_token=None).exists()


def test_a_killed_child_costs_no_more_than_its_lease(stage: Stage, created: Deployment) -> None:
    worker = stage.start()
    stage.until(stage.reaches(1, 2))

    worker.kill_child()

    assert stage.until(is_applied(created, 1)) < 20
    assert Operation.objects.get().state == "succeeded"


def test_a_killed_worker_costs_no_more_than_its_lease(stage: Stage, created: Deployment) -> None:
    first = stage.start()
    second_needs = time.monotonic()
    stage.until(stage.reaches(1, 2))
    second_needs = time.monotonic() - second_needs

    first.signal(signal.SIGKILL)
    stage.start()

    took = stage.until(is_applied(created, 1))
    assert took < second_needs + LEASE_SECONDS + 2 * SWEEP_SECONDS + 15


def test_a_worker_that_was_stopped_and_woken_up_writes_nothing_old(
    stage: Stage, created: Deployment, alice: User
) -> None:
    first = stage.start()
    stage.until(stage.reaches(1, 2))
    stopped = {line.pid for line in stage.lines}
    first.signal(signal.SIGSTOP)
    update_config(actor=alice, deployment=created, configuration=WIDER, base_revision_number=1)
    stage.start()
    stage.until(is_applied(created, 2))
    before = len(stage.lines)

    first.signal(signal.SIGCONT)
    time.sleep(5)

    old = [line for line in stage.lines[before:] if line.pid in stopped]
    assert old == []
    assert is_applied(created, 2)()


def test_a_worker_that_is_asked_to_end_finishes_its_pass(stage: Stage, created: Deployment) -> None:
    worker = stage.start()
    stage.until(stage.reaches(1, 1))

    worker.process.send_signal(signal.SIGTERM)

    assert worker.process.wait(60) == 0
    assert is_applied(created, 1)()
    assert len(stage.lines) == STEPS


def test_an_emptied_broker_costs_two_sweeps(stage: Stage, create: Callable[..., Operation]) -> None:
    made = [create(f"etl-{number}").deployment for number in range(3)]
    stage.start()
    stage.until(stage.reaches(1, 0))

    stage.broker.flushdb()

    stage.until(lambda: all(is_applied(one, 1)() for one in made), 60)


Poisoned = Callable[..., None]


@pytest.fixture
def prove_quarantine(
    stage: Stage,
    create: Callable[..., Operation],
    alice: User,
    client_of: Callable[[User], Client],
    _short_limits: None,
) -> Poisoned:
    """Prove that what ends no pass is put aside and said, while its worker does everything else."""

    def prove(*venoms: Callable[[], None]) -> None:
        names = {
            create(f"poison-{number}").deployment.ref: venom.__name__
            for number, venom in enumerate(venoms)
        }
        other = create("other").deployment
        stage.environment[POISON] = json.dumps(names)
        # Far from the limits, on a busy machine too.
        stage.environment[STEP] = str(SHORT_STEP_SECONDS)
        worker = stage.start()

        put_aside = Deployment.objects.filter(ref__in=names, quarantined_at__isnull=False)
        stage.until(lambda: put_aside.count() == len(names), QUARANTINE_SECONDS)

        stage.until(is_applied(other, 1))
        assert worker.process.poll() is None
        for ref in names:
            assert 3 <= len([line for line in stage.lines if line.ref == ref]) <= 4
            page = client_of(alice).get(f"/d/{ref}/").content.decode()
            assert QUARANTINED in page

    return prove


# Those that take only time, one after the other in the one child.
@pytest.mark.parametrize("venoms", [(crash, loop, loop_deaf), (eat,)])
def test_what_ends_its_worker_each_time_is_put_aside_and_others_go_on(
    prove_quarantine: Poisoned, venoms: tuple[Callable[[], None], ...]
) -> None:
    prove_quarantine(*venoms)


def test_what_the_kernel_kills_for_its_memory_is_put_aside_and_others_go_on(
    stage: Stage, prove_quarantine: Poisoned
) -> None:
    stage.environment["PORTAL_WORKER_MEMORY_MB"] = "4096"
    with limited_group(GROUP_MB) as group:
        stage.environment[GROUP] = str(group)
        try:
            prove_quarantine(eat)
        finally:
            stage.end()

    assert "signal 9 (SIGKILL)" in stage.log.read_text()


def test_what_a_person_waits_for_is_taken_first(
    stage: Stage, create: Callable[..., Operation]
) -> None:
    *others, mine = [create(f"etl-{number}").deployment for number in range(4)]
    stage.broker.flushdb()
    for job in range(20):
        tasks.reconcile.apply_async(args=[others[job % 3].pk], queue="reconcile.0")
    tasks.hint(mine.pk)
    Deployment.objects.update(next_reconcile_at=None)

    stage.start()
    stage.until(stage.reaches(1, 0))

    assert stage.lines[0].ref == mine.ref
