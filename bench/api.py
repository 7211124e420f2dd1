"""The API: one Deployment and the list of 1,000, with a personal token, beside an empty view for
people who are signed in.
"""

import time
from collections.abc import Callable

from django.test import Client

from apps.access.grants.services import grant
from apps.access.models import Role
from apps.core.public_ids import public_id
from apps.organizations.tokens.personal import create_personal_token
from bench.measure import by_turns, ratio
from bench.population import populate
from bench.quiet import control_noise
from bench.report import Line, at_most
from bench.visitor import client_of, getter, n_queries

MOST_OF_EMPTY = 3
MOST_QUERIES, MOST_QUERIES_OF_LIST, MOST_LIST_MS = 4, 6, 150
N_TIMED = 15


def run() -> tuple[list[Line], list[str]]:
    population = populate()
    person, organization = population.reader, population.organization
    owner = Role.objects.get(scope="organization", key="owner")
    grant(actor=None, user=person, role=owner, on=organization)
    _, secret = create_personal_token(user=person, organization=organization, name="x", days=1)
    program = Client(headers={"Authorization": f"Bearer {secret}"})
    root = f"/v1/organizations/{public_id('organization', organization.pk)}/deployments"
    one = getter(program, f"{root}/{public_id('deployment', population.deployments[0].pk)}")
    many = getter(program, f"{root}?limit=1000")
    calls = {"one": one, "empty": getter(client_of(person), "/bench/signed-in/")}
    times = by_turns(calls, n_calls={"one": 100, "empty": 200})
    to_empty, spread = ratio(times["one"], times["empty"])
    found = {
        "api-get": (n_queries(one), MOST_QUERIES),
        "api-list": (n_queries(many), MOST_QUERIES_OF_LIST),
    }
    milliseconds = sorted(_milliseconds(many) for _ in range(N_TIMED))[N_TIMED // 2]
    lines = [
        Line(
            name="api-get",
            ours=str(times["one"]),
            peer=f"empty view {times['empty']}",
            ratio=to_empty,
            spread=spread,
            **at_most(MOST_OF_EMPTY, to_empty),
        ),
        *(
            Line(name=f"{name} queries", ours=str(count), goal=f"<= {most}", is_met=count <= most)
            for name, (count, most) in found.items()
        ),
        Line(
            name="api-list of 1,000",
            ours=f"{milliseconds:.0f} ms",
            goal=f"<= {MOST_LIST_MS} ms",
            is_met=milliseconds <= MOST_LIST_MS,
        ),
    ]
    return lines, [*control_noise(times["empty"].cpu)]


def _milliseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000
