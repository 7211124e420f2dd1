"""A real Celery worker of each runtime, whose connection to a real broker dies without a word."""

import json
import os
import signal
import subprocess
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from celery import Celery
from redis import Redis

from apps.dataplane.local.machine import embedded_databases
from tests.dataplane.local_world import LocalWorld, local_world
from tests.dataplane.specs import OLDER, make_runtime
from tests.dataplane.swallowing_proxy import SwallowingProxy, swallowing_proxy
from tests.dataplane.world import eventually

pytestmark = pytest.mark.slow

PLUGINS = Path(__file__).resolve().parents[2] / "runtime" / "plugins"
VERSIONS = [make_runtime().airflow_version, OLDER]
# A worker takes a broker for silent after twenty seconds, and looks every five.
LOST_SECONDS = BUSY_SECONDS = 40
LONG, END = "long", "end"
# A worker asks for new tasks each second.
ASKED_SECONDS = 1.5
APP = """
import json
import pathlib
import time

from celery import Celery
from airflow.providers.celery.executors.celery_executor_utils import get_celery_configuration

app = Celery(config_source=get_celery_configuration())


@app.task(name="note")
def note(path, end):
    pathlib.Path(path).write_text("begun")
    while end and not pathlib.Path(end).exists():
        time.sleep(0.1)
    pathlib.Path(path).write_text("done")


def execute_workload(input):
    pathlib.Path(json.loads(input)["path"]).write_text("done")


# Airflow's own task runs DAGs, and has the name already.
app.tasks["execute_workload"].run = execute_workload
"""


class Worker:
    """A Celery worker behind a proxy, and a sender that is not. Files of both are in a folder."""

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

    def send(self, name: str, *, end: str = "") -> Path:
        """Queue a task that writes a file, and again when the file `end` is there."""
        path = self.folder / name
        until = str(self.folder / end) if end else ""
        with Celery("sender", broker=self.broker, fixups=[], set_as_current=False) as sender:
            sender.send_task("note", [str(path), until], queue="default")
        return path

    def send_workload(self, name: str, *, ends_in: int) -> Path:
        """Queue a task of Airflow whose token ends in so many seconds; it writes a file."""
        path = self.folder / name
        claims = urlsafe_b64encode(json.dumps({"exp": time.time() + ends_in}).encode()).decode()
        workload = {"type": "ExecuteTask", "token": f"head.{claims}.signature", "path": str(path)}
        with Celery("sender", broker=self.broker, fixups=[], set_as_current=False) as sender:
            sender.send_task("execute_workload", [json.dumps(workload)], queue="default")
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


@contextmanager
def proxy_before(world: LocalWorld) -> Iterator[SwallowingProxy]:
    parts = urlsplit(embedded_databases.redis_url(world.home))
    assert parts.hostname
    assert parts.port
    with swallowing_proxy(parts.hostname, parts.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def proxy(world: LocalWorld) -> Iterator[SwallowingProxy]:
    with proxy_before(world) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def busy(
    world: LocalWorld, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Worker, subprocess.Popen[bytes]]]:
    """A worker whose only slot is taken while the other tests wait; its broker stays heard."""
    worker = make_worker(world, VERSIONS[0], tmp_path_factory.mktemp("busy"), number=202)
    with proxy_before(world) as proxy, worker.running(proxy) as process:
        worker.send(LONG, end=END)
        worker.send("later")
        yield worker, process


@pytest.fixture(scope="module")
def workers(
    world: LocalWorld,
    proxy: SwallowingProxy,
    busy: tuple[Worker, subprocess.Popen[bytes]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[Worker]]:
    """One of each runtime: what is waited for, both wait for side by side."""
    with ExitStack() as stack:
        made = []
        for number, version in enumerate(VERSIONS, start=200):
            folder = tmp_path_factory.mktemp("worker")
            made.append(make_worker(world, version, folder, number=number))
            stack.enter_context(made[-1].running(proxy))
        eventually(lambda: all(one.alive.exists() for one in made), seconds=90)
        yield made


def make_worker(world: LocalWorld, version: str, folder: Path, *, number: int) -> Worker:
    return Worker(world, version, folder, embedded_databases.redis_url(world.home, number))


def test_a_worker_whose_connection_died_silently_takes_the_next_task(
    workers: list[Worker], proxy: SwallowingProxy
) -> None:
    first = [one.send("first") for one in workers]
    eventually(lambda: all(one.exists() for one in first), seconds=90)
    assert proxy.swallow() >= 2 * len(workers)
    wait_for_open_requests()

    second = [one.send("second") for one in workers]

    eventually(lambda: all(is_done(one) for one in second), seconds=100)
    assert "connecting again" in workers[VERSIONS.index(OLDER)].log.read_text()
    assert_all_are_alive(workers)


def test_a_task_that_waited_for_longer_than_its_token_lasts_is_put_aside_and_does_not_fail(
    workers: list[Worker],
) -> None:
    late = [one.send_workload("late", ends_in=-600) for one in workers]
    early = [one.send_workload("early", ends_in=600) for one in workers]

    eventually(lambda: all(is_done(one) for one in early), seconds=60)
    assert not any(one.exists() for one in late)
    for one in workers:
        assert "it is queued again" in one.log.read_text()
        with Redis.from_url(one.broker) as broker:
            results = [broker.get(key) or b"" for key in broker.scan_iter("celery-task-meta-*")]
        assert results
        assert not any(b"FAILURE" in result for result in results)


def test_a_broker_that_is_lost_for_a_while_is_found_again(
    workers: list[Worker], proxy: SwallowingProxy
) -> None:
    proxy.swallow(everything=True)
    wait_for_open_requests()
    waiting = [one.send("waiting") for one in workers]
    time.sleep(LOST_SECONDS)
    assert not any(one.exists() for one in waiting)

    proxy.heal()

    eventually(lambda: all(one.exists() for one in waiting), seconds=100)
    assert_all_are_alive(workers)


def test_a_worker_that_is_busy_or_ends_its_task_counts_as_alive(
    busy: tuple[Worker, subprocess.Popen[bytes]],
) -> None:
    """With all its slots taken it asks the broker for nothing, and that is no silence."""
    worker, process = busy
    long = worker.folder / LONG
    eventually(long.exists, seconds=90)
    time.sleep(max(0.0, long.stat().st_mtime + BUSY_SECONDS - time.time()))

    assert time.time() - worker.alive.stat().st_mtime < 15
    assert "connecting again" not in worker.log.read_text()
    assert not is_done(long)
    assert not (worker.folder / "later").exists()

    process.send_signal(signal.SIGTERM)
    eventually(lambda: not worker.alive.exists(), seconds=10)
    assert process.poll() is None
    (worker.folder / END).touch()
    eventually(lambda: process.poll() is not None, seconds=60)
    assert is_done(long)
    assert not worker.alive.exists(), "nothing judges it while it ends its tasks"


def wait_for_open_requests() -> None:
    """What the broker gives to a request that is still open is lost with the connection."""
    time.sleep(ASKED_SECONDS)


def assert_all_are_alive(workers: list[Worker]) -> None:
    """One whose file grows old is taken for dead, and ended minutes after it connected anew."""
    since = time.time()
    eventually(lambda: all(one.alive.stat().st_mtime > since for one in workers), seconds=20)


def is_done(path: Path) -> bool:
    return path.exists() and path.read_text() == "done"
