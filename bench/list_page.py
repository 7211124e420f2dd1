"""The list of Deployments: 50 rows of a workspace, in a portal with 1,000 Deployments and 10,000
people.
"""

import time
from collections.abc import Callable, Mapping

from django.urls import reverse

from bench.measure import Timing, by_turns, ratio
from bench.population import populate
from bench.quiet import control_noise
from bench.report import Line, at_most
from bench.visitor import client_of, getter, n_queries

MOST_QUERIES = 4
MOST_P95_MS = 100
N_TIMED = 200


def run() -> tuple[list[Line], list[str]]:
    population = populate()
    client = client_of(population.reader)
    slug = population.workspaces[0].slug
    page = reverse("deployments:list", args=[slug])
    calls = {
        "page": getter(client, page),
        "rows": getter(client, f"/bench/rows/{slug}/"),
        "frame": getter(client, f"/bench/frame/{slug}/"),
        "empty": getter(client, "/bench/empty/"),
        "admin": getter(client, "/bench/admin/deployments/deployment/"),
    }
    n_calls = {"page": 20, "rows": 40, "frame": 40, "empty": 200, "admin": 8}
    times = by_turns(calls, n_calls=n_calls)
    to_empty, empty_spread = ratio(times["page"], times["empty"])
    to_admin, admin_spread = ratio(times["page"], times["admin"])
    floors = {
        "the gate and the query alone": "rows",
        "the gate and a page with nothing in it": "frame",
    }
    queries = n_queries(calls["page"])
    p95 = _p95_ms(calls["page"])
    lines = [
        Line(
            name="list-page",
            ours=str(times["page"]),
            peer=f"empty view {times['empty']}",
            ratio=to_empty,
            spread=empty_spread,
            **at_most(5, to_empty),
        ),
        Line(
            name="list-page",
            ours=str(times["page"]),
            peer=f"admin {times['admin']}",
            ratio=to_admin,
            spread=admin_spread,
            **at_most(0.12, to_admin),
        ),
        *(_beside_empty(f"list-page, {what}", times, name) for what, name in floors.items()),
        Line(
            name="list-page queries",
            ours=str(queries),
            goal=f"<= {MOST_QUERIES}",
            is_met=queries <= MOST_QUERIES,
        ),
        Line(
            name="list-page p95",
            ours=f"{p95:.1f} ms",
            goal=f"<= {MOST_P95_MS} ms",
            is_met=p95 <= MOST_P95_MS,
        ),
    ]
    return lines, [*control_noise(times["empty"].cpu)]


def _beside_empty(name: str, times: Mapping[str, Timing], what: str) -> Line:
    to_empty, spread = ratio(times[what], times["empty"])
    return Line(
        name=name,
        ours=str(times[what]),
        peer=f"empty view {times['empty']}",
        ratio=to_empty,
        spread=spread,
    )


def _p95_ms(call: Callable[[], object]) -> float:
    durations = []
    for _ in range(N_TIMED):
        began = time.perf_counter()
        call()
        durations.append(time.perf_counter() - began)
    return sorted(durations)[int(N_TIMED * 0.95)] * 1000
