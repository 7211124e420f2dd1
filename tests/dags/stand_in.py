"""An Airflow in memory, as far as the portal asks its REST API about DAGs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from apps.dataplane.status import AirflowResponse

RUN_ID = "manual__2026-11-28T07:19:45+00:00"
AT = "2026-11-28T07:19:45+00:00"
DAG = re.compile(r"/api/v2/dags/([^/]+)")
RUNS = "/api/v2/dags/[^/]+/dagRuns"
RUN = f"{RUNS}/[^/]+"
TASK = f"{RUN}/taskInstances/[^/]+"


def a_run(**facts: Any) -> dict[str, Any]:
    return {
        "dag_run_id": RUN_ID,
        "state": "success",
        "run_type": "manual",
        "run_after": AT,
        "start_date": AT,
        "end_date": AT,
        "duration": 12.5,
        "note": None,
        "conf": {},
        "triggering_user_name": "astro-portal",
        **facts,
    }


def a_task(**facts: Any) -> dict[str, Any]:
    return {
        "task_id": "load",
        "map_index": -1,
        "state": "success",
        "try_number": 1,
        "max_tries": 0,
        "start_date": AT,
        "end_date": AT,
        "duration": 3.0,
        "operator_name": "@task",
        "queue": "default",
        "pool": "default_pool",
        "hostname": "worker-0",
        **facts,
    }


@dataclass
class Airflow:
    """`rows` are what `/auth/portal/dags` answers; `said` lists every request as (method, path,
    body).
    """

    dags: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: list[Any] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=lambda: [a_run()])
    tasks: list[dict[str, Any]] = field(default_factory=lambda: [a_task()])
    log: list[Any] = field(default_factory=list)
    token: str | None = None
    code: str = "from airflow.sdk import DAG\n"
    warnings: list[str] = field(default_factory=list)
    refuses: str = ""
    answer: AirflowResponse | None = None
    said: list[tuple[str, str, Any]] = field(default_factory=list)

    def add(self, dag_id: str, **facts: Any) -> None:
        self.dags[dag_id] = {
            "dag_id": dag_id,
            "dag_display_name": dag_id,
            "is_paused": False,
            "has_import_errors": False,
            "timetable_summary": "0 0 * * *",
            "timetable_description": "At 00:00",
            "next_dagrun_run_after": AT,
            "owners": ["Data platform"],
            "tags": [{"name": "orders"}],
            "relative_fileloc": "orders.py",
            "last_parsed_time": AT,
            **facts,
        }
        self.rows.append(row(dag_id))

    def respond(self, method: str, path: str, json: Mapping[str, object] | None) -> AirflowResponse:
        self.said.append((method, path, json))
        if self.answer is not None:
            return self.answer
        if method != "GET":
            return self._act(method, urlsplit(path).path)
        return self._get(urlsplit(path).path)

    def _act(self, method: str, path: str) -> AirflowResponse:
        if self.refuses:
            return AirflowResponse(status=400, data={"detail": self.refuses})
        known = DAG.match(path)
        if known is None or unquote(known[1]) not in self.dags:
            return AirflowResponse(status=404, data={"detail": "not found"})
        return AirflowResponse(status=200, data={"dag_run_id": RUN_ID})

    def _get(self, path: str) -> AirflowResponse:
        known = DAG.fullmatch(path)
        if known and unquote(known[1]) in self.dags:
            return _good(self.dags[unquote(known[1])])
        for pattern, data in self._answers():
            if re.fullmatch(pattern, path):
                return _good(data)
        return AirflowResponse(status=404, data={"detail": "not found"})

    def _answers(self) -> list[tuple[str, dict[str, Any]]]:
        return [
            (
                "/auth/portal/dags",
                {"digest": "d1", "dags": self.rows, "count": len(self.rows)},
            ),
            (
                "/api/v2/dagWarnings",
                {"dag_warnings": [{"message": one} for one in self.warnings]},
            ),
            ("/api/v2/importErrors", {"import_errors": [], "total_entries": 0}),
            ("/api/v2/dagSources/[^/]+", {"content": self.code, "version_number": 3}),
            (f"{TASK}/logs/[0-9]+", {"content": self.log, "continuation_token": self.token}),
            (f"{TASK}(/[0-9]+)?/tries", {"task_instances": self.tasks[:1]}),
            (f"{TASK}(/[0-9]+)?", self.tasks[0]),
            (
                f"{RUN}/taskInstances",
                {"task_instances": self.tasks[:50], "total_entries": len(self.tasks)},
            ),
            (RUN, self.runs[0]),
            (RUNS, {"dag_runs": self.runs[:25], "total_entries": len(self.runs)}),
        ]


def row(dag_id: str, **facts: Any) -> list[Any]:
    """Return a DAG as `runtime/plugins/portal_dags.py` writes it."""
    found = {
        "dag_id": dag_id,
        "name": dag_id,
        "description": None,
        "is_paused": False,
        "has_import_errors": False,
        "schedule": "0 0 * * *",
        "in_words": "At 00:00",
        "next_run": AT,
        "owners": ["Data platform"],
        "tags": ["orders"],
        "runs": [["success", 1_795_000_000, 12], ["failed", 1_794_900_000, 30]],
        **facts,
    }
    return list(found.values())


def _good(data: dict[str, Any]) -> AirflowResponse:
    return AirflowResponse(status=200, data=data)
