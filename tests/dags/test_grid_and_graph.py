import random
import re
from collections.abc import Callable
from time import process_time
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.dags.drawing.grid import state_in
from apps.dags.drawing.layout import HEIGHT, WIDTH, drawing_of
from apps.dags.drawing.order import in_order, shown_as
from tests.core.pages import check_page
from tests.dags.stand_in import RUN_ID, Airflow, a_grid

ClientOf = Callable[[User], Client]
GRID = "/d/etl-prod-7f3c/dags/orders_daily/grid/"
GRAPH = f"/d/etl-prod-7f3c/dags/orders_daily/runs/{quote(RUN_ID)}/graph/"
SECOND = 1_795_000_000


def get(client: Client, url: str, **asked: Any) -> Any:
    response = client.get(url, asked)
    assert response.status_code == 200
    check_page(response.content.decode())
    return response


def some_edges(chance: random.Random, *, circles: bool = False) -> dict[str, tuple[str, ...]]:
    names = [f"t{number}" for number in range(chance.randrange(1, 25))]
    pairs = [(one, other) for at, one in enumerate(names) for other in names[at + 1 :]]
    found: dict[str, set[str]] = {name: set() for name in names}
    for one, other in chance.sample(pairs, min(len(pairs), 40)):
        found[one].add(other)
        if circles and chance.random() < 0.2:
            found[other].add(one)
    return {name: tuple(sorted(after)) for name, after in found.items()}


def test_the_grid_has_tasks_in_their_order_by_runs_and_groups_closed(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    response = get(client_of(alice), GRID)

    rows = response.context["rows"]
    assert [one["row"].label for one in rows] == [
        "extract",
        "clean",
        "load",
        "removed_since",
        "report",
    ]
    words = {one["row"].label: [cell and cell["words"] for cell in one["cells"]] for one in rows}
    assert words["extract"] == ["Succeeded", "Succeeded"]
    assert words["clean"] == [None, "1 succeeded, 1 failed"]
    assert words["load"] == [None, "3 upstream failed, 7 succeeded"]
    assert words["removed_since"] == ["Succeeded", None]
    assert words["report"] == [None, None]
    page = response.content.decode()
    assert f"runs/{quote(RUN_ID, safe=':+')}/tasks/extract/" in page
    assert "?q=load" in page


def test_a_group_opens_by_its_address_and_closes_with_those_in_it(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    airflow.grid = a_grid(
        tasks=[["a.b.one", []], ["a.b.two", []], ["a.three", ["four"]], ["four", []]]
    )
    client = client_of(alice)

    def labels(**asked: Any) -> list[str]:
        rows = get(client, GRID, **asked).context["rows"]
        return [f"{one['indent']}{one['row'].label}" for one in rows]

    gone = ["clean", "extract", "load", "removed_since"]
    assert labels() == ["a", *gone[:2], "four", *gone[2:]]
    assert labels(open=["a"])[:3] == ["a", "·b", "·three"]
    assert labels(open=["a", "a.b"])[:5] == ["a", "·b", "··one", "··two", "·three"]
    assert labels(open=["a.b"]) == labels()
    rows = get(client, GRID, open=["a", "a.b"]).context["rows"]
    assert (rows[0]["toggle_url"], rows[1]["toggle_url"]) == ("?", "?open=a")


def test_ten_thousand_task_instances_are_a_row_and_a_thousand_tasks_are_paged(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    runs = [[f"run_{number}", "success", "scheduled", SECOND, 1] for number in range(14)]
    tasks = [[f"task_{number:04}", [f"task_{number + 1:04}"]] for number in range(1_000)]
    cells = [[run[0], task[0], "success", 10_000] for run in runs for task in tasks]
    airflow.grid = a_grid(tasks=tasks, runs=runs, cells=cells)
    client = client_of(alice)

    began = process_time()
    response = client.get(GRID, {"page": "2"})
    seconds = process_time() - began

    assert response.context["rows"][0]["row"].name == "task_0050"
    assert len(response.context["rows"]) == 50
    assert "10,000 succeeded" in response.content.decode()
    assert len(response.content) < 500_000
    assert seconds < 2
    airflow.grid |= {"runs": [[RUN_ID, "success", "scheduled", SECOND, 1]]}
    graph = client.get(GRAPH)
    assert "The first 150 in their order are drawn." in graph.content.decode()


def test_the_graph_draws_tasks_with_states_and_opens_groups(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    airflow.grid["runs"] = airflow.grid["runs"][:1]
    client = client_of(alice)

    closed, opened = get(client, GRAPH), get(client, GRAPH, open="clean")

    boxes = {one["box"].name: one for one in closed.context["boxes"]}
    assert boxes.keys() == {"extract", "clean", "load", "report"}
    assert (boxes["clean"]["tone"], boxes["clean"]["url"]) == ("bad", "?open=clean")
    assert boxes["report"]["words"] == "Not started"
    assert boxes["load"]["url"].endswith("?q=load")
    places = [boxes[name]["box"].x for name in ("extract", "clean", "load", "report")]
    assert places == sorted(set(places))
    assert closed.content.count(b"<path") == 3
    names = {one["box"].name for one in opened.context["boxes"]}
    assert {"clean.dates", "clean.names"} < names
    assert "Close clean" in opened.content.decode()


@pytest.mark.parametrize(
    "lie",
    [
        {"tasks": None},
        {"runs": {}, "cells": "x"},
        {"tasks": [None, ["x"], ["../x", []], [7, []], ["ok", [7, "absent", "ok"]], ["y", "z"]]},
        {"runs": [None, ["a/b", 1, 2, 3, 4], [RUN_ID, None, [], "x", -1]]},
        {"cells": [[RUN_ID, "extract", None, 10**12], [RUN_ID, "<b>", "success", 1], [[], {}, 1]]},
        {"tasks": [["a", ["b"]], ["b", ["a"]]]},
    ],
)
def test_an_airflow_that_lies_never_breaks_the_drawings(
    lie: dict[str, Any], alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    airflow.grid = a_grid() | lie
    client = client_of(alice)

    for url in (GRID, GRAPH):
        response = client.get(url)
        assert response.status_code in (200, 404)
        check_page(response.content.decode())


def test_a_run_that_airflow_does_not_know_is_not_found_and_an_old_plugin_says_so(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    client = client_of(alice)
    airflow.grid["runs"] = []

    assert client.get(GRAPH).status_code == 404
    assert "No runs yet" in get(client, GRID).content.decode()
    airflow.answers["/auth/portal/grid"] = None
    assert "started by an older version of the portal" in get(client, GRID).content.decode()


def test_each_name_comes_once_and_after_what_it_waits_for() -> None:
    chance = random.Random(5)  # noqa: S311 - the same graphs in every run
    for _ in range(60):
        edges = some_edges(chance)
        order = in_order(edges)
        assert sorted(order) == sorted(edges)
        assert all(order.index(one) < order.index(to) for one in edges for to in edges[one])
        circles = some_edges(chance, circles=True)
        assert sorted(in_order(circles)) == sorted(circles)


def test_boxes_do_not_overlap_and_lines_go_from_left_to_right() -> None:
    chance = random.Random(6)  # noqa: S311 - the same graphs in every run
    for number in range(40):
        edges = some_edges(chance, circles=number % 2 == 1)
        drawing = drawing_of(edges)
        boxes = {box.name: box for box in drawing.boxes}
        assert boxes.keys() == edges.keys()
        placed = list(boxes.values())
        for at, one in enumerate(placed):
            assert 0 <= one.x <= drawing.width - WIDTH
            assert 0 <= one.y <= drawing.height - HEIGHT
            for other in placed[at + 1 :]:
                apart = abs(one.x - other.x) >= WIDTH or abs(one.y - other.y) >= HEIGHT
                assert apart, (one, other)
        if not number % 2:
            assert all(boxes[one].x < boxes[to].x for one in edges for to in edges[one])
            assert len(drawing.lines) == sum(map(len, edges.values()))
        assert all(re.fullmatch(r"M[-0-9. ChMe+]+", line) for line in drawing.lines)
    assert drawing_of({}).boxes == ()


def test_what_needs_a_person_stands_for_several_states() -> None:
    assert state_in({"success": 9, "failed": 1}) == "failed"
    assert state_in({"success": 9, "running": 1}) == "running"
    assert state_in({"odd": 1}) == "odd"
    assert state_in({}) == ""
    groups = {"a", "a.b"}
    assert shown_as("a.b.c", groups=groups, opened=frozenset()) == "a"
    assert shown_as("a.b.c", groups=groups, opened=frozenset({"a"})) == "a.b"
    assert shown_as("a.b.c", groups=groups, opened=frozenset({"a", "a.b"})) == "a.b.c"
