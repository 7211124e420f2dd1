"""What a person may see, as other grants are added: 1 thousand, 50 thousand, 1 million grants of
people, and as many of Teams.

The person's own roles stay the same, so an honest design costs the same each time. Both peers are
guardian's own: its shortcut for lists, and its `has_perm` asked for each of 50 rows. They read rows
of one table, and `visible_to` those of three.
"""

from collections.abc import Callable

from django.urls import reverse
from guardian.backends import ObjectPermissionBackend
from guardian.shortcuts import get_objects_for_user

from apps.access.models import Role
from apps.accounts.models import User
from apps.deployments.models import Deployment, DeploymentGrant
from bench.measure import Timing, by_turns, ratio
from bench.population import (
    WORKSPACES_OF_A_USER,
    Population,
    add_grants_of_others,
    add_team_grants_of_others,
    populate,
)
from bench.quiet import control_noise
from bench.report import Line, at_most
from bench.visitor import client_of, getter, n_queries

GRANTS = (1_000, 50_000, 1_000_000)
N_ROWS = 50


def run() -> tuple[list[Line], list[str]]:
    population = populate()
    _give_rows_of_guardian(population)
    times: list[dict[str, Timing]] = []
    counts: list[dict[str, int]] = []
    for n_grants in GRANTS:
        add_grants_of_others(population, on_deployments=n_grants)
        add_team_grants_of_others(population, on_deployments=n_grants)
        calls = _calls(population)
        times.append(
            by_turns(
                calls,
                n_calls={
                    "page": 15,
                    "rows": 60,
                    "plain": 60,
                    "guardian": 40,
                    "loop": 5,
                    "empty": 150,
                },
            )
        )
        counts.append({name: n_queries(call) for name, call in calls.items()})
    notes: list[str] = [note for each in times for note in control_noise(each["empty"].cpu)]
    return [*_growth(times, counts), *_peers(times[-1], counts[-1])], notes[:1]


def _growth(times: list[dict[str, Timing]], counts: list[dict[str, int]]) -> list[Line]:
    lines = []
    for name, title in (("page", "list page"), ("rows", "visible_to, 50 rows")):
        # The sizes cannot be measured by turns, so each is put in relation, round by round, to as
        # many rows that are read without a check of permissions.
        relative = [ratio(each[name], each["plain"])[0] for each in times]
        growth = relative[-1] / relative[0]
        lines.append(
            Line(
                name=f"permission-growth, {title}",
                ours=f"{times[-1][name].cpu_ms:.2f} ms CPU at 1M grants",
                peer=f"{times[0][name].cpu_ms:.2f} ms at 1k, {times[1][name].cpu_ms:.2f} ms at 50k",
                ratio=growth,
                **at_most(1.2, growth),
            )
        )
    more = counts[-1]["page"] - counts[0]["page"]
    lines.append(
        Line(
            name="permission-growth, more queries",
            ours=str(more),
            goal="0",
            is_met=more == 0,
        )
    )
    return lines


def _peers(times: dict[str, Timing], counts: dict[str, int]) -> list[Line]:
    lines = []
    for peer, title, limit in (
        ("guardian", "get_objects_for_user", 0.6),
        ("loop", "guardian's has_perm, 50 rows", 1 / 15),
    ):
        value, spread = ratio(times["rows"], times[peer])
        lines.append(
            Line(
                name="permission-growth, 1M grants",
                ours=f"{times['rows']}, {counts['rows']} q",
                peer=f"{title} {times[peer].cpu_ms:.2f} ms, {counts[peer]} q",
                ratio=value,
                spread=spread,
                goal=f"<= {limit:.2g}x",
                is_met=value <= limit,
            )
        )
    value, spread = ratio(times["rows"], times["plain"])
    lines.append(
        Line(
            name="permission-growth, 1M grants",
            ours=f"{times['rows']}, {counts['rows']} q",
            peer=f"the floor, 50 rows unasked {times['plain'].cpu_ms:.2f} ms",
            ratio=value,
            spread=spread,
        )
    )
    return lines


def _calls(population: Population) -> dict[str, Callable[[], object]]:
    user = population.reader
    viewer = Role.objects.get(scope="deployment", key="viewer").permission.codename
    permission = f"deployments.{viewer}"
    workspaces = [workspace.pk for workspace in population.workspaces[:WORKSPACES_OF_A_USER]]
    client = client_of(user)
    page = reverse("deployments:list", args=[population.workspaces[0].slug])
    return {
        "page": getter(client, page),
        "rows": lambda: list(_rows(Deployment.objects.visible_to(user))),
        "plain": lambda: list(_rows(Deployment.objects.filter(workspace_id__in=workspaces))),
        "guardian": lambda: list(_rows(_by_guardian(user, permission))),
        "loop": lambda: _by_asking(user, permission),
        "empty": getter(client, "/bench/empty/"),
    }


def _rows(deployments: object) -> object:
    return deployments.order_by("name")[:N_ROWS]  # type: ignore[attr-defined]  # annotated


def _by_guardian(user: User, permission: str) -> object:
    return get_objects_for_user(user, permission, Deployment, accept_global_perms=False)


def _by_asking(user: User, permission: str) -> list[object]:
    """Ask guardian's backend for each row, as a view does that filters its list."""
    guardian = ObjectPermissionBackend()
    rows = list(_rows(Deployment.objects.all()))  # type: ignore[call-overload]  # annotated
    return [row for row in rows if guardian.has_perm(user, permission, row)]


def _give_rows_of_guardian(population: Population) -> None:
    """Let guardian's shortcut find what `visible_to` finds: one row for each Deployment."""
    permission = Role.objects.get(scope="deployment", key="viewer").permission
    user = population.reader
    DeploymentGrant.objects.bulk_create(
        DeploymentGrant(user=user, content_object=deployment, permission=permission)
        for deployment in Deployment.objects.visible_to(user)
    )
