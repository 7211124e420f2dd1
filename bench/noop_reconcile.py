"""A pass of the reconciler over Deployments of which nothing changed, beside reading and writing
one row.
"""

from collections.abc import Callable
from datetime import timedelta
from itertools import cycle

from django.db import transaction
from django.utils import timezone

from apps.deployments.models import Deployment
from apps.deployments.reconciling import reconciler
from bench.measure import by_turns, ratio
from bench.population import populate
from bench.quiet import control_noise
from bench.report import Line
from bench.visitor import n_queries

N_DEPLOYMENTS = 200
MOST_QUERIES = 5
# It claims, reads, observes, compares and writes; the bare one reads and writes.
MOST_RATIO = 6


def run() -> tuple[list[Line], list[str]]:
    population = populate(
        n_workspaces=5, n_deployments=N_DEPLOYMENTS, n_users=10, in_first_workspace=40
    )
    ids = [deployment.pk for deployment in population.deployments]
    calls = {"pass": _pass(ids), "bare": _bare(ids), "control": _bare(ids)}
    for each in ids:
        reconciler.reconcile(deployment_id=each)
    times = by_turns(calls, n_calls=N_DEPLOYMENTS)
    value, spread = ratio(times["pass"], times["bare"])
    queries = n_queries(calls["pass"])
    return [
        Line(
            name="noop-reconcile, per Deployment",
            ours=str(times["pass"]),
            peer=f"SELECT + UPDATE {times['bare']}",
            ratio=value,
            spread=spread,
            goal=f"<= {MOST_RATIO}x",
            is_met=value <= MOST_RATIO,
        ),
        Line(
            name="noop-reconcile queries",
            ours=str(queries),
            peer="2",
            goal=f"<= {MOST_QUERIES}",
            is_met=queries <= MOST_QUERIES,
        ),
    ], [*control_noise(times["control"].cpu)]


def _pass(ids: list[int]) -> Callable[[], object]:
    turn = cycle(ids)
    return lambda: reconciler.reconcile(deployment_id=next(turn))


def _bare(ids: list[int]) -> Callable[[], object]:
    turn = cycle(ids)

    def read_and_write() -> None:
        with transaction.atomic():
            row = Deployment.objects.get(pk=next(turn))
            later = timezone.now() + timedelta(seconds=15)
            Deployment.objects.filter(pk=row.pk).update(next_reconcile_at=later)

    return read_and_write
