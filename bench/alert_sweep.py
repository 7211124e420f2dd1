"""What alerts cost: a turn of the notifier over 1,000 Deployments and 1,000 rules, as a share of a
processor.

A turn comes every 5 seconds: it evaluates incidents of the Deployments that changed, then sweeps.
Each Deployment is observed and tells its runs every 30: a sixth of them has news each time, three
runs each, of which one in twenty failed. Rules are of all kinds: 700 for one
Deployment, 250 for one of 50 workspaces, 50 for the organization; only those for one Deployment
tell of runs that succeeded. The peer is the same turn without a rule: incidents, and taking the
results.
"""

import time
from datetime import datetime, timedelta
from datetime import time as time_of_day
from statistics import median

from django.utils import timezone

from apps.alerts.notifier import SWEEP_SECONDS
from apps.alerts.rules.kinds import RuleKind
from apps.alerts.rules.models import Rule
from apps.alerts.sweeping.sweep import sweep
from apps.dags.models import DagSummary
from apps.deployments.models import Deployment
from apps.observability.history.models import Collection
from apps.observability.incidents.changed import ChangedDeployments
from apps.observability.results.models import RunResult
from bench.population import Population, populate
from bench.report import Line

N_RULES, N_ROUNDS, N_DAGS = 1_000, 12, 10
MOST_SHARE = 0.05


def run() -> tuple[list[Line], list[str]]:
    population = populate(n_users=10, n_teams=1)
    now = timezone.now()
    _give_dags(population, now)
    without = _measure(population, now)
    _give_rules(population, now)
    # Observations of before are not old yet.
    with_rules = _measure(population, now + timedelta(minutes=2))
    took, base = median(with_rules), median(without)
    share = took / SWEEP_SECONDS
    line = Line(
        name="alert-sweep, 1,000 rules, 1,000 Deployments",
        ours=f"{took * 1000:.0f} ms CPU every {SWEEP_SECONDS:.0f} s, {share:.1%} of a core",
        peer=f"without rules {base * 1000:.0f} ms CPU",
        ratio=took / base,
        goal=f"at most {MOST_SHARE:.0%} of a core",
        is_met=share <= MOST_SHARE,
    )
    return [line], []


def _measure(population: Population, now: datetime) -> list[float]:
    taken, looking = [], ChangedDeployments()
    looking.evaluate(now=now)
    for number in range(N_ROUNDS):
        at = now + number * timedelta(seconds=SWEEP_SECONDS)
        _give_results(population, number, at)
        began = time.process_time()
        looking.evaluate(now=at)
        sweep(now=at, checks_deadlines=number % 12 == 0)
        taken.append(time.process_time() - began)
    return taken


def _give_results(population: Population, number: int, at: datetime) -> None:
    sixth = population.deployments[number % 6 :: 6]
    ids = [one.pk for one in sixth]
    Deployment.objects.filter(pk__in=ids).update(observed_at=at)
    Collection.objects.filter(deployment__in=ids).update(answered_at=at + timedelta(days=1))
    RunResult.objects.bulk_create(
        RunResult(
            deployment=one,
            dag_id=f"dag_{dag}",
            run_id=f"run {at}",
            is_failed=(one.pk + number) % 20 == 0,
            started_at=at - timedelta(seconds=30),
            ended_at=at,
            digest=int(at.timestamp()) * 10 + dag,
        )
        for one in sixth
        for dag in range(3)
    )


def _give_dags(population: Population, now: datetime) -> None:
    Collection.objects.bulk_create(
        Collection(
            deployment=one,
            next_at=now,
            listed_until=now,
            answered_at=now + timedelta(days=1),
            running=[["dag_0", "r", "", int(now.timestamp())]],
        )
        for one in population.deployments
    )
    DagSummary.objects.bulk_create(
        DagSummary(
            deployment=one,
            dag_id=f"dag_{dag}",
            tags=["tier-1"] if dag == 0 else [],
            is_paused=False,
            has_import_error=False,
        )
        for one in population.deployments
        for dag in range(N_DAGS)
    )


def _give_rules(population: Population, now: datetime) -> None:
    kinds = list(RuleKind)
    wide = [kind for kind in kinds if kind != RuleKind.DAG_SUCCEEDED]
    Rule.objects.bulk_create(
        Rule(
            organization=population.organization,
            workspace=population.workspaces[number % 50] if 700 <= number < 950 else None,
            deployment=population.deployments[number] if number < 700 else None,
            name=f"Rule {number}",
            kind=kinds[number % len(kinds)] if number < 700 else wide[number % len(wide)],
            dags="dag_*" if number % 2 else "",
            tags="tier-1" if number % 10 == 0 else "",
            limit_seconds=86_400,
            due_at=time_of_day(6, 30),
            zone="Europe/Copenhagen",
            since=now,
        )
        for number in range(N_RULES)
    )
