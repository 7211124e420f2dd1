"""A machine without room: said in a sentence, before anything is begun if it can be known."""

import errno
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import psycopg
import pytest

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.local.airflow import runtimes
from apps.dataplane.local.airflow.metadata import database
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.control import capacity
from apps.dataplane.local.control.apply import ApplyPass
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine import ports
from apps.dataplane.local.plane import LocalPlane
from tests.dataplane.specs import make_runtime, make_spec

Usage = namedtuple("Usage", "total used free")
CONFIG = LocalConfig(
    database_url="postgresql://portal:secret@127.0.0.1:5555/portal",
    broker_url="redis://:secret@127.0.0.1:6666",
    edge_url="http://localhost:8081",
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    for path in (home.path, home.run, home.deployments):
        path.mkdir()
    return home


@pytest.fixture
def _nearly_full(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = Usage(10 * 2**30, 10 * 2**30, 300 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)


@pytest.mark.parametrize(("executor", "is_advised"), [("celery", True), ("local", False)])
def test_too_little_memory_advises_only_what_would_help(
    home: Home, monkeypatch: pytest.MonkeyPatch, executor: str, is_advised: bool
) -> None:
    monkeypatch.setattr(capacity, "available_memory_mb", lambda: 600)

    with pytest.raises(Permanent, match="600 MB are left. Delete another Deployment") as raised:
        capacity.check_room(home, make_spec(executor=executor))

    assert ("Local executor" in raised.value.message) is is_advised


@pytest.mark.usefixtures("_nearly_full")
def test_a_nearly_full_disk_is_said_before_a_deployment_is_begun(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "available_memory_mb", lambda: 8000)

    with pytest.raises(Permanent, match="300 MB left: free some space, to 1 GB"):
        LocalPlane(home, CONFIG).apply(spec=make_spec())

    assert not list(home.deployments.glob("*/state.json"))


@pytest.mark.usefixtures("_nearly_full")
def test_a_nearly_full_disk_is_said_before_a_runtime_is_downloaded(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes.Supervisor, "states", lambda *_: {})

    with pytest.raises(Permanent, match="300 MB left; a runtime needs 1 GB"):
        runtimes.ensure_runtime(home=home, config=CONFIG, runtime=make_runtime())


def test_a_disk_that_fills_up_in_the_middle_is_said_and_tried_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ApplyPass, "run", run)

    with pytest.raises(Temporary, match=f"The disk of {home.path} is full"):
        LocalPlane(home, CONFIG).apply(spec=make_spec())


def test_other_errors_of_files_stay_what_they_are(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(ApplyPass, "run", run)

    with pytest.raises(OSError, match="Input/output"):
        LocalPlane(home, CONFIG).apply(spec=make_spec())


def test_a_database_server_without_room_is_not_called_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def connect(*_: Any, **__: Any) -> None:
        raise psycopg.errors.DiskFull("could not extend file")

    monkeypatch.setattr(psycopg, "connect", connect)

    with pytest.raises(Temporary, match="The disk of the database server is full"):
        database.has_database(CONFIG, "postgres")


def test_no_free_port_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port, host=ports.LOOPBACK: False)

    with pytest.raises(Permanent, match="No free network port was found on this machine"):
        ports.free_port()
