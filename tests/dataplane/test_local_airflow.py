"""Real Airflow on this machine: tasks, scaling, code, edits, crashes. Everything here runs
processes.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from apps.dataplane.errors import DataPlaneError, Permanent
from apps.dataplane.local.airflow.metadata import database
from apps.dataplane.local.layout import Folder, read_state
from apps.dataplane.local.machine.cleanup import SUPERVISORD, find_leftovers
from apps.dataplane.local.plane import LocalPlane
from apps.dataplane.spec import VariableSpec
from apps.observability.why.facts import TaskName
from tests.dataplane.contract import BROKEN, PlaneContract, assert_a_broken_dag_is_told
from tests.dataplane.local_world import LocalWorld, local_world
from tests.dataplane.projects import write_lock
from tests.dataplane.specs import DEFAULT_QUEUE, make_code, make_runtime, make_spec
from tests.dataplane.why_waiting import reason_of
from tests.dataplane.world import eventually

pytestmark = pytest.mark.slow

BURST = """
import time
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, task

with DAG("burst", schedule=None, default_args={"retries": 0}):
    @task
    def wait(number: int):
        time.sleep(SECONDS)

    wait.expand(number=[1, 2, 3, 4])
    for number in range(4):
        BashOperator(task_id=f"shell_{number}", bash_command="sleep SECONDS")

with DAG("single", schedule=None):
    BashOperator(task_id="one", bash_command="true")
"""
# Long enough that some run while supervisord is away and everything starts again.
LONG_BURST = BURST.replace("SECONDS", "25")
BURST = BURST.replace("SECONDS", "5")
# Whether a package that comes while the task runs can be imported.
WITHOUT = """
import time
from importlib.util import find_spec
from airflow.sdk import DAG, task

with DAG("without", schedule=None, default_args={"retries": 0}):
    @task
    def look():
        before = find_spec("titlecase")
        time.sleep(10)
        return [before is None, find_spec("titlecase") is None]

    look()
"""
FOUR = """
import time
from airflow.sdk import DAG, task

with DAG("DAG_ID", schedule=None, default_args={"retries": 0}):
    @task
    def wait(number: int):
        time.sleep(4)

    wait.expand(number=[1, 2, 3, 4])
"""
VERSIONED = """
import os, time
from airflow.sdk import dag, task

@dag(dag_id="versioned", schedule=None)
def versioned():
    @task
    def first():
        time.sleep(10)
        return "VERSION"

    @task
    def second(said):
        return said + " VERSION " + os.environ.get("GREETING", "")

    second(first())

versioned()
"""


@pytest.fixture(scope="module")
def world() -> Iterator[LocalWorld]:
    with local_world(make_runtime()) as world:
        world.create(make_spec("steady-comet"))
        yield world


class TestLocalPlane(PlaneContract):
    @pytest.fixture
    def plane(self, world: LocalWorld) -> LocalPlane:
        return world.plane


def returned(world: LocalWorld, run_id: str, task_id: str, dag_id: str = "versioned") -> str:
    instance = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
    path = f"{instance}/xcomEntries/return_value"
    return str(world.airflow("GET", path)["value"])


def test_the_example_dag_succeeds_without_a_deploy(world: LocalWorld):
    world.apply(code=None)

    world.succeeded("welcome", world.trigger("welcome"))


def test_a_burst_scales_from_zero_and_back_and_loses_no_task(world: LocalWorld, tmp_path: Path):
    queue = replace(DEFAULT_QUEUE, min_workers=0, max_workers=3)
    world.apply(queues=(queue,), code=make_code(tmp_path, {"burst.py": BURST}))
    eventually(lambda: world.plane.observe(ref=world.spec.ref).queues[0].workers_ready == 0)

    began_at = datetime.now(UTC)
    run_id = world.trigger("burst")
    task = TaskName(dag_id="burst", run_id=run_id, task_id="shell_3")
    most, reasons = 0, set[str]()
    began = time.monotonic()
    while world.run("burst", run_id)["state"] not in ("success", "failed"):
        reasons.add(reason_of(world, task))
        [seen] = world.plane.observe(ref=world.spec.ref).queues
        most = max(most, seen.workers_ready)
        assert time.monotonic() - began < 150
        time.sleep(1)
    run = world.run("burst", run_id)

    assert run["state"] == "success"
    assert [task["try_number"] for task in run["tasks"]] == [1] * 8
    assert most == 3
    assert reasons & {"no-workers", "scaling-up"}
    # On a busy machine one also waits for longer than is usual.
    usual = {"nothing", "started", "unknown"}
    assert reasons - usual <= {"no-workers", "scaling-up", "workers-at-max"}
    eventually(
        lambda: world.plane.observe(ref=world.spec.ref).queues[0].workers_ready == 0, seconds=60
    )
    decisions = world.plane.scaling_decisions(spec=world.spec, since=began_at)
    assert {"up", "cooldown", "down"} <= {one.reason for one in decisions}
    assert max(one.wanted for one in decisions) == 3
    assert decisions[-1].wanted == 0
    for one in decisions:
        needed = -(-((one.queued or 0) + (one.running or 0)) // one.concurrency)
        assert one.wanted == min(3, needed)
        assert (one.min_workers, one.max_workers, one.cooldown_seconds) == (0, 3, 4)


def test_other_packages_let_tasks_finish_with_those_that_they_began_with(
    world: LocalWorld, tmp_path: Path
):
    files = {"burst.py": BURST, "without.py": WITHOUT}
    world.apply(queues=(DEFAULT_QUEUE,), code=make_code(tmp_path, files))
    lock = world.plane.lock_packages(spec=world.spec, requirements=("titlecase",), preferred={})
    packages = write_lock(tmp_path, lock)
    world.plane.install_packages(spec=replace(world.spec, packages=packages))
    early, run_id = world.trigger("without"), world.trigger("burst")
    eventually(lambda: _running(world, early, "without") and _running(world, run_id), seconds=60)

    world.apply(packages=packages)
    late = world.trigger("without")
    runs = [world.succeeded("without", early), world.succeeded("burst", run_id)]
    world.succeeded("without", late)

    assert {task["try_number"] for run in runs for task in run["tasks"]} == {1}
    assert returned(world, early, "look", "without") == "[True, True]"
    assert returned(world, late, "look", "without") == "[False, False]"


def _running(world: LocalWorld, run_id: str, dag_id: str = "burst") -> int:
    return sum(task["state"] == "running" for task in world.run(dag_id, run_id)["tasks"])


def test_a_worker_that_hangs_is_one_that_takes_no_task(world: LocalWorld, tmp_path: Path):
    world.apply(queues=(DEFAULT_QUEUE,), code=make_code(tmp_path, {"burst.py": BURST}))
    _wait_for_one_worker(world)
    [worker] = [pid for name, pid in world.pids().items() if "--worker-" in name]
    os.kill(worker, signal.SIGSTOP)
    try:
        run_id = world.trigger("single")
        task = TaskName(dag_id="single", run_id=run_id, task_id="one")
        eventually(lambda: world.run("single", run_id)["tasks"][0]["state"] == "queued")
        assert reason_of(world, task) == "nothing"
        # Instead of five minutes.
        path = Folder(world.home, world.spec.ref)
        url = database.deployment_url(world.plane.config, path, read_state(path))
        with psycopg.connect(url) as connection:
            moved = "queued_dttm = queued_dttm - interval '6 minutes'"
            connection.execute(f"UPDATE task_instance SET {moved} WHERE dag_id = 'single'")  # noqa: S608
        assert reason_of(world, task) == "taken-by-none"
    finally:
        os.kill(worker, signal.SIGCONT)
    world.succeeded("single", run_id)


def test_an_edit_restarts_only_what_it_changes(world: LocalWorld):
    world.apply(queues=(DEFAULT_QUEUE,))
    _wait_for_one_worker(world)
    before = world.pids()

    world.apply(queues=(replace(DEFAULT_QUEUE, max_workers=5),))
    after_maximum = world.pids()
    world.apply(queues=(replace(DEFAULT_QUEUE, concurrency=3),))
    after_concurrency = world.pids()
    world.apply(variables=(VariableSpec(key="GREETING", value='a "b" %c\nd', is_secret=True),))
    after_variable = _core_pids(world)

    assert before.items() <= after_maximum.items()
    assert _core_of(after_concurrency) == _core_of(before)
    assert not set(after_concurrency.items()) >= set(before.items())
    assert not set(after_variable.values()) & set(before.values())


def _wait_for_one_worker(world: LocalWorld) -> None:
    """Until the autoscaler has stopped what an earlier test needed."""
    eventually(lambda: sum("--worker-" in name for name in world.pids()) == 1, seconds=60)


def _core_pids(world: LocalWorld) -> dict[str, int]:
    return _core_of(world.pids())


def _core_of(pids: dict[str, int]) -> dict[str, int]:
    return {name: pid for name, pid in pids.items() if "--worker-" not in name}


def test_a_run_keeps_the_code_it_began_with_and_a_rollback_is_a_pointer(
    world: LocalWorld, tmp_path: Path
):
    one = make_code(tmp_path, {"dag.py": VERSIONED.replace("VERSION", "one")})
    two = make_code(tmp_path, {"dag.py": VERSIONED.replace("VERSION", "two")})
    world.apply(code=one, queues=(DEFAULT_QUEUE,))
    before = _core_pids(world), _restarts(world)
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
    assert (_core_pids(world), _restarts(world)) == before


def _latest_version(world: LocalWorld) -> str:
    response = world.plane.airflow(spec=world.spec, method="GET", path="/api/v2/dags/versioned")
    assert isinstance(response.data, dict)
    return str(response.data.get("bundle_version", ""))


def test_a_dag_that_cannot_be_imported_is_told(world: LocalWorld, tmp_path: Path):
    world.apply(code=make_code(tmp_path, BROKEN))

    assert world.spec
    assert_a_broken_dag_is_told(world.plane, world.spec)
    assert world.plane.observe(ref=world.spec.ref).import_errors == 1


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


def test_a_killed_scheduler_comes_back_and_is_counted(world: LocalWorld):
    name = f"{world.spec.ref}--scheduler"
    pid = world.pids()[name]
    before = _restarts(world)

    psutil.Process(pid).kill()

    eventually(lambda: world.pids().get(name, pid) != pid, seconds=20)
    eventually(lambda: world.plane.observe(ref=world.spec.ref).health == "healthy", seconds=60)
    assert _restarts(world) == {**before, "scheduler": before["scheduler"] + 1}


def test_of_two_schedulers_one_is_killed_and_no_task_is_lost(world: LocalWorld, tmp_path: Path):
    """As on two nodes: one is gone with all its processes, and does not come back."""
    files = {"early.py": FOUR.replace("DAG_ID", "early"), "late.py": FOUR.replace("DAG_ID", "late")}
    world.apply(queues=(DEFAULT_QUEUE,), code=make_code(tmp_path, files))
    pid = world.pids()[f"{world.spec.ref}--scheduler"]
    other = _another(psutil.Process(pid), tmp_path)
    alive = "/api/v2/jobs?job_type=SchedulerJob&job_state=running&is_alive=true"
    try:
        eventually(lambda: world.airflow("GET", alive)["total_entries"] >= 2, seconds=90)
        early = world.trigger("early")
        eventually(lambda: _running(world, early, "early") >= 1, seconds=60)
    finally:
        os.killpg(other.pid, signal.SIGKILL)
        other.wait()

    killed_at, late = time.monotonic(), world.trigger("late")
    eventually(lambda: _running(world, late, "late") >= 1, seconds=60)
    assert time.monotonic() - killed_at <= 60

    runs = [world.succeeded("early", early), world.succeeded("late", late)]
    assert [task["try_number"] for run in runs for task in run["tasks"]] == [1] * 8


def _another(program: psutil.Process, folder: Path) -> subprocess.Popen[bytes]:
    """Start what a program runs once more, as a process group of its own."""
    with (folder / "another.log").open("ab") as log:
        return subprocess.Popen(
            program.cmdline(),
            env=program.environ(),
            cwd=program.cwd(),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _restarts(world: LocalWorld) -> dict[str, int]:
    components = world.plane.observe(ref=world.spec.ref).components
    return {component.name: component.restarts for component in components}


def test_a_killed_supervisord_costs_no_task(world: LocalWorld, tmp_path: Path):
    wide = replace(DEFAULT_QUEUE, concurrency=4)
    world.apply(queues=(wide,), code=make_code(tmp_path, {"burst.py": LONG_BURST}))
    run_id = world.trigger("burst")
    eventually(lambda: _running(world, run_id) >= 6, seconds=60)
    (supervisord,) = (
        found.process for found in find_leftovers(world.home) if found.program == SUPERVISORD
    )

    supervisord.kill()
    run = eventually(lambda: _over(world, run_id), seconds=300)

    assert run["state"] == "success"
    assert [task["try_number"] for task in run["tasks"]] == [1] * 8
    eventually(lambda: world.plane.observe(ref=world.spec.ref).health == "healthy", seconds=60)


def _over(world: LocalWorld, run_id: str) -> dict[str, Any] | None:
    """Return the run when it has ended; None before, and while the api-server is away."""
    try:
        run = world.run("burst", run_id)
    except DataPlaneError:
        return None
    return run if run["state"] in ("success", "failed") else None


def test_workers_hold_no_secret_of_airflow(world: LocalWorld):
    world.apply(queues=(DEFAULT_QUEUE,))
    worker = next(pid for name, pid in world.pids().items() if "--worker-" in name)

    environment = psutil.Process(worker).environ()

    secrets = world.spec.secrets
    for secret in (secrets.fernet_key, secrets.jwt_secret, secrets.api_secret_key):
        assert secret not in environment.values()
    assert not [name for name in environment if name.startswith("AIRFLOW__DATABASE__")]


def test_a_variable_that_breaks_airflow_is_named_with_its_log(world: LocalWorld):
    broken = (VariableSpec(key="AIRFLOW__CORE__PARALLELISM", value="many", is_secret=False),)

    with pytest.raises(Permanent) as raised:
        world.apply(variables=broken)
    world.apply(variables=())

    assert raised.value.component
    assert raised.value.log
    assert world.plane.observe(ref=world.spec.ref).health == "healthy"
