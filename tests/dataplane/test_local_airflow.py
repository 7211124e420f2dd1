"""Real Airflow on this machine: tasks, scaling, code, edits, crashes. Everything here runs
processes.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest

from apps.dataplane.errors import Permanent
from apps.dataplane.local import database
from apps.dataplane.spec import VariableSpec
from tests.dataplane.local_world import LocalWorld, eventually, local_world, settle
from tests.dataplane.specs import DEFAULT_QUEUE, make_code, make_runtime, make_spec

pytestmark = pytest.mark.slow

BURST = """
import time
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, task

with DAG("burst", schedule=None, default_args={"retries": 0}):
    @task
    def wait(number: int):
        time.sleep(8)

    wait.expand(number=[1, 2, 3, 4])
    for number in range(4):
        BashOperator(task_id=f"shell_{number}", bash_command="sleep 8")
"""
VERSIONED = """
import os, time
from airflow.sdk import dag, task

@dag(dag_id="versioned", schedule=None)
def versioned():
    @task
    def first():
        time.sleep(12)
        return "VERSION"

    @task
    def second(said):
        return said + " VERSION " + os.environ.get("GREETING", "")

    second(first())

versioned()
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalWorld]:
    with local_world() as world:
        world.spec = make_spec("steady-comet")
        settle(lambda: world.plane.apply(spec=world.spec), seconds=400)
        yield world


def returned(world: LocalWorld, run_id: str, task_id: str) -> str:
    path = (
        f"/api/v2/dags/versioned/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
    )
    return str(world.airflow("GET", path)["value"])


def test_a_new_deployment_is_healthy_within_half_a_minute_and_runs_its_example(world: LocalWorld):
    spec = make_spec("quick-comet", executor="local", queues=())
    began = time.monotonic()

    settle(lambda: world.plane.apply(spec=spec))

    assert time.monotonic() - began < 30
    settle(lambda: world.plane.delete(ref=spec.ref))


def test_the_example_dag_succeeds_without_a_deploy(world: LocalWorld):
    world.apply(code=None)

    run = world.finished_run("welcome", world.trigger("welcome"))

    assert run["state"] == "success"


def test_a_burst_scales_from_zero_and_back_and_loses_no_task(world: LocalWorld, tmp_path: Path):
    queue = replace(DEFAULT_QUEUE, min_workers=0, max_workers=3)
    world.apply(queues=(queue,), code=make_code(tmp_path, {"burst.py": BURST}))
    eventually(lambda: world.plane.observe(ref=world.spec.ref).queues[0].workers_ready == 0)

    run_id = world.trigger("burst")
    most = 0
    began = time.monotonic()
    while world.run("burst", run_id)["state"] not in ("success", "failed"):
        most = max(most, world.plane.observe(ref=world.spec.ref).queues[0].workers_ready)
        assert time.monotonic() - began < 150
        time.sleep(1)
    run = world.run("burst", run_id)

    assert run["state"] == "success"
    assert [task["try_number"] for task in run["tasks"]] == [1] * 8
    assert most == 3
    eventually(
        lambda: world.plane.observe(ref=world.spec.ref).queues[0].workers_ready == 0, seconds=60
    )


def test_stopping_a_worker_lets_its_shell_task_finish(world: LocalWorld, tmp_path: Path):
    world.apply(queues=(DEFAULT_QUEUE,), code=make_code(tmp_path, {"burst.py": BURST}))
    run_id = world.trigger("burst")
    eventually(
        lambda: (
            sum(task["state"] == "running" for task in world.run("burst", run_id)["tasks"]) >= 2
        ),
        seconds=60,
    )

    world.apply(queues=(replace(DEFAULT_QUEUE, concurrency=4),))
    run = world.finished_run("burst", run_id)

    assert run["state"] == "success"
    assert {task["try_number"] for task in run["tasks"]} == {1}


def test_an_edit_restarts_only_what_it_changes(world: LocalWorld):
    world.apply(queues=(DEFAULT_QUEUE,))
    before = world.pids()

    world.apply(queues=(replace(DEFAULT_QUEUE, max_workers=5),))
    after_maximum = world.pids()
    world.apply(queues=(replace(DEFAULT_QUEUE, concurrency=3),))
    after_concurrency = world.pids()
    world.apply(variables=(VariableSpec(key="GREETING", value='a "b" %c\nd', is_secret=True),))
    after_variable = world.pids()

    def core(pids: dict[str, int]) -> dict[str, int]:
        return {name: pid for name, pid in pids.items() if "worker" not in name}

    assert before.items() <= after_maximum.items()
    assert core(after_concurrency) == core(before)
    assert not set(after_concurrency.items()) >= set(before.items())
    assert not set(core(after_variable).values()) & set(core(before).values())


def test_a_run_keeps_the_code_it_began_with_and_a_rollback_is_a_pointer(
    world: LocalWorld, tmp_path: Path
):
    one = make_code(tmp_path, {"dag.py": VERSIONED.replace("VERSION", "one")})
    two = make_code(tmp_path, {"dag.py": VERSIONED.replace("VERSION", "two")})
    world.apply(code=one, queues=(DEFAULT_QUEUE,))
    pids = world.pids()
    old = world.trigger("versioned")
    eventually(lambda: world.run("versioned", old)["tasks"][0]["state"] == "running", seconds=60)

    world.apply(code=two)
    eventually(lambda: _latest_version(world) == two.digest, seconds=60)
    new = world.trigger("versioned")
    world.finished_run("versioned", old)
    world.finished_run("versioned", new)
    world.apply(code=one)
    eventually(lambda: _latest_version(world) == one.digest, seconds=60)

    assert returned(world, old, "second").startswith("one one")
    assert returned(world, new, "second").startswith("two two")
    assert world.plane.observe(ref=world.spec.ref).code_digest == one.digest
    assert pids.items() <= world.pids().items()


def _latest_version(world: LocalWorld) -> str:
    response = world.plane.airflow(spec=world.spec, method="GET", path="/api/v2/dags/versioned")
    assert isinstance(response.data, dict)
    return str(response.data.get("bundle_version", ""))


def test_logs_are_followed_by_cursor(world: LocalWorld):
    first = world.plane.logs(ref=world.spec.ref, component="api-server", limit=5)
    world.airflow("GET", "/api/v2/version")

    def news() -> tuple:
        page = world.plane.logs(ref=world.spec.ref, component="api-server", cursor=first.cursor)
        return tuple(line for line in page.lines if "/api/v2/version" in line.text)

    assert len(first.lines) == 5
    assert eventually(news)
    with pytest.raises(Permanent):
        world.plane.logs(ref=world.spec.ref, component="../state")


def test_a_killed_scheduler_comes_back(world: LocalWorld):
    name = f"{world.spec.ref}--scheduler"
    pid = world.pids()[name]

    psutil.Process(pid).kill()

    eventually(lambda: world.pids().get(name, pid) != pid, seconds=20)
    eventually(lambda: world.plane.observe(ref=world.spec.ref).health == "healthy", seconds=60)


def test_workers_hold_no_secret_of_airflow(world: LocalWorld):
    world.apply(queues=(DEFAULT_QUEUE,))
    worker = next(pid for name, pid in world.pids().items() if "--worker-" in name)

    environment = psutil.Process(worker).environ()

    secrets = world.spec.secrets
    for secret in (secrets.fernet_key, secrets.jwt_secret, secrets.api_secret_key):
        assert secret not in environment.values()
    assert not [name for name in environment if name.startswith("AIRFLOW__DATABASE__")]


def test_a_variable_that_breaks_airflow_is_named_with_its_log(world: LocalWorld):
    broken = (
        VariableSpec(
            key="AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS", value="no.where", is_secret=False
        ),
    )

    with pytest.raises(Permanent) as raised:
        world.apply(variables=broken)
    world.apply(variables=())

    assert raised.value.component
    assert raised.value.log
    assert world.plane.observe(ref=world.spec.ref).health == "healthy"


def test_a_newer_runtime_migrates_the_database_and_an_older_one_is_refused(world: LocalWorld):
    spec = make_spec("aging-comet", executor="local", queues=(), runtime=make_runtime("3.2.2"))
    settle(lambda: world.plane.apply(spec=spec), seconds=400)
    newer = replace(spec, revision=2, runtime=make_runtime("3.3.2"))

    settle(lambda: world.plane.apply(spec=newer), seconds=400)
    response = world.plane.airflow(spec=newer, method="GET", path="/api/v2/version")
    with pytest.raises(Permanent):
        world.plane.apply(spec=replace(spec, revision=3))

    assert response.data["version"] == "3.3.2"
    settle(lambda: world.plane.delete(ref=spec.ref))


def test_deleting_leaves_nothing(world: LocalWorld):
    spec = make_spec("short-comet")
    settle(lambda: world.plane.apply(spec=spec))
    assert database.has_database(world.plane.config, "airflow_short_comet")

    settle(lambda: world.plane.delete(ref=spec.ref))

    assert not world.plane_supervisor().states("short-comet--")
    assert not database.has_database(world.plane.config, "airflow_short_comet")
    assert not (world.home.deployments / spec.ref).exists()
    assert spec.ref not in world.home.edge_routes.read_text()
    assert not list(world.home.programs.glob("short-comet--*"))
    with psycopg.connect(world.plane.config.database_url) as connection:
        roles = connection.execute(
            "SELECT 1 FROM pg_roles WHERE rolname = 'airflow_short_comet'"
        ).fetchall()
    assert not roles
