"""DAGs of every state for the pages in a browser, with names and lines that are hard on a page."""

import random
from typing import Any

from django.utils import timezone

from apps.dags.summaries import refresh_summaries
from apps.dataplane.fake.plane import FakePlane
from apps.deployments.models import Deployment
from tests.dags.conftest import open_secrets
from tests.dags.stand_in import AT, Airflow, a_run, a_task, row

LONG = "a_very_long_dag_name_that_was_typed_once_and_must_fit_on_the_smallest_screen_of_all"
DAG_ID, RUN_ID, TASK_ID = "daily_orders", "scheduled__2026-11-28T03:00:00+00:00", "load_orders"
CODE = (
    '''"""Orders, every night."""

from airflow.sdk import dag, task


@dag(schedule="30 14 * * *", catchup=False, tags=["orders", "snowflake", "sla"])
def daily_orders():
    @task(retries=2)
    def load_orders(day: str) -> int:
        return len(day)  # '''
    + "a comment that is much longer than a screen is wide " * 4
    + """

    load_orders("{{ ds }}")


daily_orders()
"""
)


def put_dags(deployment: Deployment) -> None:
    """Let the Airflow of a Deployment have DAGs, and read them once."""
    open_secrets(deployment)
    airflow = Airflow(
        rows=_rows(),
        runs=[_run(number) for number in range(60)],
        tasks=[_task(number) for number in range(120)],
        log=_log(),
        code=CODE,
        grid=_grid(),
        warnings=["Dag 'daily_orders' references non-existent pools: ['warehouse']"],
    )
    for dag_id in (DAG_ID, LONG):
        airflow.add(dag_id, has_import_errors=dag_id == LONG, description="Orders of all shops.")
        airflow.rows.pop()
    FakePlane.store.respond = airflow.respond
    deployment.refresh_from_db()
    refresh_summaries(deployment=deployment)


def _grid() -> dict[str, Any]:
    chance, states = random.Random(9), ("success", "failed", "running", "skipped", "up_for_retry")  # noqa: S311 - no secret
    names = [TASK_ID, f"stage.{LONG}", *(f"stage.part_{number}" for number in range(60))]
    tasks = [[TASK_ID, names[1:]], *([name, ["report"]] for name in names[1:]), ["report", []]]
    ids = [RUN_ID, *(f"run_{number}" for number in range(13))]
    runs = [[one, chance.choice(states[:3]), "scheduled", 1_795_000_000, 75] for one in ids]
    cells = [[one, name, chance.choice(states), 1] for one in ids for name in names]
    return {"tasks": tasks, "runs": runs, "cells": cells, "is_cut": True}


def _rows() -> list[list[Any]]:
    return [
        row(DAG_ID, runs=_runs("running"), tags=["orders", "snowflake", "sla"]),
        row(LONG, has_import_errors=True, runs=_runs("failed"), owners=["Data platform", LONG]),
        row("shipments_dedupe", runs=_runs("failed"), schedule="15 * * * *", in_words="Hourly"),
        row("partner_manifests", runs=_runs("success"), owners=["Integrations"]),
        row("legacy_stock_export", is_paused=True, runs=_runs("failed"), next_run=None),
        row("carbon_report", runs=[], schedule=None, in_words="Never, external triggers only"),
        *(row(f"mart_{number:03}", runs=_runs("success")) for number in range(60)),
    ]


def _runs(last: str) -> list[list[Any]]:
    dice = random.Random(last)  # noqa: S311 - heights of bars
    now = int(timezone.now().timestamp())
    states = ["success"] * 5 + ["failed"]
    runs = [[dice.choice(states), now - 3_600 * n, dice.randint(20, 900)] for n in range(14)]
    return [[last, now - 900, None if last == "running" else 240], *runs[1:]]


def _run(number: int) -> dict[str, Any]:
    states = ("running", "success", "failed", "queued")
    state = states[number % 4]
    seconds = None if state in ("running", "queued") else 1_440.0 + number
    run_id = RUN_ID if not number else f"manual__2026-11-{number % 28 + 1:02}T03:00:00+00:00"
    note = "Rebuilt after the outage of the warehouse, see the ticket" if number % 3 == 0 else None
    conf = {"day": "2026-11-28", "shops": ["oslo", "bergen"], "note": LONG * 3}
    facts = {"state": state, "duration": seconds, "note": note, "conf": conf}
    return a_run(dag_run_id=run_id, run_type="scheduled", **facts)


def _task(number: int) -> dict[str, Any]:
    states = ("running", "success", "failed", "up_for_retry", "skipped", "queued", None)
    task_id = TASK_ID if not number else f"{LONG[:60]}.{number}" if number == 1 else "each_shop"
    return a_task(
        task_id=task_id,
        map_index=-1 if number < 2 else number,
        state="failed" if not number else states[number % 7],
        try_number=2,
        max_tries=2,
        queued_when=AT,
        hostname="worker-heavy-7d9c8b6f5-x2vlk",
    )


def _log() -> list[Any]:
    def said(text: str, level: str = "info", **more: Any) -> dict[str, Any]:
        return {"timestamp": AT, "event": text, "level": level, **more}

    frames = [{"filename": "/opt/airflow/dags/orders.py", "lineno": 14, "name": "load_orders"}]
    detail = [{"exc_type": "KeyError", "exc_value": "'day'", "frames": frames}]
    return [
        {"event": "::group::Log message source details"},
        {"event": "/opt/airflow/logs/dag_id=daily_orders/attempt=1.log"},
        {"event": "::endgroup::"},
        said("DAG bundles loaded: portal"),
        said("::group::Rendering"),
        said("SELECT * FROM orders WHERE day = '2026-11-28'"),
        said("::endgroup::"),
        *(
            said(f"Loaded {number * 500:,} of 40,000 rows", rows=number * 500)
            for number in range(40)
        ),
        said("\x1b[32mAll shops answered\x1b[0m, \x1b[1mbold\x1b[0m and \x1b[33mslow\x1b[0m"),
        said("The warehouse answered after 14 s", "warning"),
        said("x" * 9_000),
        said("Task failed with exception", "error", error_detail=detail),
    ]
