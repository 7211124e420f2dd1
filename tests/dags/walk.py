"""A walk through the DAGs of a real Airflow, by the functions that the pages use."""

from pathlib import Path
from typing import Any

import pytest

from apps.dags.airflow import acts, dags, task_logs, tasks
from apps.dags.airflow.api import ActRefused, AirflowApi, NotInAirflow
from tests.dataplane.local_world import LocalWorld
from tests.dataplane.specs import make_code
from tests.dataplane.world import eventually

DAG_ID = "observed"
CODE = '''
"""A DAG that prints what logs are afraid of."""

import sys

from airflow.sdk import dag, task


@dag(dag_id="observed", schedule="0 3 * * *", catchup=False, tags=["b", "a"], description="Says")
def observed():
    @task(retries=0)
    def talk():
        print("::group::Details")
        print("inside")
        print("::endgroup::")
        print("\\x1b[31mred\\x1b[0m")
        print("x" * 3_000_000)
        sys.stdout.flush()
        sys.stdout.buffer.write(b"raw \\xff\\x00 bytes\\n") if hasattr(sys.stdout, "buffer") else 0
        print("the end")

    @task
    def break_down():
        raise KeyError("no day")

    @task
    def each(number):
        return number

    talk() >> [break_down(), each.expand(number=[1, 2, 3])]


observed()
'''


def walk_through_dags(world: LocalWorld, folder: Path) -> None:
    """Deploy a DAG, run it, read everything of it, and act on it."""
    world.apply(code=make_code(folder, {"observed.py": CODE}))
    assert world.spec
    airflow = AirflowApi(plane=world.plane, spec=world.spec, secrets=("no day",))
    eventually(lambda: _knows(airflow), seconds=90)
    acts.pause_dag(airflow, dag_id=DAG_ID, is_paused=False)
    run_id = acts.trigger_dag(airflow, dag_id=DAG_ID, conf={"day": 1}, note="by the walk")
    world.finished_run(DAG_ID, run_id)

    _check_dag(airflow, run_id)
    _check_tasks(airflow, run_id)
    _check_log(airflow, (DAG_ID, run_id, "talk"))
    _check_summary(world)
    _check_acts(airflow, run_id)


def _knows(airflow: AirflowApi) -> bool:
    try:
        return not dags.read_dag(airflow, dag_id=DAG_ID).is_stale
    except NotInAirflow:
        return False


def _check_dag(airflow: AirflowApi, run_id: str) -> None:
    dag = dags.read_dag(airflow, dag_id=DAG_ID)
    assert (dag.schedule, dag.tags, dag.file) == ("0 3 * * *", ("a", "b"), "observed.py")
    assert (dag.is_paused, dag.description) == (False, "Says")
    assert dag.next_run_at is not None
    assert "prints what logs are afraid of" in dags.read_code(airflow, dag_id=DAG_ID).lines[1]
    assert dags.read_warnings(airflow, dag_id=DAG_ID) == ()
    failed = dags.read_runs(airflow, dag_id=DAG_ID, state="failed", page=1)
    [run] = [one for one in failed.runs if one.run_id == run_id]
    assert run == dags.read_run(airflow, dag_id=DAG_ID, run_id=run_id)
    assert (run.note, run.kind, run.state) == ("by the walk", "manual", "failed")
    assert run.conf == '{\n  "day": 1\n}'
    assert run.seconds is not None
    beyond = dags.read_runs(airflow, dag_id=DAG_ID, state="", page=99)
    assert beyond.runs == ()
    assert beyond.count >= 1
    with pytest.raises(NotInAirflow):
        dags.read_run(airflow, dag_id=DAG_ID, run_id="absent")


def _check_tasks(airflow: AirflowApi, run_id: str) -> None:
    def found(state: str, contains: str) -> list[tuple[str, int]]:
        page = tasks.read_tasks(
            airflow, dag_id=DAG_ID, run_id=run_id, state=state, contains=contains, page=1
        )
        return sorted((one.task_id, one.map_index) for one in page.tasks)

    assert found("", "") == [
        ("break_down", -1),
        ("each", 0),
        ("each", 1),
        ("each", 2),
        ("talk", -1),
    ]
    assert found("failed", "") == [("break_down", -1)]
    assert found("", "ACH") == [("each", 0), ("each", 1), ("each", 2)]
    ids: dict[str, Any] = {"dag_id": DAG_ID, "run_id": run_id}
    third = tasks.read_task(airflow, task_id="each", map_index=2, **ids)
    assert (third.map_index, third.state, third.try_number) == (2, "success", 1)
    [only] = tasks.read_tries(airflow, task_id="each", map_index=2, **ids)
    assert (only.try_number, only.state) == (1, "success")


def _has_ended(airflow: AirflowApi, ids: tuple[str, str, str]) -> bool:
    end = task_logs.read_log(airflow, ids=ids, map_index=-1, try_number=1, contains="the end")
    return bool(end.parts)


def _check_log(airflow: AirflowApi, ids: tuple[str, str, str]) -> None:
    # A task has ended a moment before all that it printed is written.
    eventually(lambda: _has_ended(airflow, ids))
    log = task_logs.read_log(airflow, ids=ids, map_index=-1, try_number=1)
    assert log.token == ""
    groups = [one for one in log.parts if isinstance(one, task_logs.Group)]
    assert {"Log message source details", "Details"} <= {group.title for group in groups}
    lines = [one for one in log.parts if isinstance(one, task_logs.Line)]
    texts = ["".join(span.text for span in line.spans) for line in lines]
    [red] = [line for line, text in zip(lines, texts, strict=True) if text.startswith("red")]
    assert red.spans[0] == task_logs.Span("red", "bad")
    long = [text for text in texts if text.startswith("xxxx") and "more characters" in text]
    assert long, [(len(text), text[:80]) for text in texts]
    assert any(text.startswith("the end") for text in texts)
    assert "\x00" not in "".join(texts)
    whole = list(task_logs.log_as_text(airflow, ids=ids, map_index=-1, try_number=1))
    assert max(len(line) for line in whole) >= 3_000_000
    kept = task_logs.read_log(airflow, ids=ids, map_index=-1, try_number=1, contains="THE END")
    assert len(kept.parts) == 1
    failed = (*ids[:2], "break_down")
    broken = task_logs.read_log(airflow, ids=failed, map_index=-1, try_number=1, level="error")
    said = "\n".join(
        "".join(span.text for span in line.spans)
        for line in broken.parts
        if isinstance(line, task_logs.Line)
    )
    assert "in break_down" in said
    assert "KeyError: '••••••'" in said, "a secret value is masked"


def _check_summary(world: LocalWorld) -> None:
    said = world.airflow("GET", "/auth/portal/dags")
    [row] = [one for one in said["dags"] if one[0] == DAG_ID]
    assert row[2:7] == ["Says", False, False, "0 3 * * *", "At 03:00"], row
    assert row[9] == ["a", "b"]
    assert row[10][0][0] == "failed"
    assert all(isinstance(number, int) for number in row[10][0][1:])
    assert said["count"] == len(said["dags"])
    again = world.airflow("GET", f"/auth/portal/dags?known={said['digest']}")
    assert again in ({"digest": said["digest"]}, world.airflow("GET", "/auth/portal/dags"))


def _check_acts(airflow: AirflowApi, run_id: str) -> None:
    ids: dict[str, Any] = {"dag_id": DAG_ID, "run_id": run_id}

    def state() -> str:
        return dags.read_run(airflow, **ids).state

    acts.mark_task(airflow, ids=(DAG_ID, run_id, "break_down"), map_index=-1, state="success")
    broken = tasks.read_task(airflow, task_id="break_down", map_index=-1, **ids)
    assert broken.state == "success"
    acts.mark_run(airflow, state="success", **ids)
    assert state() == "success"
    acts.mark_run(airflow, state="failed", **ids)
    assert state() == "failed"
    acts.clear_task(airflow, ids=(DAG_ID, run_id, "each"), map_index=1, with_downstream=False)
    eventually(lambda: len(_tries(airflow, ids, "each", 1)) == 2, seconds=90)
    eventually(lambda: state() in ("success", "failed"), seconds=90)
    assert len(_tries(airflow, ids, "each", 0)) == 1, "its siblings stay"
    acts.clear_run(airflow, only_failed=False, **ids)
    eventually(lambda: len(_tries(airflow, ids, "talk", -1)) == 2, seconds=90)
    eventually(lambda: state() in ("success", "failed"), seconds=90)
    acts.pause_dag(airflow, dag_id=DAG_ID, is_paused=True)
    assert dags.read_dag(airflow, dag_id=DAG_ID).is_paused
    with pytest.raises(NotInAirflow):
        acts.trigger_dag(airflow, dag_id="absent", conf={}, note="")
    named = {"dag_id": DAG_ID, "conf": {}, "note": "", "run_id": "alert__msg_7"}
    assert acts.trigger_dag(airflow, **named) == "alert__msg_7"
    with pytest.raises(ActRefused, match="already exists"):
        acts.trigger_dag(airflow, **named)
    with pytest.raises((ActRefused, NotInAirflow)):
        acts.mark_run(airflow, dag_id=DAG_ID, run_id=run_id, state="nonsense")


def _tries(airflow: AirflowApi, ids: dict[str, Any], task_id: str, map_index: int) -> tuple:
    return tasks.read_tries(airflow, task_id=task_id, map_index=map_index, **ids)
