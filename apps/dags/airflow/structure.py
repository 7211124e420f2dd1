"""The tasks of a DAG, what depends on what, and their states in some runs, as the portal's plugin
in that Airflow tells them (`runtime/plugins/portal_grid.py`).
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from apps.dags.airflow.api import (
    UNKNOWN,
    UNREADABLE,
    AirflowApi,
    AirflowSilent,
    NotInAirflow,
    check_id,
    check_run_id,
    is_id,
    is_run_id,
)
from apps.dataplane.untrusted import moment_at, number_of, seconds_of, text_of

PATH = "/auth/portal/grid"
RUNS = 14
MOST_TASKS, MOST_EDGES, MOST_CELLS = 2_000, 20_000, 60_000
# How many task instances of one task, or of a group, are in which state.
Counts = Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class RunOfGrid:
    """A run; `seconds` is None while it goes on."""

    run_id: str
    state: str
    kind: str
    due_at: datetime | None
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Structure:
    """`tasks` are the tasks that wait for each one; runs are the latest first; `cells` are counts
    by run and task. A task that the code no longer has is among the tasks if a run has it.
    `is_cut`: there is more than Airflow told.
    """

    tasks: Mapping[str, tuple[str, ...]]
    runs: tuple[RunOfGrid, ...]
    cells: Mapping[tuple[str, str], Counts]
    is_cut: bool


def read_structure(airflow: AirflowApi, *, dag_id: str, run_id: str = "") -> Structure:
    """Return the tasks of a DAG and their states in its last runs, or in one run. Raises
    AirflowSilent and NotInAirflow.
    """
    asked = {"run_id": check_run_id(run_id)} if run_id else {"runs": RUNS}
    said = airflow.report(PATH, dag_id=check_id(dag_id), **asked)
    if not all(isinstance(said.get(name), list) for name in ("tasks", "runs", "cells")):
        raise AirflowSilent(UNREADABLE)
    runs = tuple(run for row in said["runs"][:RUNS] if (run := _run(row)) is not None)
    if run_id and [run.run_id for run in runs] != [run_id]:
        raise NotInAirflow(UNKNOWN)
    cells = _cells(said["cells"], {run.run_id for run in runs})
    return Structure(
        tasks=_tasks(said["tasks"], {task_id for _, task_id in cells}),
        runs=runs,
        cells=cells,
        is_cut=said.get("is_cut") is True,
    )


def _run(row: object) -> RunOfGrid | None:
    if not isinstance(row, list) or len(row) != 5 or not isinstance(row[0], str):
        return None
    if not is_run_id(row[0]):
        return None
    return RunOfGrid(
        run_id=row[0],
        state=text_of(row[1], 20),
        kind=text_of(row[2], 40),
        due_at=moment_at(row[3]),
        seconds=seconds_of(row[4]),
    )


def _cells(rows: list[object], runs: set[str]) -> dict[tuple[str, str], Counts]:
    found: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for row in rows[:MOST_CELLS]:
        if not isinstance(row, list) or len(row) != 4:
            continue
        run_id, task_id, count = row[0], row[1], number_of(row[3])
        is_named = isinstance(run_id, str) and isinstance(task_id, str)
        if is_named and run_id in runs and is_id(task_id) and count and count > 0:
            state = text_of(row[2], 20)
            known = found[(run_id, task_id)]
            known[state] = known.get(state, 0) + count
    return dict(found)


def _tasks(rows: list[object], ran: set[str]) -> dict[str, tuple[str, ...]]:
    """Return the tasks and what follows each, without edges to tasks that there are not."""
    told: dict[str, list[object]] = {}
    for row in rows[:MOST_TASKS]:
        name, after = row if isinstance(row, list) and len(row) == 2 else (None, None)
        if isinstance(name, str) and isinstance(after, list) and is_id(name):
            told[name] = after
    for gone in sorted(ran - told.keys())[: MOST_TASKS - len(told)]:
        told[gone] = []
    found, room = {}, MOST_EDGES
    for task_id, after in told.items():
        names = sorted({one for one in after if isinstance(one, str) and one in told} - {task_id})
        found[task_id] = tuple(names[:room])
        room -= len(found[task_id])
    return found
