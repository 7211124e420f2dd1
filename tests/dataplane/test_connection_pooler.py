"""A Deployment whose database server stands behind PgBouncer in transaction mode."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from apps.dataplane.kubernetes.render.pods.pooling import FOLDER
from apps.dataplane.production import ProductionSpec
from apps.dataplane.site.telemetry import telemetry
from tests.dataplane.connection_pooler import PROGRAM, connection_pooler, running
from tests.dataplane.database_pod import PYTHON, RUNTIME, Pod
from tests.dataplane.postgres_servers import PASSWORD, USER, encrypted_server, programs
from tests.kubernetes.certificates import Authority

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(programs() is None, reason="PostgreSQL of Debian is not installed."),
    pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed."),
    pytest.mark.skipif(PYTHON is None, reason="No test installed an Airflow yet."),
]
MANY_AT_ONCE = """
import asyncio
from airflow import settings
from sqlalchemy import text

RUNS = text("SELECT count(*) FROM dag_run WHERE id > :id")

async def count(number):
    async with settings.AsyncSession() as session:
        for _ in range(5):
            await session.execute(RUNS, {"id": number})
            await session.commit()

async def main():
    await asyncio.gather(*(count(number) for number in range(5)))

asyncio.run(main())
print("all answered")
"""
STATE = """
from airflow import settings
from sqlalchemy import text

with settings.Session() as session:
    print(session.execute(text("SELECT state FROM dag_run WHERE run_id = 'one'")).scalar())
"""
AUTHORITY = Authority("Ours")
COLLECTED: set[tuple[str, str]] = set()
DAG = """
from airflow.sdk import dag, task

@dag(schedule=None)
def many():
    @task
    def one(number):
        return number

    one.expand(number=list(range(12)))

many()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with encrypted_server(AUTHORITY, "localhost") as port:
        yield port


@pytest.fixture(scope="module")
def pooler(server: int) -> Iterator[int]:
    with connection_pooler(server) as port:
        yield port


def databases(pod: Pod, server: int) -> str:
    """List the databases of the server itself."""
    environment = {"PGPASSWORD": PASSWORD, "PGHOST": "localhost", "PGPORT": str(server)}
    return pod.run(
        ["psql", "-U", USER, "-At", "-c", "SELECT datname FROM pg_database", "postgres"],
        environment,
    )


def test_a_database_is_made_migrated_used_and_dropped_through_it(
    tmp_path: Path, server: int, pooler: int
) -> None:
    pod = Pod(tmp_path, host="localhost", port=pooler, ca=AUTHORITY, sslmode="prefer")
    airflow = pod.environment() | pod.environment_of_programs()

    assert [pod.prepare(), pod.prepare()] == ["", ""]
    assert "tidy_comet" in databases(pod, server)
    assert "The database is migrated." in pod.run(
        [str(PYTHON), str(RUNTIME / "pods/migrate.py")], airflow
    )
    assert "all answered" in pod.run([str(PYTHON), "-c", MANY_AT_ONCE], airflow)
    assert pod.drop() == ""
    assert "tidy_comet" not in databases(pod, server)


class _Collector(BaseHTTPRequestHandler):
    """Takes OTLP, and notes the path and what a header says."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        COLLECTED.add((self.path, self.headers.get("X-Key", "")))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def collector() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Collector) as listener:
        threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.server_port}"
        listener.shutdown()


def test_tasks_run_by_the_pgbouncer_of_a_deployment_and_a_collector_hears_of_them(
    tmp_path: Path, server: int, collector: str
) -> None:
    settings = ProductionSpec(
        pgbouncer=True,
        otel_metrics=f"{collector}/v1/metrics",
        otel_traces=f"{collector}/v1/traces",
    )
    pod = Pod(
        tmp_path,
        host="localhost",
        port=server,
        ca=AUTHORITY,
        sslmode="verify-full",
        settings=settings,
    )
    assert pod.prepare() == ""
    direct = pod.secret("airflow-direct") | pod.environment_of_programs()
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "many.py").write_text(DAG)
    assert "The database is migrated." in pod.run(
        [str(PYTHON), str(RUNTIME / "pods/migrate.py")], direct
    )

    with running(_files(pod)) as port, ExitStack() as stack:
        environment = _airflow(pod, tmp_path, port) | telemetry(settings, ref="tidy-comet")
        environment |= {"OTEL_EXPORTER_OTLP_HEADERS": "X-Key=canary"}
        environment |= {"OTEL_METRIC_EXPORT_INTERVAL": "2000"}
        for component in ("api-server", "scheduler", "dag-processor"):
            stack.callback(_stop, _start(component, tmp_path, environment))
        assert _runs(pod, environment) == "success"
        assert "all answered" in pod.run([str(PYTHON), "-c", MANY_AT_ONCE], environment)
        by_pooler = _connections(pod, server)

    assert {("/v1/metrics", "canary"), ("/v1/traces", "canary")} == COLLECTED
    # Three processes with pools of their own; PgBouncer opens no more than it was told.
    assert 0 < by_pooler <= 16
    assert pod.drop() == ""


def _files(pod: Pod) -> dict[str, str]:
    """Return what PgBouncer reads in its pod, at a place of this machine."""
    return {
        name: text.replace(FOLDER, "{folder}").replace("listen_port = 6432", "listen_port = {port}")
        for name, text in pod.secret("pgbouncer").items()
    }


def _airflow(pod: Pod, folder: Path, pooler: int) -> dict[str, str]:
    """Return what Airflow's processes are given: an address of PgBouncer, and of no server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    pooled = {
        name: value.replace("pgbouncer.airflow-tidy-comet.svc:6432", f"127.0.0.1:{pooler}")
        for name, value in pod.environment().items()
    }
    assert f"127.0.0.1:{pooler}" in pooled["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    return pooled | {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
    }


def _start(component: str, folder: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    with (folder / f"{component}.log").open("wb") as log:
        return subprocess.Popen(
            [str(PYTHON), "-m", "airflow", component],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _stop(process: "subprocess.Popen[bytes]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _runs(pod: Pod, environment: dict[str, str]) -> str:
    """Trigger the DAG as soon as it is there, and return how its run ended."""
    airflow = [str(PYTHON), "-m", "airflow", "dags"]
    deadline = time.monotonic() + 180
    state = ""
    while state not in ("success", "failed") and time.monotonic() < deadline:
        if not state:
            triggered = pod.run([*airflow, "trigger", "many", "-r", "one"], environment)
            state = "queued" if "| one" in triggered else ""
        else:
            state = pod.run([str(PYTHON), "-c", STATE], environment).split()[-1]
        time.sleep(2)
    return state


def _connections(pod: Pod, server: int) -> int:
    environment = {"PGPASSWORD": PASSWORD, "PGHOST": "localhost", "PGPORT": str(server)}
    asked = "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE '%tidy_comet'"
    return int(pod.run(["psql", "-U", USER, "-At", "-c", asked, "postgres"], environment))
