"""An Airflow in memory, as far as the portal asks its REST API about DAGs."""

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from apps.dataplane.status import AirflowResponse
from tests.dags.log_parts import part_of

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


def a_grid(**facts: Any) -> dict[str, Any]:
    """Return what `portal_grid.py` tells of a DAG with a group and a mapped task."""
    second = 1_795_000_000
    return {
        "tasks": [
            ["extract", ["clean.dates", "clean.names"]],
            ["clean.dates", ["load"]],
            ["clean.names", ["load"]],
            ["load", ["report"]],
            ["report", []],
        ],
        "runs": [
            [RUN_ID, "failed", "manual", second, 90],
            ["scheduled__2026-11-27", "success", "scheduled", second - 86_400, 60],
        ],
        "cells": [
            [RUN_ID, "extract", "success", 1],
            [RUN_ID, "clean.dates", "success", 1],
            [RUN_ID, "clean.names", "failed", 1],
            [RUN_ID, "load", "upstream_failed", 3],
            [RUN_ID, "load", "success", 7],
            ["scheduled__2026-11-27", "extract", "success", 1],
            ["scheduled__2026-11-27", "removed_since", "success", 1],
        ],
        "is_cut": False,
        **facts,
    }


@dataclass
class Airflow:
    """`rows` are what `/auth/portal/dags` answers, `log` the messages of any try, which goes on
    unless `is_over`; `answers` are given by path whatever is asked, None is a 404; `said` lists
    every request as (method, path, body).
    """

    dags: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: list[Any] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=lambda: [a_run()])
    tasks: list[dict[str, Any]] = field(default_factory=lambda: [a_task()])
    log: list[Any] = field(default_factory=list)
    is_over: bool = True
    code: str = "from airflow.sdk import DAG\n"
    warnings: list[str] = field(default_factory=list)
    refuses: str = ""
    answer: AirflowResponse | None = None
    grid: dict[str, Any] = field(default_factory=lambda: a_grid())
    answers: dict[str, Any] = field(default_factory=dict)
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
        if urlsplit(path).path in self.answers:
            data = self.answers[urlsplit(path).path]
            return AirflowResponse(status=404 if data is None else 200, data=data)
        if path.startswith("/auth/portal/grid?"):
            return _good(self._grid(dict(parse_qsl(urlsplit(path).query)).get("run_id", "")))
        if path.startswith("/auth/portal/log?"):
            return _good(self._part(dict(parse_qsl(urlsplit(path).query))))
        return self._get(urlsplit(path).path)

    def _grid(self, run_id: str) -> dict[str, Any]:
        runs = self.grid.get("runs")
        if not run_id or not isinstance(runs, list):
            return self.grid
        return self.grid | {"runs": [one for one in runs if one and one[0] == run_id]}

    def _part(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """Answer as the plugin does, by what it uses itself."""
        places = {name: int(asked[name]) if name in asked else None for name in ("begin", "end")}
        written = b"".join(json.dumps(one).encode() + b"\n" for one in self.log)
        found = part_of(
            io.BytesIO(written),
            is_over=self.is_over,
            limits=(int(asked["lines"]), int(asked["most"])),
            contains=asked.get("contains", ""),
            level=asked.get("level", ""),
            **places,
        )
        return {**found, "is_over": self.is_over}

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
            (f"{TASK}/logs/[0-9]+", {"content": self.log, "continuation_token": None}),
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
        "catches_up": False,
        **facts,
    }
    return list(found.values())


def _good(data: dict[str, Any]) -> AirflowResponse:
    return AirflowResponse(status=200, data=data)
