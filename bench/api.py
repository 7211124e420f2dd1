"""The API: one Deployment and the list of 1,000, with a personal token, beside an empty view for
people who are signed in and the list that Django's admin has.
"""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

from django.test import Client

from apps.access.grants.services import grant
from apps.access.models import Role
from apps.api.deployments.items import READ
from apps.api.deployments.shapes import deployment_shape
from apps.api.wire.etags import written
from apps.api.wire.gates import rows_of
from apps.core.public_ids import public_id
from apps.organizations.tokens.personal import create_personal_token
from apps.organizations.tokens.queries import caller_of
from bench.measure import by_turns, ratio
from bench.population import populate
from bench.quiet import control_noise
from bench.report import Line, at_most
from bench.visitor import client_of, getter, n_queries

MOST_OF_EMPTY = 3
MOST_QUERIES, MOST_QUERIES_OF_LIST, MOST_QUERIES_OF_TOKEN, MOST_LIST_MS = 4, 6, 1, 150
N_TIMED, N_LOADED = 15, 120
# As many rows as a page of the admin has.
ROWS, LOAD = 50, 0.7
Get = Callable[[], object]


@dataclass(frozen=True)
class Loaded:
    """What came of calls at a steady rate: the time from when each was due, in milliseconds."""

    p95_ms: float
    errors: int

    def __str__(self) -> str:
        return f"p95 {self.p95_ms:.0f} ms, {self.errors} errors"


def run() -> tuple[list[Line], list[str]]:
    population = populate(n_users=1_000, n_teams=50)
    person, organization = population.reader, population.organization
    owner = Role.objects.get(scope="organization", key="owner")
    grant(actor=None, user=person, role=owner, on=organization)
    _, secret = create_personal_token(user=person, organization=organization, name="x", days=1)
    program = Client(headers={"Authorization": f"Bearer {secret}"})
    root = f"/v1/organizations/{public_id('organization', organization.pk)}/deployments"
    one = getter(program, f"{root}/{public_id('deployment', population.deployments[0].pk)}")
    many, some = getter(program, f"{root}?limit=1000"), getter(program, f"{root}?limit={ROWS}")
    visitor = client_of(person)
    calls = {"one": one, "empty": getter(visitor, "/bench/signed-in/")}
    times = by_turns(calls, n_calls={"one": 100, "empty": 200})
    to_empty, spread = ratio(times["one"], times["empty"])
    lines = [
        Line(
            name="api-get",
            ours=str(times["one"]),
            peer=f"empty view {times['empty']}",
            ratio=to_empty,
            spread=spread,
            **at_most(MOST_OF_EMPTY, to_empty),
        ),
        _queries("api-get", one, MOST_QUERIES),
        _queries("api-list", many, MOST_QUERIES_OF_LIST),
        _queries(
            "api token check",
            lambda: caller_of(secret=secret, address="127.0.0.1"),
            MOST_QUERIES_OF_TOKEN,
        ),
        _list_of_all(many),
        _load(some, getter(visitor, "/bench/admin/deployments/deployment/")),
    ]
    parts = _parts(secret, population.deployments[0].pk)
    return lines, [parts, *control_noise(times["empty"].cpu)]


def _parts(secret: str, deployment_id: int) -> str:
    """Say what reading one Deployment is made of, below Django and the test client."""
    caller = caller_of(secret=secret, address="127.0.0.1")
    asked = {"named": deployment_id, "user": caller.user.pk}
    rows = rows_of(READ, is_within=True, is_person=True)
    organization = caller.organization
    if organization is None:
        raise RuntimeError("A personal token is of an organization.")
    read = partial(rows.one, organization=organization.pk, **asked)
    deployment = read()
    if deployment is None:
        raise RuntimeError("The Deployment is not there.")
    calls: dict[str, Get] = {
        "who calls": partial(caller_of, secret=secret, address="127.0.0.1"),
        "the rows": read,
        "the answer": lambda: written(deployment_shape(deployment)),
    }
    times = by_turns(calls, n_calls=100)
    told = ", ".join(f"{name} {one}" for name, one in times.items())
    return f"api-get: of its time: {told}"


def _queries(name: str, call: Get, most: int) -> Line:
    count = n_queries(call)
    return Line(name=f"{name} queries", ours=str(count), goal=f"<= {most}", is_met=count <= most)


def _list_of_all(many: Get) -> Line:
    many()
    # As the web server does when it has started.
    gc.collect()
    gc.freeze()
    milliseconds = median(_seconds(many) for _ in range(N_TIMED)) * 1000
    gc.unfreeze()
    return Line(
        name="api-list of 1,000",
        ours=f"{milliseconds:.0f} ms",
        goal=f"<= {MOST_LIST_MS} ms",
        is_met=milliseconds <= MOST_LIST_MS,
    )


def _load(some: Get, admin: Get) -> Line:
    ours, peer = _loaded(some), _loaded(admin)
    return Line(
        name=f"api-list of {ROWS} at {LOAD:.0%} of saturation",
        ours=str(ours),
        peer=f"admin {peer}",
        ratio=ours.p95_ms / peer.p95_ms,
        goal="no errors",
        is_met=not ours.errors,
    )


def _loaded(call: Get) -> Loaded:
    """Call at a share of the rate that one process can serve, whether or not the last is done."""
    every = median(_seconds(call) for _ in range(N_TIMED)) / LOAD
    began, took, errors = time.perf_counter(), [], 0
    for number in range(N_LOADED):
        due = began + number * every
        time.sleep(max(0.0, due - time.perf_counter()))
        try:
            call()
        except RuntimeError:
            errors += 1
        took.append(time.perf_counter() - due)
    return Loaded(sorted(took)[int(N_LOADED * 0.95)] * 1000, errors)


def _seconds(call: Get) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
