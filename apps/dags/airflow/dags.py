"""One DAG and its runs, by Airflow's public REST API (`/api/v2`)."""

import json as jsonlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.dags.airflow.api import DAGS, AirflowApi, AirflowSilent, check_id, check_run_id, is_run_id
from apps.dataplane.untrusted import (
    UNSAFE,
    block_of,
    masked,
    moment_of,
    number_of,
    rows_of,
    seconds_of,
    storable,
    text_of,
    texts_of,
)

PAGE_SIZE = 25
MOST_ROWS = 100_000_000
RUN_STATES = ("queued", "running", "success", "failed")
LONGEST_CODE = 1_000_000
LONGEST_CONF = 20_000
MOST_WARNINGS = 10


@dataclass(frozen=True, kw_only=True)
class Dag:
    """A DAG. `file` is its path inside the deployed code."""

    dag_id: str
    name: str
    description: str
    is_paused: bool
    is_stale: bool
    has_import_errors: bool
    schedule: str
    schedule_in_words: str
    next_run_at: datetime | None
    owners: tuple[str, ...]
    tags: tuple[str, ...]
    file: str
    parsed_at: datetime | None
    max_active_runs: int | None


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run. `seconds` is None until it ends; `conf` is what it was triggered with, as JSON."""

    run_id: str
    state: str
    kind: str
    due_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    seconds: float | None
    by: str
    note: str
    conf: str

    @property
    def is_over(self) -> bool:
        return self.state in ("success", "failed")


@dataclass(frozen=True, kw_only=True)
class Runs:
    """A page of runs, the latest first, and how many there are in all."""

    runs: tuple[Run, ...]
    count: int


@dataclass(frozen=True, kw_only=True)
class Code:
    """The source of a DAG's file as Airflow parsed it. `is_cut`: it is longer."""

    lines: tuple[str, ...]
    version: int | None
    is_cut: bool


def read_dag(airflow: AirflowApi, *, dag_id: str) -> Dag:
    """Return a DAG. Raises AirflowSilent and NotInAirflow."""
    said = airflow.get(DAGS, check_id(dag_id))
    tags = [one.get("name") for one in rows_of(said.get("tags"), 100)]
    schedule = text_of(said.get("timetable_summary"))
    return Dag(
        dag_id=dag_id,
        name=text_of(said.get("dag_display_name"), 250) or dag_id,
        description=text_of(said.get("description"), 500),
        is_paused=said.get("is_paused") is True,
        is_stale=said.get("is_stale") is True,
        has_import_errors=said.get("has_import_errors") is True,
        schedule="" if schedule == "None" else schedule,
        schedule_in_words=text_of(said.get("timetable_description")),
        next_run_at=moment_of(said.get("next_dagrun_run_after")),
        owners=tuple(texts_of(said.get("owners"), most=20, longest=100)),
        tags=tuple(texts_of(tags, most=20, longest=100)),
        file=text_of(said.get("relative_fileloc") or said.get("fileloc"), 300),
        parsed_at=moment_of(said.get("last_parsed_time")),
        max_active_runs=number_of(said.get("max_active_runs")),
    )


def read_warnings(airflow: AirflowApi, *, dag_id: str) -> tuple[str, ...]:
    """Return what Airflow warns of about a DAG, such as a pool that does not exist. Raises
    AirflowSilent.
    """
    said = airflow.get("/api/v2/dagWarnings", dag_id=check_id(dag_id), limit=MOST_WARNINGS)
    found = [text_of(one.get("message"), 500) for one in rows_of(said.get("dag_warnings"), 100)]
    return tuple(one for one in found if one)[:MOST_WARNINGS]


def read_runs(airflow: AirflowApi, *, dag_id: str, state: str, page: int) -> Runs:
    """Return a page of runs; `state` is one of `RUN_STATES` or "" for all. Raises AirflowSilent and
    NotInAirflow.
    """
    said = airflow.get(
        DAGS,
        check_id(dag_id),
        "dagRuns",
        limit=PAGE_SIZE,
        offset=(page - 1) * PAGE_SIZE,
        order_by="-run_after",
        state=state,
    )
    if not isinstance(said.get("dag_runs"), list):
        raise AirflowSilent("Airflow answered with something that cannot be read. Try again.")
    rows = [
        (row, text_of(row.get("dag_run_id"), 250)) for row in rows_of(said["dag_runs"], PAGE_SIZE)
    ]
    runs = tuple(_run(row, run_id) for row, run_id in rows if is_run_id(run_id))
    return Runs(runs=runs, count=max(number_of(said.get("total_entries")) or 0, len(runs)))


def read_run(airflow: AirflowApi, *, dag_id: str, run_id: str) -> Run:
    """Return a run. Raises AirflowSilent and NotInAirflow."""
    return _run(airflow.get(DAGS, check_id(dag_id), "dagRuns", check_run_id(run_id)), run_id)


def read_code(airflow: AirflowApi, *, dag_id: str) -> Code:
    """Return the source of a DAG's file. Raises AirflowSilent and NotInAirflow."""
    said = airflow.get("/api/v2/dagSources", check_id(dag_id))
    content = said.get("content")
    text = storable(content if isinstance(content, str) else "")
    clean = UNSAFE.sub("\ufffd", masked(text[:LONGEST_CODE], airflow.secrets).replace("\r\n", "\n"))
    return Code(
        lines=tuple(clean.splitlines()),
        version=number_of(said.get("version_number")),
        is_cut=len(text) > LONGEST_CODE,
    )


def _run(row: dict[str, Any], run_id: str) -> Run:
    return Run(
        run_id=run_id,
        state=text_of(row.get("state"), 20),
        kind=text_of(row.get("run_type"), 40),
        due_at=moment_of(row.get("run_after")),
        started_at=moment_of(row.get("start_date")),
        ended_at=moment_of(row.get("end_date")),
        seconds=seconds_of(row.get("duration")),
        by=text_of(row.get("triggering_user_name"), 100),
        note=block_of(row.get("note"), 1_000),
        conf=_conf(row.get("conf")),
    )


def _conf(value: object) -> str:
    if not isinstance(value, dict) or not value:
        return ""
    return block_of(jsonlib.dumps(value, indent=2, ensure_ascii=False), LONGEST_CONF)
