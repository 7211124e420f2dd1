"""Deployments without workers: how portal users sign in to its Airflow, and the life of one that
began as an older Airflow.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import psycopg
import pytest

from apps.accounts.models import User
from apps.alerts.deliveries import outbox
from apps.alerts.sweeping.sweep import sweep
from apps.clusters.models import Cluster
from apps.dataplane.airflow_answers.table_sizes import TABLES, tables_in
from apps.dataplane.airflow_answers.waiting_tasks import read_warnings
from apps.dataplane.airflow_token import AirflowUser
from apps.dataplane.errors import Permanent
from apps.dataplane.hibernation.plans import HibernationPlan, Override
from apps.dataplane.local.airflow import code
from apps.dataplane.local.airflow.metadata import database
from apps.dataplane.local.airflow.runtimes import RuntimeFolder, lock_file
from apps.dataplane.local.control.history_cleanup import log_file
from apps.dataplane.local.layout import Folder, read_state, read_wanted
from apps.dataplane.local.plane import LocalPlane
from apps.dataplane.local.projects.environments import (
    COMPLETE,
    UNFINISHED,
    UNUSED_SECONDS,
    ensure_packages,
    environment_of,
    remove_unused,
)
from apps.dataplane.production import ProductionSpec
from apps.dataplane.spec import CodeSpec, RestoreSpec, VariableSpec, failed_note
from apps.deployments.configuration.schema import Configuration
from apps.deployments.models import Deployment, Revision, RevisionState
from apps.deployments.reconciling.results import observed_json
from apps.deploys.archives.building import Limits, build_archive
from apps.deploys.git.servers.fetching import Login, checkout
from apps.deploys.git.servers.remotes import remote_of
from apps.observability.collecting.answers import Answer, read_answer
from apps.observability.history.models import Collection
from apps.observability.incidents.detectors.findings import findings
from apps.observability.incidents.detectors.seen import seen
from apps.observability.results.reading import read_results
from apps.observability.results.storage import write_results
from apps.observability.why.facts import TaskName, facts_in
from apps.organizations.models import Workspace
from apps.status_pages.health.sensing import of_deployment
from apps.status_pages.setup.states import State
from tests.airflow_imports.walk import walk_through_import
from tests.alerts.examples import make_channel, make_rule
from tests.alerts.receivers import receiver
from tests.dags.walk import walk_through_dags
from tests.dataplane import waiting_dags
from tests.dataplane.local_world import LocalWorld, local_world
from tests.dataplane.private_index import ALLOWED, PASSWORD, private_index
from tests.dataplane.projects import ASKING, BROKEN, PROJECT, write_lock
from tests.dataplane.specs import OLDER, PORTAL_URL, make_code, make_runtime, make_spec
from tests.dataplane.vault import TOKEN, looked_up, running_vault
from tests.dataplane.visitor import FORM, WRONG_CLAIMS, call, cookie, make_token, sign_in
from tests.dataplane.why_waiting import reason_of
from tests.dataplane.world import eventually, settle
from tests.deploys.git_servers import Repository, https_server
from tests.kubernetes.certificates import Authority

pytestmark = pytest.mark.slow

REF = "aging-comet"
STATSD = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
UNVERIFIED = {"verify_signature": False}


@pytest.fixture(scope="module")
def world() -> Iterator[LocalWorld]:
    """A machine whose Deployment runs its tasks in the scheduler."""
    STATSD.bind(("127.0.0.1", 0))
    settings = ProductionSpec(statsd_address=f"127.0.0.1:{STATSD.getsockname()[1]}")
    with local_world(make_runtime(), make_runtime(OLDER)) as world, STATSD:
        world.create(make_spec("open-comet", executor="local", queues=(), settings=settings))
        yield world


def test_metrics_go_to_the_statsd_server_of_the_settings(world: LocalWorld):
    STATSD.settimeout(60)

    assert STATSD.recv(2048).startswith(b"airflow.")


def test_a_visitor_is_sent_to_the_portal(world: LocalWorld):
    target = "/open-comet/dags/welcome"

    response = call(world, "GET", f"/open-comet/api/v2/auth/login?next={target}")

    assert response.status == 307
    assert response.headers["Location"].startswith(f"{PORTAL_URL}/airflow/open-comet/?next=")


def test_a_viewer_sees_dags_but_no_connections(world: LocalWorld):
    response = sign_in(world, make_token(), "/open-comet/dags?x=1")
    headers = {"Cookie": cookie(response)}

    assert response.status == 303
    assert response.headers["Location"] == "/open-comet/dags?x=1"
    assert "Path=/open-comet/" in response.headers["Set-Cookie"]
    assert "HttpOnly" in response.headers["Set-Cookie"]
    assert call(world, "GET", "/open-comet/api/v2/dags", headers=headers).status == 200
    assert call(world, "GET", "/open-comet/api/v2/connections", headers=headers).status == 403
    assert call(world, "GET", "/open-comet/api/v2/config", headers=headers).status == 403
    assert call(world, "GET", "/open-comet/api/v2/dags").status == 401


def test_a_session_names_what_the_doors_ask_for(world: LocalWorld):
    [session, older] = [
        jwt.decode(cookie(sign_in(world, one))[len("_token=") :], options=UNVERIFIED)
        for one in (make_token(portal_session="17"), make_token())
    ]

    assert [session[name] for name in ("sub", "role", "portal_session")] == [
        "alice@example.org",
        "viewer",
        "17",
    ]
    assert older["portal_session"] == ""


def test_an_admin_sees_connections(world: LocalWorld):
    response = sign_in(world, make_token(role="admin"))

    headers = {"Cookie": cookie(response)}

    assert call(world, "GET", "/open-comet/api/v2/connections", headers=headers).status == 200


def test_programs_call_its_api_by_name_and_in_their_role(world: LocalWorld):
    """What the portal's own door for programs asks (apps/api/airflow.py)."""
    pool = {"name": "by_program", "slots": 3}

    def ask(role: str, method: str, path: str, body: Any = None) -> int:
        user = AirflowUser(f"{role}@example.org", role)
        answer = world.plane.airflow(
            spec=world.spec, method=method, path=path, json=body, user=user
        )
        return answer.status

    assert ask("viewer", "GET", "/api/v2/dags") == 200
    assert ask("viewer", "POST", "/api/v2/pools", pool) == 403
    assert ask("user", "POST", "/api/v2/pools", pool) == 403
    assert ask("user", "GET", "/api/v2/connections") == 403
    assert ask("op", "POST", "/api/v2/pools", pool) == 201
    assert ask("op", "POST", "/api/v2/pools", pool) == 409
    assert ask("op", "DELETE", "/api/v2/pools/by_program") == 204
    # Only to people who sign in, not to programs.
    assert ask("viewer", "GET", "/api/v2/auth/login") in (302, 307)
    rows = world.airflow("GET", "/api/v2/eventLogs?order_by=-when&limit=20")["event_logs"]
    assert "op@example.org" in {row["owner"] for row in rows}


def test_only_the_portal_itself_is_told_what_waits_and_runs(world: LocalWorld):
    path = "/auth/portal/counts"
    viewer = {"Cookie": cookie(sign_in(world, make_token()))}

    said = world.airflow("GET", path)

    assert said["import_errors"] == 0
    assert all(row[1] in ("queued", "running") for row in said["tasks"])
    assert said["waiting"] == []
    assert {"SchedulerJob", "DagProcessorJob"} <= said["heartbeats"].keys()
    assert all(datetime.fromisoformat(at).tzinfo for at in said["heartbeats"].values())
    assert call(world, "GET", f"/open-comet{path}").status == 401
    assert call(world, "GET", f"/open-comet{path}", headers={"Cookie": "_token=x"}).status == 403
    assert call(world, "GET", f"/open-comet{path}", headers=viewer).status == 403
    tables = tables_in(world.airflow("GET", TABLES))
    assert {"log", "task_instance"} <= {one.name for one in tables}
    assert call(world, "GET", f"/open-comet{TABLES}", headers=viewer).status == 403
    assert call(world, "GET", "/open-comet/auth/portal/dags", headers=viewer).status == 403
    assert call(world, "GET", "/open-comet/auth/portal/dags").status == 401


def test_only_the_portal_itself_is_told_why_tasks_wait(world: LocalWorld):
    viewer = {"Cookie": cookie(sign_in(world, make_token()))}
    path = "/open-comet/auth/portal/why"

    assert call(world, "GET", path).status == 401
    assert call(world, "GET", path, headers=viewer).status == 403
    assert call(world, "GET", f"{path}?dag_id=welcome", headers=viewer).status == 403


def test_a_project_brings_its_packages_and_plugins_and_going_back_takes_them_away(
    world: LocalWorld, tmp_path: Path
):
    runtime, plane = make_runtime(), world.plane
    lock = plane.lock_packages(spec=world.spec, requirements=("titlecase",), preferred={})
    packages = write_lock(tmp_path, lock)
    place = {"home": world.home, "config": plane.config, "runtime": runtime}
    environment = environment_of(**place, packages=packages)
    shutil.rmtree(environment.path, ignore_errors=True)

    [installed] = plane.install_packages(spec=replace(world.spec, packages=packages)).packages

    assert [one.name for one in lock.packages] == [installed.name] == ["titlecase"]
    assert installed.size_bytes > 5_000
    assert not [*environment.runtime.path.glob(f"{UNFINISHED}*")]
    code = make_code(tmp_path, PROJECT)
    spec = replace(world.spec, code=code, packages=packages)
    found = plane.parse_project(spec=spec)
    assert [(one.dag_id, one.file, one.task_count, one.tags) for one in found.dags] == [
        ("titles", "titles.py", 1, ("titles",))
    ]
    assert found.errors == ()
    [broken] = plane.parse_project(spec=replace(spec, code=make_code(tmp_path, BROKEN))).errors
    assert (broken.file, broken.line, broken.needs_airflow) == ("broken.py", 3, False)
    assert "No module named 'not_there'" in broken.message
    asked = plane.parse_project(spec=replace(spec, code=make_code(tmp_path, ASKING)))
    [asking], [named] = asked.errors, asked.names
    assert (asking.file, asking.needs_airflow) == ("asking.py", True)
    assert (named.kind, named.name, named.file, named.line) == (
        "variable",
        "x",
        "dags/asking.py",
        3,
    )
    # Airflow's own check of what the Deployment sets, which takes no code.
    assert found.option_issues == ()
    none = VariableSpec(key="AIRFLOW__CORE__PARALLELISM", value="0", is_secret=False)
    parsed = plane.parse_project(spec=replace(spec, code=None, packages=None, variables=(none,)))
    assert parsed.option_issues
    assert parsed.option_issues[0].startswith("Invalid value `0` set for `parallelism`")
    [without] = plane.parse_project(spec=replace(spec, packages=None)).errors[-1:]
    assert "No module named 'titlecase'" in without.message

    before = replace(world.spec)
    files = {**PROJECT, "plugins/late_plugin.py": "import not_there\n"}
    world.apply(code=make_code(tmp_path, files), packages=packages)

    run = world.trigger("titles")
    world.succeeded("titles", run)
    path = f"/api/v2/dags/titles/dagRuns/{run}/taskInstances/say/xcomEntries/return_value"
    assert world.airflow("GET", path)["value"] == "The First"
    plugins = world.airflow("GET", "/api/v2/plugins")["plugins"]
    assert "title_plugin" in [one["name"] for one in plugins]
    assert read_warnings(plane, spec=world.spec) == (
        "The plugin late_plugin.py cannot be imported: No module named 'not_there'",
    )
    dags = world.airflow("GET", "/api/v2/dags")["dags"]
    assert [dag["relative_fileloc"] for dag in dags] == ["titles.py"]
    pids = world.pids()
    edited = {
        **files,
        "dags/titles.py": PROJECT["dags/titles.py"].replace("the first", "the next"),
    }
    world.apply(code=make_code(tmp_path, edited))
    assert world.pids() == pids
    assert read_wanted(Folder(world.home, world.spec.ref)).python == str(environment.python)

    world.apply(code=before.code, packages=before.packages)

    runtimes_own = environment_of(**place, packages=None).python
    assert read_wanted(Folder(world.home, world.spec.ref)).python == str(runtimes_own)
    assert not [*(world.home.deployments / world.spec.ref / "plugins").iterdir()]


READS = """
from airflow.sdk import Connection, Variable, dag, task
import time


@dag(schedule=None)
def reads_environment():
    @task
    def read():
        began = time.perf_counter()
        for _ in range(200):
            from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

            ours = ensure_secrets_backend_loaded()[0]
            ours.get_conn_value("warehouse")
        milliseconds = (time.perf_counter() - began) * 5
        found = Connection.get("warehouse")
        own = Connection.get("kept_by_airflow")
        return [found.host, found.password, found.extra_dejson, Variable.get("note"), own.host,
                type(ours).__name__, milliseconds]

    read()


reads_environment()
"""


def test_a_task_reads_what_the_portal_keeps_without_a_restart(world: LocalWorld, tmp_path: Path):
    """It begins with code of its own, and takes it away again."""
    text = "'\"\\ \n${HOME} {{ x }} é 字 🛰"
    before = replace(world.spec)

    def kept(host: str) -> str:
        connection = {"conn_type": "postgres", "host": host, "password": text, "extra": {"a": [1]}}
        many = {f"other_{number}": connection for number in range(1_000)}
        connections = {**many, "warehouse": connection}
        return json.dumps({"connections": connections, "variables": {"note": text}})

    world.airflow(
        "POST",
        "/api/v2/connections",
        {"connection_id": "kept_by_airflow", "conn_type": "http", "host": "own.example.org"},
    )
    world.apply(code=make_code(tmp_path, {"reads.py": READS}), environment=kept("one.example.org"))
    pids = world.pids()
    first = _read(world)

    world.apply(environment=kept("two.example.org"))
    second = _read(world)

    assert first[:6] == [
        "one.example.org",
        text,
        {"a": [1]},
        text,
        "own.example.org",
        "PortalSecretsBackend",
    ]
    assert second[0] == "two.example.org"
    assert first[6] < 5
    assert world.pids() == pids
    folder = Folder(world.home, world.spec.ref)
    assert folder.environment.stat().st_mode & 0o777 == 0o600
    with database.deployment_connection(
        world.plane.config, folder, read_state(folder)
    ) as connection:
        [[stored]] = connection.execute(
            "SELECT count(*) FROM connection WHERE conn_id = 'warehouse'"
        )
    assert stored == 0

    world.airflow("DELETE", "/api/v2/connections/kept_by_airflow")
    world.apply(code=before.code, environment=before.environment)


def test_other_backends_are_asked_for_what_the_portal_does_not_hold(
    world: LocalWorld, tmp_path: Path
) -> None:
    config, runtime = world.plane.config, make_runtime()
    python = RuntimeFolder(world.home, runtime.version, lock_file(config, runtime)).python
    connection = {"conn_type": "postgres", "password": "p4ss"}
    with running_vault() as url:
        vault = {"type": "vault", "options": {"url": url, "token": TOKEN, "mount_point": "kv"}}
        wrong = {"type": "vault", "options": {"url": url, "token": "s.wrong-canary"}}
        google = {"type": "gcp-secret-manager", "options": {}}
        said, log = looked_up(
            python,
            tmp_path,
            {
                "connections": {
                    "warehouse": connection,
                    **{f"other_{number}": connection for number in range(1_000)},
                },
                "backends": [google, {"type": "evil", "options": {}}, wrong, vault],
            },
        )

    assert json.loads(said["own"]) == connection
    assert said["lake"] == "postgres://u:p@lake.example.org/x"
    assert (said["tier"], said["none"], said["portal"]) == ("gold", None, None)
    assert "CloudSecretManagerBackend is not used: this Airflow lacks" in log
    assert "The secrets backend VaultBackend failed: " in log
    assert "canary" not in log
    assert said["milliseconds"] < 5


def test_a_connection_is_tried_by_its_provider_for_the_portal_alone(world: LocalWorld) -> None:
    before, path = world.spec, "/auth/portal/connection-test"
    assert before
    here = {"conn_type": "fs", "extra": {"path": "/"}}
    closed = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "password": "p4ss"}
    document = {"connections": {"here": here, "closed": closed, "odd": {"conn_type": "odd"}}}
    world.apply(environment=json.dumps(document))

    good, bad, odd, none = (
        world.airflow("POST", path, {"conn_id": name}) for name in ("here", "closed", "odd", "none")
    )

    assert good == {"is_good": True, "reason": "", "message": "Path / is existing."}
    assert (bad["is_good"], "Connection refused" in bad["message"]) == (False, True)
    assert (odd["is_good"], odd["message"]) == (False, 'Unknown hook type "odd"')
    assert (none["is_good"], none["reason"]) == (False, "failed")
    viewer = {"Cookie": cookie(sign_in(world, make_token()))}
    assert call(world, "POST", f"/open-comet{path}", headers=viewer).status in (403, 422)
    world.apply(environment=before.environment)


def _read(world: LocalWorld) -> list[Any]:
    run = world.trigger("reads_environment")
    world.succeeded("reads_environment", run)
    path = f"/api/v2/dags/reads_environment/dagRuns/{run}/taskInstances/read"
    return world.airflow("GET", f"{path}/xcomEntries/return_value?deserialize=true")["value"]


def test_packages_that_were_removed_are_installed_again_when_they_are_needed(
    world: LocalWorld, tmp_path: Path
):
    runtime, plane = make_runtime(), world.plane
    lock = plane.lock_packages(spec=world.spec, requirements=("titlecase",), preferred={})
    packages = write_lock(tmp_path, lock)
    place = {"home": world.home, "config": plane.config, "runtime": runtime}
    environment = environment_of(**place, packages=packages)
    shutil.rmtree(environment.path, ignore_errors=True)

    eventually(lambda: not ensure_packages(**place, packages=packages), seconds=120)
    began = time.monotonic()
    assert ensure_packages(**place, packages=packages) == ""

    assert time.monotonic() - began < 2
    airflow = [str(environment.path / "bin" / "airflow"), "version"]
    asked = "import sys; print(sys.prefix)"
    nowhere = {"AIRFLOW_HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    said = subprocess.run(airflow, capture_output=True, text=True, env=nowhere).stdout
    assert said.splitlines()[-1] == "3.3.2"
    prefix = subprocess.run([environment.python, "-c", asked], capture_output=True, text=True)
    assert prefix.stdout.strip() == str(environment.path)
    used_at = (environment.path / COMPLETE).stat().st_mtime
    assert environment.path.name not in remove_unused(world.home, now=used_at + UNUSED_SECONDS - 60)
    assert environment.path.name in remove_unused(world.home, now=used_at + UNUSED_SECONDS + 60)
    assert not environment.path.exists()


def test_packages_come_from_an_index_of_people_and_from_the_public_one(
    world: LocalWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PORTAL_PACKAGE_INDEX_NETWORKS", ALLOWED[0])
    plane, runtime = LocalPlane(world.home), make_runtime()
    with private_index(tmp_path) as index:
        index.add_wheels(tmp_path)
        spec = replace(world.spec, package_indexes=(index.spec(key=secrets.token_hex(8)),))
        wanted = ("greeting-words", "titlecase")
        lock = plane.lock_packages(spec=spec, requirements=wanted, preferred={})
        packages = write_lock(tmp_path, lock)
        place = {"home": world.home, "config": plane.config, "runtime": runtime}
        environment = environment_of(**place, packages=packages)
        shutil.rmtree(environment.path, ignore_errors=True)
        ensure = partial(ensure_packages, **place, packages=packages, indexes=spec.package_indexes)
        # By a program of its own, as when a change is applied.
        eventually(lambda: not ensure(), seconds=120)
    greet = [str(environment.path / "bin" / "greet")]
    said = subprocess.run(greet, capture_output=True, text=True)

    assert {one.name for one in environment.packages()} == {*wanted}
    assert said.stderr == "Good morning from a package\n"
    assert ("GET", "/team/simple/titlecase/", True) in index.asked
    assert not environment.handover.exists()
    written = [*world.home.path.rglob("*.log"), *world.home.programs.glob("*")]
    assert index.asked
    assert not [path for path in written if PASSWORD.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("requirement", "message"),
    [
        ("sqlalchemy<1.4", "asks for sqlalchemy<1.4, and runtime 3.3.2-1 has sqlalchemy 2."),
        ("apache-airflow==2.10.5", "Ask for apache-airflow==3.3.2, or leave the version out."),
        ("not-a-package-of-anyone-xyz", "has no package called not-a-package-of-anyone-xyz"),
        ("titlecase==99", "has no version titlecase==99 that can be used here"),
        ("odfpy", "odfpy has no wheel for the Python of runtime 3.3.2-1"),
    ],
)
def test_what_cannot_be_installed_is_one_sentence(
    world: LocalWorld, requirement: str, message: str
):
    with pytest.raises(Permanent) as refused:
        world.plane.lock_packages(spec=world.spec, requirements=(requirement,), preferred={})

    assert message in refused.value.message


def test_a_version_that_the_projects_own_lock_prefers_is_taken(world: LocalWorld):
    lock = world.plane.lock_packages(
        spec=world.spec, requirements=("inflection>=0.4",), preferred={"inflection": "0.5.0"}
    )

    assert [(one.name, one.version) for one in lock.packages] == [("inflection", "0.5.0")]


def test_a_token_works_once(world: LocalWorld):
    token = make_token()

    first, second = sign_in(world, token), sign_in(world, token)

    assert (first.status, second.status) == (303, 401)


@pytest.mark.parametrize("changes", WRONG_CLAIMS)
def test_it_refuses_other_tokens(world: LocalWorld, changes: dict[str, Any]):
    assert sign_in(world, make_token(**changes)).status == 401


def test_it_refuses_a_token_signed_by_another(world: LocalWorld):
    assert sign_in(world, jwt.encode({"sub": "eve"}, "s" * 64, algorithm="HS512")).status == 401
    assert sign_in(world, "").status == 401


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.test",
        f"{PORTAL_URL}.evil.test",
        f"{PORTAL_URL}:8080",
        PORTAL_URL.replace("http:", "https:"),
        "null",
        "http://[bad",
        "",
    ],
)
def test_a_form_from_elsewhere_signs_nobody_in(world: LocalWorld, origin: str):
    token = make_token()

    refused = sign_in(world, token, headers={**FORM, "Origin": origin})
    nameless = sign_in(world, token, headers={"Content-Type": FORM["Content-Type"]})

    assert (refused.status, nameless.status) == (403, 403)
    assert "Set-Cookie" not in refused.headers
    assert sign_in(world, token).status == 303, "the ticket was not used up"


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.test",
        "//evil.test/open-comet/",
        "/\\evil.test",
        "/other/",
        "/open-comet/../other/",
        "javascript:alert(1)",
        "/open-comet/\r\nX: y",
        "",
    ],
)
def test_it_never_leads_elsewhere(world: LocalWorld, target: str):
    location = sign_in(world, make_token(), target).headers["Location"]

    assert location == "/open-comet/"


def test_signing_out_clears_the_cookie(world: LocalWorld):
    headers = {"Cookie": cookie(sign_in(world, make_token()))}

    first = call(world, "GET", "/open-comet/api/v2/auth/logout", headers=headers)
    second = call(world, "GET", first.headers["Location"], headers=headers)

    assert first.headers["Location"] == "/open-comet/auth/portal/logout"
    assert second.headers["Location"] == f"{PORTAL_URL}/"
    assert "Max-Age=0" in second.headers["Set-Cookie"]
    assert call(world, "GET", "/open-comet/api/v2/dags", headers=headers).status in (401, 403)


def test_the_scheduler_runs_the_tasks_itself(world: LocalWorld) -> None:
    world.apply(code=None)

    world.succeeded("welcome", world.trigger("welcome"))


FLAKY = """
from datetime import timedelta
from airflow.sdk import dag, task

@dag(schedule=None)
def flaky():
    @task
    def say():
        return "one"

    @task(retries=1, retry_delay=timedelta(seconds=0))
    def fall():
        raise ValueError("on purpose")

    [say(), fall()]

flaky()
"""


def test_its_history_counts_what_ended_and_only_the_portal_is_told(
    world: LocalWorld, tmp_path: Path
) -> None:
    world.apply(code=make_code(tmp_path, {"flaky.py": FLAKY}))
    began = int(time.time()) // 300 * 300
    before = read_history(world, began)
    assert world.finished_run("flaky", world.trigger("flaky"))["state"] == "failed"

    after = read_history(world, began)

    assert grown(before, after) == {
        "runs_succeeded": 0,
        "runs_failed": 1,
        "tasks_succeeded": 1,
        "tasks_failed": 1,
        "tasks_retried": 1,
    }
    assert after.problem == ""
    assert after.gauges[("pool_slots", "default_pool")] == 128
    assert after.gauges[("heartbeat_age", "scheduler")] < 60
    assert after.gauges[("database_bytes", "")] > 1e6
    assert after.ended is not None
    assert all(0 < value < 300 for value in after.ended.values["task_p90"].values())
    first_week = read_history(world, 0).ended
    assert first_week is not None
    assert not any(first_week.values.values())
    viewer = {"Cookie": cookie(sign_in(world, make_token()))}
    path = "/open-comet/auth/portal/history"
    assert call(world, "GET", path).status == 401
    assert call(world, "GET", path, headers=viewer).status == 403
    for since in ("-1", "x", "99999999999999999999"):
        answer = world.plane.airflow(
            spec=world.spec, method="GET", path=f"/auth/portal/history?since={since}"
        )
        assert answer.status == 422


def read_history(world: LocalWorld, since: int) -> Answer:
    """Read the history of the shared Airflow as the collector does."""
    said = world.airflow("GET", f"/auth/portal/history?since={since}")
    answer = read_answer(said, since=since, now=datetime.now(UTC))
    assert answer is not None
    return answer


def grown(before: Answer, after: Answer) -> dict[str, float]:
    """Return how much more was counted of each kind."""
    assert before.ended is not None
    assert after.ended is not None
    old, new = before.ended.values, after.ended.values
    names = [name for name in new if name.startswith(("runs_", "tasks_"))]
    return {name: sum(new[name].values()) - sum(old[name].values()) for name in names}


SHAKY = """
from pathlib import Path

from airflow.sdk import dag, task

@dag(schedule=None)
def shaky():
    @task
    def load():
        if not Path("MENDED").exists():
            raise OSError("not mended yet")

    load()

shaky()
"""


@pytest.mark.django_db
def test_a_dag_that_fails_is_told_once_and_its_next_success_too(
    world: LocalWorld,
    tmp_path: Path,
    deployment: Deployment,
    workspace: Workspace,
    alice: User,
    settings: Any,
) -> None:
    settings.ALERT_NETWORKS, settings.ALERTS_ALLOW_HTTP = ("127.0.0.0/8",), True
    began = datetime.now(UTC)
    Collection.objects.create(deployment=deployment, next_at=began)
    mended = tmp_path / "mended"
    shaky = SHAKY.replace("MENDED", str(mended))
    world.apply(code=make_code(tmp_path, {"shaky.py": shaky}))

    with receiver() as there:
        hook = make_channel(workspace, alice, "webhook", url=there.url, key="a-signing-secret")
        for kind in ("dag-failed", "task-failed"):
            make_rule(workspace, kind, channels=[hook], name=kind, since=began)
        run_id = world.trigger("shaky")
        assert world.finished_run("shaky", run_id)["state"] == "failed"
        for _ in range(2):
            tell(world, deployment, began)

        told = [json.loads(body)["data"] for _, _, body in there.requests]
        assert sorted(one["title"] for one in told) == [
            f"DAG shaky failed in {deployment.name}",
            f"Task shaky.load failed in {deployment.name}",
        ]
        assert all(run_id in one["lines"][0] for one in told)

        mended.touch()
        world.succeeded("shaky", world.trigger("shaky"))
        tell(world, deployment, began)
        events = [json.loads(body)["type"] for _, _, body in there.requests]
        assert events == ["alert.opened"] * 2 + ["alert.resolved"] * 2


def tell(world: LocalWorld, deployment: Deployment, began: datetime) -> None:
    """Do what the collector and the notifier do."""
    known = Collection.objects.get().list_from or began
    path = f"/auth/portal/history?results={known.timestamp()}"
    said = world.airflow("GET", path)
    results = read_results(said["results"], since=known, clock=datetime.now(UTC))
    assert results is not None
    write_results(deployment_id=deployment.pk, results=results)
    sweep(now=datetime.now(UTC))
    for channel_id, lease in outbox.take_due(most=10):
        outbox.empty_channel(channel_id=channel_id, lease=lease)


PLAIN = """
from airflow.sdk import dag, task

@dag(schedule=None)
def plain():
    @task
    def say():
        return "VERSION"

    say()

plain()
"""


def test_a_run_whose_code_was_removed_long_ago_is_started_again(
    world: LocalWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A DAG of its own: a run of one that was there already may begin with its code of before.
    source = PLAIN.replace("plain()", "long_ago()")
    one = make_code(tmp_path, {"long_ago.py": source.replace("VERSION", "one")})
    world.apply(code=one)
    run_id = world.trigger("long_ago")
    world.succeeded("long_ago", run_id)
    monkeypatch.setattr(code, "VERSIONS_KEPT", 0)
    world.apply(code=make_code(tmp_path, {"long_ago.py": source.replace("VERSION", "two")}))
    folder = Folder(world.home, "open-comet").code
    assert not (folder / one.digest).exists()

    path = f"/api/v2/dags/long_ago/dagRuns/{run_id}"
    world.airflow("POST", f"{path}/clear", {"dry_run": False, "only_failed": False})
    eventually(lambda: world.run("long_ago", run_id)["tasks"][0]["try_number"] == 2, seconds=60)
    world.succeeded("long_ago", run_id)

    said = world.airflow("GET", f"{path}/taskInstances/say/xcomEntries/return_value")
    assert said["value"] == "one"


def test_a_folder_of_a_git_commit_is_what_airflow_runs(
    world: LocalWorld, tmp_path: Path, settings: Any
) -> None:
    """It begins with whatever code is there, and brings its own by https from a real git server."""
    authority = Authority("Tests")
    settings.GIT_NETWORKS, settings.GIT_CA = ("127.0.0.0/8",), authority.certificate
    source = PLAIN.replace("plain()", "from_git()").replace("VERSION", "pushed")
    files = {"team/dags/from_git.py": source.encode(), "README.md": b"Of the whole repository."}
    Repository(tmp_path / "dags.git").commit(files)
    (tmp_path / "built").mkdir()
    with https_server(tmp_path, authority) as address:
        remote = remote_of(f"{address}/dags.git")
        with checkout(remote, Login(), branch="main") as fetched:
            chunks = [fetched.archive("team/dags").read_bytes()]
            built = build_archive(
                name="code.zip", chunks=chunks, folder=tmp_path / "built", limits=Limits()
            )

    world.apply(code=CodeSpec(digest=built.digest, archive_path=str(built.path)))

    run_id = world.trigger("from_git")
    world.succeeded("from_git", run_id)
    path = f"/api/v2/dags/from_git/dagRuns/{run_id}/taskInstances/say/xcomEntries/return_value"
    assert world.airflow("GET", path)["value"] == "pushed"


PRINTING = """
from airflow.sdk import DAG

print("said while parsing")

with DAG("printing", schedule=None):
    pass
"""


def test_what_a_dag_file_prints_can_be_read(world: LocalWorld, tmp_path: Path) -> None:
    world.apply(code=make_code(tmp_path, {"team/printing.py": PRINTING}))
    file = "team/printing.py"

    eventually(lambda: file in world.plane.dag_files(ref="open-comet"), seconds=120)
    said = eventually(
        lambda: world.plane.parse_log(ref="open-comet", file=file, contains="said while").lines,
        seconds=60,
    )

    assert "said while parsing" in said[-1].text
    assert said[-1].at is not None
    assert not said[-1].text.startswith("{")


BESIDE = """
import os
import time
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import BaseOperator, BaseSensorOperator, DAG
from short_naps import ShortNap

def end_late():
    # What is left of its process ends while the task goes on already.
    if "VERSION" == "one" and os.fork() == 0:
        time.sleep(4)
        os._exit(0)

def go_on():
    if "VERSION" == "one":
        time.sleep(6)

class Napping(BaseOperator):
    def execute(self, context):
        end_late()
        self.defer(trigger=ShortNap(), method_name="wake")

    def wake(self, context, event=None):
        go_on()
        return event

class Waiting(BaseSensorOperator):
    def poke(self, context):
        if context["ti"].get_first_reschedule_date(context) is None:
            end_late()
            return False
        go_on()
        return True

with DAG("beside", schedule=None):
    nap = Napping(task_id="nap")
    wait = Waiting(task_id="wait", mode="reschedule", poke_interval=1)
    script = BashOperator(task_id="script", bash_command="{{ dag.folder }}/scripts/say.sh ")
    [nap, wait] >> script
"""
SHORT_NAPS = """
import asyncio
from airflow.triggers.base import BaseTrigger, TriggerEvent

class ShortNap(BaseTrigger):
    def serialize(self):
        return ("short_naps.ShortNap", {})

    async def run(self):
        await asyncio.sleep(1)
        yield TriggerEvent("VERSION")
"""


def test_a_trigger_and_a_script_beside_the_dag_work_and_follow_the_code(
    world: LocalWorld, tmp_path: Path
) -> None:
    files = {"beside.py": BESIDE, "scripts/say.sh": "#!/bin/sh\necho VERSION\n"}
    said = []
    for version in ("one", "two"):
        deploy = make_code(
            tmp_path,
            {
                name: text.replace("VERSION", version)
                for name, text in {**files, "short_naps.py": SHORT_NAPS}.items()
            },
        )
        world.apply(code=deploy)
        eventually(lambda digest=deploy.digest: _version(world, "beside") == digest, seconds=90)
        run_id = world.trigger("beside")
        world.succeeded("beside", run_id)
        values = f"/api/v2/dags/beside/dagRuns/{run_id}/taskInstances"
        said += [
            world.airflow("GET", f"{values}/{task}/xcomEntries/return_value")["value"]
            for task in ("nap", "script")
        ]

    assert said == ["one", "one", "two", "two"]


def _version(world: LocalWorld, dag_id: str) -> str:
    response = world.plane.airflow(spec=world.spec, method="GET", path=f"/api/v2/dags/{dag_id}")
    assert isinstance(response.data, dict)
    return str(response.data.get("bundle_version", ""))


def test_dags_runs_tasks_and_logs_are_read_and_acted_on(world: LocalWorld, tmp_path: Path) -> None:
    walk_through_dags(world, tmp_path)


SLOW = """
import time
from airflow.sdk import dag, task

@dag(schedule=None)
def slow():
    @task
    def tick():
        time.sleep(30)
        return "done"

    tick()

slow()
"""


def test_what_is_observed_becomes_an_incident_and_ceases_to_be_one(
    world: LocalWorld, tmp_path: Path
) -> None:
    # Airflow reads no file that names neither DAGs nor itself.
    files = {"plain.py": PLAIN, "broken.py": "import nothing_called_this\nfrom airflow import DAG"}
    world.apply(code=make_code(tmp_path, files))
    eventually(lambda: _incidents(world) == {"import-errors"}, seconds=90)

    world.apply(code=make_code(tmp_path, {"plain.py": PLAIN}))
    eventually(lambda: _incidents(world) == set(), seconds=90)


DEFERRED = """
from datetime import timedelta
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import DAG, BaseOperator

class Away(BaseOperator):
    def execute(self, context):
        self.defer(trigger=TimeDeltaTrigger(timedelta(hours=1)), method_name="wake")

    def wake(self, context, event):
        return None

with DAG("deferred", schedule=None):
    for number in range(3):
        Away(task_id=f"away_{number}")
"""


def test_a_full_triggerer_and_a_silent_scheduler_are_found(
    world: LocalWorld, tmp_path: Path
) -> None:
    variables = tuple(
        VariableSpec(key=key, value=value, is_secret=False)
        for key, value in (
            ("AIRFLOW__TRIGGERER__CAPACITY", "1"),
            ("AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE", "False"),
        )
    )
    world.apply(variables=variables, code=make_code(tmp_path, {"deferred.py": DEFERRED}))
    run_id = world.trigger("deferred")

    def deferred() -> bool:
        tasks = world.run("deferred", run_id)["tasks"]
        return [task["state"] for task in tasks] == ["deferred"] * 3

    eventually(deferred, seconds=90)
    # Instead of the minute that they may wait.
    change_database(world, "UPDATE trigger SET created_date = created_date - interval '2 minutes'")
    eventually(lambda: "triggerer-full" in _measured_incidents(world), seconds=30)
    assert "scheduling-off" in _measured_incidents(world)
    assert _shown(world) == State.DEGRADED
    strain = read_history(world, int(time.time())).gauges
    assert strain[("trigger_slots", "")] == strain[("triggers", "")] == 1
    assert strain[("triggers_waiting", "")] == 2
    assert strain[("parse_interval", "")] == 30
    assert 0 < strain[("volume_free", "")] < strain[("volume_bytes", "")]
    assert strain[("lost_tasks", "")] == 0

    with silent(world, program="scheduler", job="SchedulerJob"):
        # A scheduler that was started lately is starting, whatever its heartbeat says.
        eventually(lambda: "heartbeat-late" in _measured_incidents(world), seconds=120)
        assert _shown(world) == State.MAJOR
        late = TaskName(dag_id="deferred", run_id=world.trigger("deferred"), task_id="away_0")
        assert reason_of(world, late) == "scheduler-away"
        assert read_history(world, int(time.time())).gauges[("heartbeat_age", "scheduler")] > 110
    eventually(lambda: "heartbeat-late" not in _measured_incidents(world), seconds=60)
    with silent(world, program="triggerer", job="TriggererJob"):
        away = TaskName(dag_id="deferred", run_id=run_id, task_id="away_0")
        eventually(lambda: reason_of(world, away) == "triggerer-away")
    eventually(lambda: reason_of(world, away) == "deferred")
    world.apply(variables=(), code=make_code(tmp_path, {"plain.py": PLAIN}))
    eventually(lambda: "scheduling-off" not in _measured_incidents(world), seconds=30)


@contextlib.contextmanager
def silent(world: LocalWorld, *, program: str, job: str) -> Iterator[None]:
    """Stop a program of the shared Airflow for a while, as if it had sent its last heartbeat two
    minutes ago.
    """
    name = f"open-comet--{program}"
    os.kill(world.pids()[name], signal.SIGSTOP)
    try:
        change_database(
            world,
            "UPDATE job SET latest_heartbeat = latest_heartbeat - interval '2 minutes' "  # noqa: S608 - of this file
            f"WHERE job_type = '{job}'",
        )
        yield
    finally:
        os.kill(world.pids()[name], signal.SIGCONT)


def change_database(world: LocalWorld, statement: str) -> None:
    """Change the metadata database of the shared Airflow behind its back."""
    with open_database(world) as connection:
        connection.execute(statement)


@contextlib.contextmanager
def open_database(world: LocalWorld) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Open the metadata database of the shared Airflow, to change it."""
    assert world.spec
    folder = Folder(world.home, world.spec.ref)
    state = read_state(folder)
    assert state
    with database.deployment_connection(world.plane.config, folder, state) as connection:
        connection.execute("SET default_transaction_read_only = off")
        yield connection


def _shown(world: LocalWorld) -> State | None:
    """Return what a status page would show of the shared Airflow at this moment."""
    assert world.spec
    observed = world.plane.observe(ref=world.spec.ref)
    deployment = Deployment(health=observed.health, observed_at=observed.observed_at)
    return of_deployment(deployment, _measured_incidents(world), now=datetime.now(UTC))


def _measured_incidents(world: LocalWorld) -> set[str]:
    return _incidents(world, measured=read_history(world, int(time.time())).gauges)


def _incidents(
    world: LocalWorld, measured: Mapping[tuple[str, str], float] | None = None
) -> set[str]:
    """Return what a portal would find, at this moment, in what it stores."""
    assert world.spec
    observation = world.plane.observe(ref=world.spec.ref)
    configuration = Configuration(description="", runtime="3.3.2-1", executor="local")
    revision = Revision(number=1, state=RevisionState.APPLIED, config=configuration.to_json())
    deployment = Deployment(
        ref=world.spec.ref,
        cluster=Cluster(kind=Cluster.Kind.LOCAL),
        wanted=revision,
        applied=revision,
        health=observation.health,
        observation=observed_json({}, observation),
        observed_at=observation.observed_at,
    )
    look = seen(deployment, now=observation.observed_at, measured=measured)
    return {one.kind for one in findings(look)}


def test_it_is_said_why_each_task_waits(world: LocalWorld, tmp_path: Path) -> None:
    """Each reason is made on purpose, all at the same time, and each task names its own alone."""
    world.apply(code=make_code(tmp_path, waiting_dags.FILES))
    pool = {"name": waiting_dags.POOL, "slots": 1}
    world.plane.airflow(spec=world.spec, method="POST", path="/api/v2/pools", json=pool)
    _hold_up_the_scheduler(world)
    runs = _start_what_waits(world)
    found: dict[Any, str] = {}

    def is_said() -> bool:
        found.update({task: _reason(world, runs, *task) for task in waiting_dags.REASONS})
        return found == waiting_dags.REASONS

    try:
        with contextlib.suppress(AssertionError):
            eventually(is_said, seconds=120, every=2)
        assert found == waiting_dags.REASONS
        paused = (waiting_dags.PAUSED, 0, "paused", -1)
        assert eventually(lambda: _reason(world, runs, *paused) == "paused")
        without = _reason(world, runs, *waiting_dags.WITHOUT_A_SLOT)
        assert without in ("executor-slots", "parallelism")
        mapped = {_reason(world, runs, waiting_dags.MAPPED, 0, "each", index) for index in (0, 1)}
        assert mapped == {"task-limit", "started"}
        early = ("why_start", 0, "early", -1)
        assert _reason(world, runs, *early) != "not there yet"
        listed = world.airflow("GET", "/auth/portal/why")["waiting"]
        assert {"why_pool", "why_deferred", "why_paused"} <= {row[0] for row in listed}
        nowhere = {"dag_id": "why_pool", "run_id": "none", "task_id": "second"}
        assert facts_in(world.airflow("GET", f"/auth/portal/why?{urlencode(nowhere)}")) is None
    finally:
        for dag_id, ids in runs.items():
            for run_id in ids:
                path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"
                world.airflow("PATCH", path, {"state": "failed"})


def _hold_up_the_scheduler(world: LocalWorld) -> None:
    """As another scheduler does that hangs while it queues tasks: nothing says so."""
    dag_id = "why_unknown"
    with open_database(world) as connection, connection.transaction():
        connection.execute("SELECT pool FROM slot_pool FOR UPDATE")
        run_id = world.trigger(dag_id)
        name = TaskName(dag_id=dag_id, run_id=run_id, task_id="quick")
        eventually(lambda: reason_of(world, name) == "nothing", seconds=60)
        eventually(lambda: world.run(dag_id, run_id)["tasks"][0]["state"] == "scheduled")
        # Instead of the minute that is usual.
        moved = "scheduled_dttm = scheduled_dttm - interval '2 minutes'"
        change_database(world, f"UPDATE task_instance SET {moved} WHERE dag_id = '{dag_id}'")  # noqa: S608 - of this file
        assert reason_of(world, name) == "unknown"
    world.succeeded(dag_id, run_id)
    cleared = {"dry_run": False, "dag_run_id": run_id, "reset_dag_runs": False}
    cleared |= {"only_failed": False, "task_ids": ["quick"]}
    world.airflow("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", cleared)
    assert reason_of(world, name) == "run-over"


def _start_what_waits(world: LocalWorld) -> dict[str, list[str]]:
    """Start the runs; the one that must end first, while there is room for it."""
    runs = {dag_id: _fail_and_follow(world, dag_id) for dag_id in waiting_dags.AFTER_A_FAILURE}
    for running, dag_ids in waiting_dags.GROUPS:
        eventually(lambda wanted=running: _running(world) == wanted, seconds=90)
        for dag_id in dag_ids:
            runs.setdefault(dag_id, []).append(world.trigger(dag_id))
        if not running:
            eventually(lambda: _has_started(world, runs), seconds=90)
    for (dag_id, _), made in waiting_dags.BODIES.items():
        path = f"/api/v2/dags/{dag_id}"
        world.airflow("PATCH", path, {"is_paused": False})
        run_id = secrets.token_hex(8)
        world.airflow("POST", f"{path}/dagRuns", {**made, "dag_run_id": run_id})
        runs.setdefault(dag_id, []).append(run_id)
    # It is paused from the beginning, as every DAG here.
    body = {"logical_date": None, "dag_run_id": "while-paused"}
    world.airflow("POST", f"/api/v2/dags/{waiting_dags.PAUSED}/dagRuns", body)
    runs[waiting_dags.PAUSED] = ["while-paused"]
    return runs


def _running(world: LocalWorld) -> int:
    rows = world.airflow("GET", "/auth/portal/counts")["tasks"]
    return sum(count for _, state, count in rows if state == "running")


def _has_started(world: LocalWorld, runs: dict[str, list[str]]) -> bool:
    """Whether each run that was started has a task that got its turn."""
    return all(
        any(task["state"] not in (None, "scheduled", "queued") for task in world.run(*one)["tasks"])
        for one in ((dag_id, ids[0]) for dag_id, ids in runs.items())
    )


def _fail_and_follow(world: LocalWorld, dag_id: str) -> list[str]:
    path = f"/api/v2/dags/{dag_id}"
    eventually(lambda: _version(world, dag_id), seconds=90)
    world.airflow("PATCH", path, {"is_paused": False})
    for day in (1, 2):
        body = {"logical_date": f"2026-01-0{day}T00:00:00Z", "dag_run_id": f"day-{day}"}
        world.airflow("POST", f"{path}/dagRuns", body)
        if day == 1:
            world.finished_run(dag_id, "day-1")
    return ["day-1", "day-2"]


def _reason(
    world: LocalWorld, runs: dict[str, list[str]], dag_id: str, run: int, task_id: str, index: int
) -> str:
    name = TaskName(dag_id=dag_id, run_id=runs[dag_id][run], task_id=task_id, map_index=index)
    return reason_of(world, name)


def _upgrade_while_a_task_runs(aging: LocalWorld, tmp_path: Path) -> None:
    """The task ends as if nothing had happened, and is named while it is waited for: also when the
    upgrade is taken back meanwhile, and asked for once more.
    """
    aging.apply(code=make_code(tmp_path, {"slow.py": SLOW}))
    run_id = aging.trigger("slow")
    eventually(lambda: aging.run("slow", run_id)["tasks"][0]["state"] == "running", seconds=90)
    assert aging.spec
    back, asked = aging.spec, aging.spec.revision
    asking = replace(aging.spec, revision=asked + 1, runtime=make_runtime())
    eventually(lambda: "slow.tick" in str(aging.plane.apply(spec=asking)), seconds=20)
    taken_back = str(aging.plane.apply(spec=replace(back, revision=asked + 2)))
    newer = replace(asking, revision=asked + 3)
    waiting = []

    def step() -> Any:
        progress = aging.plane.apply(spec=newer)
        waiting.extend(one.detail for one in progress.steps if one.state == "running")
        if "slow.tick" in waiting[-1] if waiting else False:
            components = aging.plane.observe(ref=REF).components
            states = {component.name: component for component in components}
            waiting.append(states["api-server"].state + states["scheduler"].detail)
        return progress

    settle(step)
    aging.spec = newer
    run = aging.finished_run("slow", run_id)

    told = [detail for detail in waiting if "slow.tick" in detail]
    assert any(detail.startswith("Waiting up to 10 minutes for tasks") for detail in told)
    assert any(detail.startswith("runningWaiting up to 10 minutes") for detail in told)
    assert "slow.tick" in taken_back
    assert (run["state"], run["tasks"][0]["try_number"]) == ("success", 1)


def test_the_nightly_cleanup_removes_old_runs_with_all_that_is_theirs_and_keeps_the_rest(
    world: LocalWorld,
) -> None:
    world.apply(code=None)
    old, new = (world.finished_run("welcome", world.trigger("welcome")) for _ in "ab")
    folder = Folder(world.home, "open-comet")
    state = read_state(folder)
    assert state
    url = database.deployment_url(world.plane.config, folder, state)
    _age(url, str(old["dag_run_id"]), days=400)

    # As the keeper does when a day has passed.
    log = log_file(folder)
    log.touch()
    long_ago = time.time() - 2 * 86_400
    os.utime(log, (long_ago, long_ago))
    eventually(lambda: "is removed." in log.read_text(), seconds=180)

    gone, kept = (_rows_of(url, str(run["dag_run_id"])) for run in (old, new))
    assert set(gone.values()) == {0}, gone
    assert all(kept.values()), kept
    runs = world.airflow("GET", "/api/v2/dags/welcome/dagRuns")["dag_runs"]
    assert new["dag_run_id"] in [run["dag_run_id"] for run in runs]
    assert world.finished_run("welcome", world.trigger("welcome"))["state"] == "success"


OF_A_RUN = ("dag_run", "task_instance", "log")


def _age(url: str, run_id: str, *, days: int) -> None:
    """Let a run, and what is written about it, be of long ago."""
    columns = {
        "dag_run": ("start_date", "end_date", "run_after", "queued_at"),
        "task_instance": ("start_date", "end_date"),
        "log": ("dttm",),
    }
    with psycopg.connect(url) as connection:
        for table, names in columns.items():
            moved = ", ".join(f"{name} = {name} - interval '{days} days'" for name in names)
            connection.execute(f"UPDATE {table} SET {moved} WHERE run_id = %s", [run_id])  # noqa: S608


def _rows_of(url: str, run_id: str) -> dict[str, int]:
    counts = " UNION ALL ".join(
        f"SELECT '{table}', count(*) FROM {table} WHERE run_id = %(run)s"  # noqa: S608
        for table in OF_A_RUN
    )
    with psycopg.connect(url) as connection:
        return dict(connection.execute(counts, {"run": run_id}).fetchall())


DOZING = """
import time
from airflow.sdk import dag, task

@dag(schedule=None)
def dozing():
    @task
    def doze():
        time.sleep(8)

    doze()

@dag(schedule=None)
def endless():
    @task
    def sit():
        time.sleep(3600)

    sit()

dozing()
endless()
"""


def test_it_restarts_on_request_and_hibernates_until_it_wakes(
    world: LocalWorld, tmp_path: Path
) -> None:
    world.apply(code=make_code(tmp_path, {"dozing.py": DOZING}))
    before = world.pids()
    world.apply(restarts=world.spec.restarts + 1)
    assert not set(before.values()) & set(world.pids().values()), "a process was not restarted"

    run_id = world.trigger("dozing")
    eventually(lambda: running_tasks(world) == 1, seconds=60)
    world.apply(hibernation=asleep(until=None))

    # The task ended first, and nothing of it runs; that is wanted and no drift.
    assert world.pids() == {}
    seen_asleep = world.plane.observe(ref="open-comet")
    assert (seen_asleep.health, seen_asleep.is_drifted) == ("stopped", False)
    assert "until it wakes" in seen_asleep.message
    world.plane.back_up(ref="open-comet", path=str(tmp_path / "asleep.dump"))
    world.apply(environment='{"connections": {}, "variables": {"of_the_night": "1"}}')
    assert world.pids() == {}

    # It wakes at its time, by the keeper alone.
    until = datetime.now(UTC) + timedelta(seconds=4)
    world.apply(hibernation=asleep(until=until))
    eventually(lambda: world.pids(), seconds=30)
    eventually(lambda: world.plane.observe(ref="open-comet").health == "healthy", seconds=240)
    print(f"healthy {(datetime.now(UTC) - until).total_seconds():.0f} s after it was to wake")
    world.succeeded("dozing", run_id)

    # A task that never ends is ended when its time is over.
    endless = world.trigger("endless")
    eventually(lambda: running_tasks(world) == 1, seconds=60)
    world.apply(hibernation=replace(asleep(until=None), task_minutes=0))
    assert world.pids() == {}
    world.apply(hibernation=HibernationPlan(), environment="")
    assert world.plane.observe(ref="open-comet").health == "healthy"
    # What runs again now would hold up the next change.
    world.airflow("PATCH", f"/api/v2/dags/endless/dagRuns/{endless}", {"state": "failed"})
    eventually(lambda: running_tasks(world) == 0, seconds=60)


def asleep(*, until: datetime | None) -> HibernationPlan:
    now = datetime.now(UTC)
    return HibernationPlan(override=Override(is_hibernating=True, since=now, until=until))


def running_tasks(world: LocalWorld) -> int:
    path = "/api/v2/dags/~/dagRuns/~/taskInstances?state=running"
    return int(world.airflow("GET", path)["total_entries"])


def test_a_backup_is_restored_with_all_that_was_in_it_and_a_damaged_one_changes_nothing(
    world: LocalWorld, tmp_path: Path
) -> None:
    before = replace(world.spec)
    pool = {"name": "in_the_backup", "slots": 3}
    world.airflow("POST", "/api/v2/pools", pool)
    archive = tmp_path / "one.dump"

    dump = world.plane.back_up(ref=before.ref, path=str(archive))

    assert (dump.airflow_version, dump.size_bytes) == ("3.3.2", archive.stat().st_size)
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert [*tmp_path.iterdir()] == [archive]
    world.airflow("DELETE", "/api/v2/pools/in_the_backup")
    world.airflow("POST", "/api/v2/pools", pool | {"name": "after_the_backup"})
    cut = tmp_path / "cut.dump"
    cut.write_bytes(archive.read_bytes()[:-100])
    restore = RestoreSpec(
        key="cut", dump_path=str(cut), sha256=dump.sha256, airflow_version=dump.airflow_version
    )
    with pytest.raises(Permanent, match="nothing was changed. .* checksum is another one"):
        world.apply(restore=restore)
    assert "after_the_backup" in pool_names(world)

    fetched = tmp_path / "fetched.dump"
    whole = replace(restore, key="whole", dump_path=str(fetched), pauses_dags=True, is_fetched=True)
    failed_note(fetched).write_text("The bucket lake is full.")
    with pytest.raises(Permanent, match=r"nothing was changed\. The bucket lake is full\."):
        world.apply(restore=whole)
    assert not failed_note(fetched).exists(), "what is tried again would fail by it"
    waits = world.plane.apply(spec=world.spec)
    assert not waits.is_done
    assert "from its bucket" in str(waits.steps)
    shutil.copyfile(archive, fetched)

    world.apply()

    assert "in_the_backup" in pool_names(world)
    assert "after_the_backup" not in pool_names(world)
    assert not database.has_database(
        world.plane.config, database.restored_name(Folder(world.home, before.ref))
    )
    world.airflow("DELETE", "/api/v2/pools/in_the_backup")
    world.apply()
    assert "in_the_backup" not in pool_names(world), "it was restored a second time"
    world.apply(restore=None)
    with pytest.raises(Permanent, match="has no metadata database yet"):
        world.plane.back_up(ref="no-such-comet", path=str(tmp_path / "none.dump"))


def pool_names(world: LocalWorld) -> set[str]:
    return {pool["name"] for pool in world.airflow("GET", "/api/v2/pools")["pools"]}


def test_a_2_11_from_elsewhere_becomes_a_deployment_with_all_that_was_in_it(
    world: LocalWorld, tmp_path: Path
) -> None:
    walk_through_import(world, tmp_path)


def test_an_older_airflow_works_becomes_newer_and_leaves_nothing(
    world: LocalWorld, tmp_path: Path
) -> None:
    older = make_spec(REF, executor="local", queues=(), runtime=make_runtime(OLDER))
    aging = LocalWorld(home=world.home, plane=world.plane)
    aging.create(older)

    _check_sign_in(aging)
    assert aging.airflow("GET", "/auth/portal/counts")["import_errors"] == 0
    aging.succeeded("welcome", aging.trigger("welcome"))
    walk_through_dags(aging, tmp_path)
    _upgrade_while_a_task_runs(aging, tmp_path)
    assert aging.airflow("GET", "/api/v2/version")["version"] == "3.3.2"
    with pytest.raises(Permanent, match="cannot be undone"):
        aging.plane.apply(spec=replace(older, revision=9))
    aging.delete()

    _check_nothing_is_left(aging)


def _check_sign_in(world: LocalWorld) -> None:
    visit = call(world, "GET", f"/{REF}/api/v2/auth/login?next=/{REF}/dags/welcome")
    token = make_token(REF)
    signed_in, again = sign_in(world, token, "https://evil.test"), sign_in(world, token)
    viewer = {"Cookie": cookie(signed_in)}
    admin = {"Cookie": cookie(sign_in(world, make_token(REF, role="admin")))}

    assert visit.headers["Location"].startswith(f"{PORTAL_URL}/airflow/{REF}/?next=")
    assert (signed_in.status, again.status) == (303, 401)
    assert signed_in.headers["Location"] == f"/{REF}/"
    assert call(world, "GET", f"/{REF}/api/v2/dags", headers=viewer).status == 200
    assert call(world, "GET", f"/{REF}/api/v2/connections", headers=viewer).status == 403
    assert call(world, "GET", f"/{REF}/api/v2/connections", headers=admin).status == 200
    assert call(world, "GET", f"/{REF}/api/v2/dags").status == 401
    for changes in WRONG_CLAIMS:
        assert sign_in(world, make_token(REF, **changes)).status == 401, changes
    call(world, "GET", f"/{REF}/api/v2/auth/logout", headers=viewer)
    assert call(world, "GET", f"/{REF}/api/v2/dags", headers=viewer).status in (401, 403)


def _check_nothing_is_left(world: LocalWorld) -> None:
    assert not world.plane_supervisor().states(f"{REF}--")
    assert not database.has_database(world.plane.config, "airflow_aging_comet")
    assert not (world.home.deployments / REF).exists()
    assert REF not in world.home.edge_routes.read_text()
    assert not list(world.home.programs.glob(f"{REF}--*"))
    with psycopg.connect(world.plane.config.database_url) as connection:
        roles = connection.execute(
            "SELECT 1 FROM pg_roles WHERE rolname = 'airflow_aging_comet'"
        ).fetchall()
    assert not roles
