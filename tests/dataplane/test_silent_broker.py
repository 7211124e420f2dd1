"""A real Celery worker of each runtime, whose connection to a real broker dies without a word."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from apps.dataplane.local.machine import embedded_databases
from tests.dataplane.local_world import LocalWorld, local_world
from tests.dataplane.specs import OLDER, make_runtime
from tests.dataplane.swallowing_proxy import SwallowingProxy, swallowing_proxy
from tests.dataplane.world import eventually

pytestmark = pytest.mark.slow

PLUGINS = Path(__file__).resolve().parents[2] / "runtime" / "plugins"
VERSIONS = [make_runtime().airflow_version, OLDER]
APP = """
import pathlib
import time

from celery import Celery
from airflow.providers.celery.executors.celery_executor_utils import get_celery_configuration

app = Celery(config_source=get_celery_configuration())


@app.task(name="note")
def note(path, seconds):
    pathlib.Path(path).write_text("begun")
    time.sleep(seconds)
    pathlib.Path(path).write_text("done")
"""
SEND = """
import sys

from silent_app import app

app.send_task("note", [sys.argv[1], int(sys.argv[2])], queue="default")
"""


class Worker:
    """A Celery worker behind a proxy, and a sender that is not."""

    def __init__(self, world: LocalWorld, version: str, folder: Path, broker: str) -> None:
        self.folder, self.broker = folder, broker
        (folder / "silent_app.py").write_text(APP)
        runtime = world.home.runtimes / make_runtime(version).version
        (self._python,) = runtime.glob("env-*/bin/python")
        self.alive = folder / "alive"
        self.log = folder / "worker.log"

    def environment(self, broker: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "AIRFLOW_HOME": str(self.folder),
            "PYTHONPATH": f"{PLUGINS}:{self.folder}",
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CELERY__BROKER_URL": broker,
            "AIRFLOW__CELERY__RESULT_BACKEND": broker,
            "AIRFLOW__CELERY__CELERY_CONFIG_OPTIONS": "portal_celery.CELERY_CONFIG",
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "86400",
            "PORTAL_WORKER_ALIVE_FILE": str(self.alive),
        }

    def send(self, name: str, *, seconds: int = 0) -> Path:
        """Queue a task that writes a file."""
        path = self.folder / name
        command = [str(self._python), "-c", SEND, str(path), str(seconds)]
        subprocess.run(command, env=self.environment(self.broker), check=True, timeout=90)
        return path

    @contextmanager
    def running(self, proxy: SwallowingProxy) -> Iterator[subprocess.Popen[bytes]]:
        parts = urlsplit(self.broker)
        broker = f"redis://:{parts.password}@127.0.0.1:{proxy.port}{parts.path}"
        command = [
            *(str(self._python), "-m", "celery", "-A", "silent_app", "worker"),
            *("--queues=default", "--concurrency=1", "--without-gossip", "--without-mingle"),
        ]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                env=self.environment(broker),
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def world() -> Iterator[LocalWorld]:
    with local_world(make_runtime(), make_runtime(OLDER)) as world:
        yield world


@pytest.fixture
def proxy(world: LocalWorld) -> Iterator[SwallowingProxy]:
    parts = urlsplit(embedded_databases.redis_url(world.home))
    assert parts.hostname
    assert parts.port
    with swallowing_proxy(parts.hostname, parts.port) as proxy:
        yield proxy


def make_worker(world: LocalWorld, version: str, folder: Path) -> Worker:
    number = 200 + VERSIONS.index(version)
    return Worker(world, version, folder, embedded_databases.redis_url(world.home, number))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_worker_whose_connection_died_silently_takes_the_next_task(
    world: LocalWorld, proxy: SwallowingProxy, tmp_path: Path, version: str
) -> None:
    worker = make_worker(world, version, tmp_path)
    with worker.running(proxy):
        first = worker.send("first")
        eventually(first.exists, seconds=90)
        eventually(worker.alive.exists, seconds=30)
        assert proxy.swallow() >= 2

        second = worker.send("second")

        eventually(lambda: second.exists() and second.read_text() == "done", seconds=100)
        assert "connecting again" in worker.log.read_text() or version != OLDER


@pytest.mark.parametrize("version", VERSIONS)
def test_a_broker_that_is_lost_for_a_while_is_found_again(
    world: LocalWorld, proxy: SwallowingProxy, tmp_path: Path, version: str
) -> None:
    worker = make_worker(world, version, tmp_path)
    with worker.running(proxy):
        eventually(worker.alive.exists, seconds=90)
        proxy.swallow(everything=True)
        waiting = worker.send("waiting")
        time.sleep(60)
        assert not waiting.exists()

        proxy.heal()

        eventually(waiting.exists, seconds=100)


def test_a_worker_that_is_busy_or_ends_its_task_counts_as_alive(
    world: LocalWorld, proxy: SwallowingProxy, tmp_path: Path
) -> None:
    """With all its slots taken it asks the broker for nothing, and that is no silence."""
    worker = make_worker(world, VERSIONS[0], tmp_path)
    with worker.running(proxy) as process:
        long = worker.send("long", seconds=75)
        eventually(long.exists, seconds=90)
        worker.send("later")
        time.sleep(52)

        assert time.time() - worker.alive.stat().st_mtime < 15
        assert "connecting again" not in worker.log.read_text()

        process.send_signal(signal.SIGTERM)
        eventually(lambda: not worker.alive.exists(), seconds=10)
        eventually(lambda: process.poll() is not None, seconds=60)
        assert long.read_text() == "done"
        assert not worker.alive.exists(), "nothing judges it while it ends its tasks"
