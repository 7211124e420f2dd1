"""A walk through the DAGs of a real Airflow, by the functions that the pages use."""

import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from apps.dags.airflow import acts, dags, log_lines, task_logs, tasks
from apps.dags.airflow.api import ActRefused, AirflowApi, AlreadyThere, NotInAirflow
from apps.dags.airflow.structure import read_structure
from apps.dataplane.local.layout import Folder
from tests.dataplane.local_world import LocalWorld
from tests.dataplane.specs import make_code
from tests.dataplane.world import eventually

DAG_ID = "observed"
CODE = '''
"""A DAG that prints what logs are afraid of."""

import sys
from datetime import datetime, timezone

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


@dag(
    dag_id="makes_up",
    schedule="0 4 * * *",
    start_date=datetime(2026, 11, 1, tzinfo=timezone.utc),
    catchup=True,
    is_paused_upon_creation=True,
)
def makes_up():
    @task
    def nothing():
        pass

    nothing()


observed()
makes_up()
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
    _check_structure(airflow, run_id)
    _check_log(airflow, (DAG_ID, run_id, "talk"))
    _check_large_log(world, airflow, (DAG_ID, run_id, "each"))
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


def _check_structure(airflow: AirflowApi, run_id: str) -> None:
    one = read_structure(airflow, dag_id=DAG_ID, run_id=run_id)
    assert {task: set(after) for task, after in one.tasks.items()} == {
        "talk": {"break_down", "each"},
        "break_down": set(),
        "each": set(),
    }
    [run] = one.runs
    assert (run.state, run.kind, run.seconds is None) == ("failed", "manual", False)
    assert one.cells == {
        (run_id, "talk"): {"success": 1},
        (run_id, "break_down"): {"failed": 1},
        (run_id, "each"): {"success": 3},
    }
    several = read_structure(airflow, dag_id=DAG_ID)
    assert run_id in {run.run_id for run in several.runs}
    assert one.tasks == several.tasks
    with pytest.raises(NotInAirflow):
        read_structure(airflow, dag_id=DAG_ID, run_id="absent")


def _tried(*ids: str, map_index: int = -1, number: int = 1) -> task_logs.Try:
    return task_logs.Try(ids=(ids[0], ids[1], ids[2]), map_index=map_index, number=number)


def _lines(parts: tuple[Any, ...]) -> list[log_lines.Line]:
    """Return all lines. What a task prints and what Airflow says reach the log by two ways: on a
    busy machine printed lines come after the title of Airflow's last group, and so are in it.
    """
    groups = [one.lines if isinstance(one, log_lines.Group) else (one,) for one in parts]
    return [line for lines in groups for line in lines]


def _texts(parts: tuple[Any, ...]) -> list[str]:
    return ["".join(span.text for span in line.spans) for line in _lines(parts)]


def _has_ended(airflow: AirflowApi, tried: task_logs.Try) -> bool:
    end = task_logs.read_log(airflow, tried=tried, contains="the end")
    return any(text.startswith("the end") for text in _texts(end.parts))


def _check_log(airflow: AirflowApi, ids: tuple[str, str, str]) -> None:
    tried = _tried(*ids)
    # A task has ended a moment before all that it printed is written.
    eventually(lambda: _has_ended(airflow, tried))
    last = task_logs.read_log(airflow, tried=tried)
    assert (last.is_over, last.is_last) == (True, True)
    assert last.begin == 0, "a long line takes not the place of others"
    parts = last.parts
    [long] = [text for text in _texts(parts) if text.startswith("xxxx")]
    assert "more characters" in long
    groups = [one for one in parts if isinstance(one, log_lines.Group)]
    assert "Details" in {group.title for group in groups}
    [red] = [one for one in _lines(parts) if one.spans and one.spans[0].text == "red"]
    assert red.spans[0] == log_lines.Span("red", "bad")
    texts = _texts(parts)
    assert any(text.startswith("the end") for text in texts)
    assert "\x00" not in "".join(texts)
    whole = "".join(task_logs.log_as_text(airflow, tried=tried))
    assert "x" * 3_000_000 in whole
    kept = task_logs.read_log(airflow, tried=tried, contains="THE END")
    assert len(kept.parts) == 1
    broken = task_logs.read_log(airflow, tried=_tried(*ids[:2], "break_down"), level="error")
    said = "\n".join(_texts(broken.parts))
    assert "in break_down" in said
    assert "KeyError: '••••••'" in said, "a secret value is masked"
    with pytest.raises(NotInAirflow):
        task_logs.read_log(airflow, tried=_tried(*ids, number=7))


def _check_large_log(world: LocalWorld, airflow: AirflowApi, ids: tuple[str, str, str]) -> None:
    """Put 100 MB where the log of a task is, whose worker is gone, and read it in parts."""
    assert world.spec
    logs = Folder(world.home, world.spec.ref).task_logs / f"dag_id={ids[0]}" / f"run_id={ids[1]}"
    path = logs / "task_id=each" / "map_index=0" / "attempt=1.log"
    assert path.exists(), sorted(logs.rglob("*"))
    with path.open("wb") as file:
        _write_large(file)
    tried = _tried(*ids, map_index=0)
    began = time.monotonic()
    last = task_logs.read_log(airflow, tried=tried)
    assert time.monotonic() - began < 2, "the size of a log does not matter"
    assert last.size > 100_000_000
    assert _texts(last.parts)[-1].startswith("line 199999 y")
    first = task_logs.read_log(airflow, tried=tried, begin=0)
    assert _texts(first.parts)[0].startswith("line 0 y")
    found = task_logs.read_log(airflow, tried=tried, contains="NEEDLE")
    assert _texts(found.parts) == ["a needle é"]
    wrong = task_logs.read_log(airflow, tried=tried, level="error")
    assert _texts(wrong.parts) == ["one error"]
    tracemalloc.start()
    pieces = [len(piece) for piece in task_logs.log_as_text(airflow, tried=tried)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(pieces) > 90_000_000
    assert peak < 60_000_000, f"{peak:,} bytes of memory for a download"
    # What a trigger logged is a file of its own, and Airflow itself joins the two.
    other = path.parent.parent / "map_index=1" / "attempt=1.log"
    other.with_name("attempt=1.log.trigger.5.log").write_text('{"event": "of the trigger"}\n')
    joined = task_logs.read_log(airflow, tried=_tried(*ids, map_index=1))
    assert "of the trigger" in _texts(joined.parts)
    assert any(isinstance(one, log_lines.Group) for one in joined.parts)
    assert len(joined.parts) > 2


def _write_large(file: Any) -> None:
    at = '{"timestamp":"2026-11-28T07:19:45.123456Z","level":"info","logger":"task","event":'
    pad = "y" * 400
    for number in range(200_000):
        file.write(f'{at}"line {number} {pad}"}}\n'.encode())
        if number == 100_000:
            file.write(f'{at}"a needle é"}}\nraw \0'.encode() + b"\xff bytes\n")
            wrong = {"level": "error", "event": "one error"}
            file.write(json.dumps(wrong).encode() + b"\n" + b"z" * 3_000_000 + b"\n")


def _check_summary(world: LocalWorld) -> None:
    said = world.airflow("GET", "/auth/portal/dags")
    [row] = [one for one in said["dags"] if one[0] == DAG_ID]
    assert row[2:7] == ["Says", False, False, "0 3 * * *", "At 03:00"], row
    assert row[9] == ["a", "b"]
    assert row[10][0][0] == "failed"
    assert all(isinstance(number, int) for number in row[10][0][1:])
    assert {one[0]: one[11] for one in said["dags"]} == {DAG_ID: False, "makes_up": True}
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
    with pytest.raises(AlreadyThere):
        acts.trigger_dag(airflow, **named)
    with pytest.raises((ActRefused, NotInAirflow)):
        acts.mark_run(airflow, dag_id=DAG_ID, run_id=run_id, state="nonsense")


def _tries(airflow: AirflowApi, ids: dict[str, Any], task_id: str, map_index: int) -> tuple:
    return tasks.read_tries(airflow, task_id=task_id, map_index=map_index, **ids)
