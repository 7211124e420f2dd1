"""The tasks of a DAG in its last runs, and those of one run as a graph."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.timezone import localtime
from django.views.decorators.http import require_safe

from apps.access.scoped import scoped
from apps.core.words import duration_in_words, moment_in_words
from apps.dags.airflow import dags
from apps.dags.airflow.api import airflow_of
from apps.dags.airflow.structure import Counts, RunOfGrid, Structure, read_structure
from apps.dags.drawing.grid import GridRow, grid_rows, state_in, summed
from apps.dags.drawing.layout import HEIGHT, WIDTH, Box, drawing_of
from apps.dags.drawing.order import groups_of, in_order, shown_as
from apps.dags.pages.dag import around
from apps.dags.pages.parts import (
    KINDS,
    airflow_page,
    counted_page,
    crumbs,
    dag_url,
    page_number,
    run_url,
    state_of,
    task_url,
)
from apps.dags.pages.queries import SEE
from apps.deployments.models import Deployment

PAGE_SIZE = 50
MOST_OPEN = 100
MOST_BOXES = 150
LONGEST_LABEL = 24
SIGNS = {"good": "✓", "bad": "×", "warn": "!", "move": "…", "idle": "–"}


@scoped(Deployment, SEE, by="ref")
@require_safe
def grid(request: HttpRequest, deployment: Deployment, dag_id: str) -> HttpResponse:
    def read() -> dict[str, Any]:
        airflow = airflow_of(deployment)
        dag = dags.read_dag(airflow, dag_id=dag_id)
        structure = read_structure(airflow, dag_id=dag_id)
        opened = _opened(request)
        rows = grid_rows(structure, opened=opened)
        page = counted_page(count=len(rows), per_page=PAGE_SIZE, number=page_number(request))
        shown = rows[(page.number - 1) * PAGE_SIZE :][:PAGE_SIZE]
        return {
            **around(request, deployment, dag, "grid"),
            "runs": [_run(deployment, dag_id, run) for run in reversed(structure.runs)],
            "rows": [_row(deployment, dag_id, structure, row, opened) for row in shown],
            "page": page,
            "is_cut": structure.is_cut,
            "is_all_open": not any(row.is_group and not row.is_open for row in rows),
            "all_url": f"?{_query(groups_of(structure.tasks))}",
            "has_groups": any(row.is_group for row in rows),
        }

    return airflow_page(request, deployment, "dags/dag/grid.html", read, title=dag_id)


@scoped(Deployment, SEE, by="ref")
@require_safe
def graph(request: HttpRequest, deployment: Deployment, dag_id: str, run_id: str) -> HttpResponse:
    def read() -> dict[str, Any]:
        structure = read_structure(airflow_of(deployment), dag_id=dag_id, run_id=run_id)
        opened = _opened(request)
        boxes, edges = _shown(structure, opened)
        drawing = drawing_of(edges)
        ids = (dag_id, run_id)
        return {
            "dag_id": dag_id,
            "run_id": run_id,
            **state_of(structure.runs[0].state),
            "drawing": drawing,
            "boxes": [
                _box(deployment, ids, structure, box, boxes, opened) for box in drawing.boxes
            ],
            "box_width": WIDTH,
            "box_height": HEIGHT,
            "left_out": len(boxes) - len(edges),
            "is_cut": structure.is_cut,
            "opened": [(name, f"?{_query(_closed(opened, name))}") for name in sorted(opened)],
            "crumbs": crumbs(
                deployment,
                (dag_id, dag_url(deployment, dag_id)),
                (run_id, run_url(deployment, dag_id, run_id)),
                ("Graph", reverse("dags:graph", args=[deployment.ref, dag_id, run_id])),
            ),
        }

    return airflow_page(request, deployment, "dags/run/graph.html", read, title=run_id)


def _opened(request: HttpRequest) -> frozenset[str]:
    return frozenset(one[:250] for one in request.GET.getlist("open")[:MOST_OPEN])


def _closed(opened: frozenset[str], name: str) -> set[str]:
    """Return the open groups without one of them, and without those in it."""
    return {one for one in opened if one != name and not one.startswith(f"{name}.")}


def _query(opened: set[str] | frozenset[str]) -> str:
    return urlencode({"open": sorted(opened)[:MOST_OPEN]}, doseq=True)


def _run(deployment: Deployment, dag_id: str, run: RunOfGrid) -> dict[str, str]:
    looks = _looks(run.state)
    due = moment_in_words(localtime(run.due_at)) if run.due_at else run.run_id
    told = [due, KINDS.get(run.kind, run.kind), looks["word"]]
    if run.seconds is not None:
        told.append(duration_in_words(run.seconds))
    return {"url": run_url(deployment, dag_id, run.run_id), "words": ", ".join(told), **looks}


def _looks(state: str) -> dict[str, str]:
    found = state_of(state)
    return {**found, "sign": SIGNS.get(found["tone"], "")}


def _row(
    deployment: Deployment,
    dag_id: str,
    structure: Structure,
    row: GridRow,
    opened: frozenset[str],
) -> dict[str, Any]:
    """Return a row, its cells in the order of time."""
    toggled = _closed(opened, row.name) if row.is_open else {*opened, row.name}
    pairs = zip(structure.runs, row.cells, strict=True)
    cells = [_cell(deployment, dag_id, run, row, counts) for run, counts in pairs]
    return {
        "row": row,
        "indent": "·" * row.depth,
        "toggle_url": f"?{_query(toggled)}" if row.is_group else "",
        "cells": cells[::-1],
    }


def _cell(
    deployment: Deployment, dag_id: str, run: RunOfGrid, row: GridRow, counts: Counts | None
) -> dict[str, str] | None:
    if counts is None:
        return None
    is_one = not row.is_group and sum(counts.values()) == 1
    url = (
        task_url(deployment, (dag_id, run.run_id, row.name))
        if is_one
        else _search_url(run_url(deployment, dag_id, run.run_id), row.name)
    )
    return {"url": url, "words": words_of(counts), **_looks(state_in(counts))}


def _search_url(url: str, name: str) -> str:
    return f"{url}?{urlencode({'q': name})}"


def words_of(counts: Counts) -> str:
    """Return states in words: one alone, several with how many there are of each. Pure."""
    if sum(counts.values()) == 1:
        return state_of(next(iter(counts)))["word"]
    told = [f"{count:,} {state_of(state)['word'].lower()}" for state, count in counts.items()]
    return ", ".join(told)


def _shown(
    structure: Structure, opened: frozenset[str]
) -> tuple[Mapping[str, Sequence[str]], dict[str, tuple[str, ...]]]:
    """Return the tasks of each box, and the lines between the first `MOST_BOXES` of them."""
    groups = groups_of(structure.tasks)
    stands = {one: shown_as(one, groups=groups, opened=opened) for one in structure.tasks}
    tasks: dict[str, list[str]] = {}
    lines: dict[str, set[str]] = {}
    for name, after in structure.tasks.items():
        tasks.setdefault(stands[name], []).append(name)
        lines.setdefault(stands[name], set()).update(stands[one] for one in after)
    edges = {name: tuple(sorted(after - {name})) for name, after in lines.items()}
    first = dict.fromkeys(in_order(edges)[:MOST_BOXES])
    return tasks, {name: tuple(one for one in edges[name] if one in first) for name in first}


def _box(
    deployment: Deployment,
    ids: tuple[str, str],
    structure: Structure,
    box: Box,
    tasks: Mapping[str, Sequence[str]],
    opened: frozenset[str],
) -> dict[str, Any]:
    is_group = list(tasks[box.name]) != [box.name]
    counts = summed(structure.cells.get((ids[1], one)) for one in tasks[box.name]) or {"": 1}
    if is_group:
        url = f"?{_query({*opened, box.name})}"
    elif sum(counts.values()) > 1:
        url = _search_url(run_url(deployment, *ids), box.name)
    else:
        url = task_url(deployment, (*ids, box.name))
    label = box.name if len(box.name) <= LONGEST_LABEL else f"{box.name[: LONGEST_LABEL - 1]}…"
    words = words_of(counts)
    return {
        "box": box,
        "label": label,
        "is_group": is_group,
        "url": url,
        "words": words,
        "short": words if len(words) <= LONGEST_LABEL else f"{sum(counts.values()):,} tasks",
        **state_of(state_in(counts)),
    }
