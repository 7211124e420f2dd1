"""What the keeper decides and notes: pure, but for files."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from apps.dataplane.local.control import autoscaler as keeper
from apps.dataplane.local.control import scaling_log
from apps.dataplane.local.control.autoscaler import Autoscaler
from apps.dataplane.local.home import Home
from apps.dataplane.local.layout import Folder, WantedQueue
from apps.dataplane.local.machine.supervisor import ProgramState
from apps.dataplane.status import ScalingDecision

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = [f"d--worker-default-{number}" for number in range(3)]
QUEUE = WantedQueue(name="default", concurrency=2, min_workers=0, max_workers=3, programs=NAMES)
DECISION = ScalingDecision(
    at=datetime(2026, 11, 28, tzinfo=UTC),
    queue="default",
    queued=3,
    running=1,
    concurrency=2,
    min_workers=0,
    max_workers=3,
    cooldown_seconds=30,
    wanted=2,
    workers=1,
    ready=1,
    reason="up",
)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    found = Folder(Home(tmp_path), "tidy-comet")
    found.path.mkdir(parents=True)
    return found


class Supervised:
    """Stands in for supervisord: it starts and stops at once."""

    def __init__(self) -> None:
        self.up: set[str] = set()

    def start(self, name: str) -> None:
        self.up.add(name)

    def stop(self, name: str) -> None:
        self.up.discard(name)

    def states(self) -> dict[str, ProgramState]:
        return {
            name: ProgramState(
                name=name,
                state="RUNNING" if name in self.up else "STOPPED",
                pid=100 + number if name in self.up else 0,
                started_at=0,
                stopped_at=0,
                exit_status=0,
                description="",
            )
            for number, name in enumerate(NAMES)
        }


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch, folder: Folder) -> Any:
    """Return how a round goes with some tasks; workers are ready at once, and busy as told."""
    busy: set[int] = set()
    monkeypatch.setattr(keeper, "is_worker_ready", lambda pid: True)
    monkeypatch.setattr(keeper, "running_task_count", lambda pid: int(pid in busy))
    scaler = object.__new__(Autoscaler)
    scaler.supervisor = Supervised()  # type: ignore[assignment]
    scaler.config = type("Config", (), {"scale_down_seconds": 30})()  # type: ignore[assignment]
    scaler.memory = {}

    def round_at(now: float, tasks: tuple[int, int], *, busy_pids: tuple[int, ...] = ()) -> None:
        busy.clear()
        busy.update(busy_pids)
        states = scaler.supervisor.states()
        scaler._scale(folder, QUEUE, tasks, states, now)

    return round_at


def reasons(folder: Folder) -> list[tuple[str, int, int]]:
    found = scaling_log.read(folder, since=LONG_AGO)
    return [(one.reason, one.workers, one.wanted) for one in found]


def test_each_decision_is_noted_once_with_its_reason(watched: Any, folder: Folder):
    for now, tasks, busy in (
        (0, (0, 0), ()),
        (2, (0, 0), ()),
        (4, (3, 0), ()),
        (6, (1, 2), ()),
        (8, (9, 4), ()),
        (10, (9, 5), ()),
        (12, (8, 6), ()),
        (40, (0, 1), (100, 101)),
        (42, (0, 1), (100, 101)),
        (73, (0, 1), (100, 101)),
        (75, (0, 1), (100, 101)),
        (77, (0, 0), ()),
        (79, (0, 0), ()),
    ):
        watched(float(now), tasks, busy_pids=busy)

    assert reasons(folder) == [
        ("steady", 0, 0),
        ("up", 0, 2),
        ("steady", 2, 2),
        ("up", 2, 3),
        ("maximum", 3, 3),
        ("cooldown", 3, 1),
        ("down", 3, 1),
        ("busy", 2, 1),
        ("down", 2, 0),
        ("steady", 0, 0),
    ]


def test_a_disk_that_refuses_the_note_does_not_stop_scaling(
    watched: Any, folder: Folder, monkeypatch: pytest.MonkeyPatch
):
    folder.scaling_log.mkdir()

    watched(0.0, (3, 0))
    watched(2.0, (3, 0))

    assert reasons(folder) == []


def test_what_was_noted_is_read_from_a_moment_on(folder: Folder):
    moments = [DECISION.at + timedelta(seconds=number) for number in range(4)]
    for at in moments:
        scaling_log.append(folder, replace(DECISION, at=at))

    assert scaling_log.read(folder, since=LONG_AGO)[0] == DECISION
    assert [one.at for one in scaling_log.read(folder, since=moments[1])] == moments[2:]
    assert folder.scaling_log.stat().st_mode & 0o777 == 0o600


def test_the_file_stays_short_and_keeps_the_newest(folder: Folder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scaling_log, "MOST_BYTES", 4000)
    monkeypatch.setattr(scaling_log, "KEPT_BYTES", 2000)

    for number in range(60):
        at = DECISION.at + timedelta(seconds=number)
        scaling_log.append(folder, replace(DECISION, at=at))

    assert folder.scaling_log.stat().st_size <= 4300
    assert scaling_log.read(folder, since=LONG_AGO)[-1].at == at


def test_rubbish_in_the_file_is_left_out(folder: Folder):
    good = {**DECISION.__dict__, "at": DECISION.at.timestamp()}
    lines = [
        "",
        "x",
        "[]",
        *(
            json.dumps({**good, **wrong})
            for wrong in (
                {"at": "noon"},
                {"at": 1e300},
                {"at": True},
                {"queue": 7},
                {"queue": ""},
                {"reason": "because"},
                {"reason": []},
                {"workers": -1},
                {"workers": 10**9},
                {"wanted": None},
                {"concurrency": "2"},
            )
        ),
        json.dumps({**good, "queued": -5, "ready": "x", "message": "\x1b[31m" + "m" * 9999}),
    ]
    folder.scaling_log.write_text("\n".join(lines) + "\n\xff{")

    (kept,) = scaling_log.read(folder, since=LONG_AGO)

    assert (kept.queued, kept.running, kept.ready) == (None, 1, None)
    assert len(kept.message) <= 300
    assert "\x1b" not in kept.message
    folder.scaling_log.unlink()
    folder.scaling_log.symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic"):
        scaling_log.append(folder, DECISION)
