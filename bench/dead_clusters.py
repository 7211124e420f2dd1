"""From an edit to its being applied, through a real worker, while half of the clusters are dead.

The same edits on the same living clusters by turns: with all alive, and with half of them in a
black hole. The watches report them as dead; from then on they are probed.
"""

import time
from dataclasses import replace
from statistics import median, quantiles
from typing import Any

import redis
from django.conf import settings
from django.db.models.functions import Now

from apps.clusters.connections.sealed import seal_credential
from apps.clusters.models import Cluster
from apps.dataplane.errors import Unreachable
from apps.dataplane.kubernetes.config import Connection
from apps.deployments import tasks
from apps.deployments.editing.services import update_config
from apps.deployments.models import Deployment, Revision
from apps.deployments.reconciling import breaker
from apps.deployments.secrets import sealed
from bench.cluster_plane import DEAD, MET
from bench.measure import repeating
from bench.population import Population, populate
from bench.queue_overhead import running_worker
from bench.report import Line, at_most

CLUSTERS, DEPLOYMENTS, EDITS, ROUNDS = 100, 200, 40, 2
PAUSE_SECONDS, SWEEP_SECONDS, WAIT_SECONDS = 0.25, 2.0, 180.0


def run() -> tuple[list[Line], list[str]]:
    population = populate(n_workspaces=5, n_deployments=DEPLOYMENTS, n_users=10)
    with redis.Redis.from_url(settings.REDIS_URL) as broker:
        clusters = _spread(population, broker)
        dead, alive = clusters[::2], clusters[1::2]
        times: dict[str, list[float]] = {"alive": [], "dead": []}
        met = 0
        # As beat would send it.
        sweeping = repeating(tasks.sweep, seconds=SWEEP_SECONDS)
        with running_worker("interactive,reconcile.0,background"), sweeping:
            _edit(population, alive)  # a warm worker
            for _ in range(ROUNDS):
                times["alive"] += _edit(population, alive)
                broker.sadd(DEAD, *(cluster.server for cluster in dead))
                _watches_end(dead)
                before = int(broker.get(MET) or 0)
                times["dead"] += _edit(population, alive)
                met += int(broker.get(MET) or 0) - before
                broker.delete(DEAD)
                _until_answering(dead)
    return _lines(times), [f"passes that met a dead cluster: {met}"]


def _lines(times: dict[str, list[float]]) -> list[Line]:
    lines = []
    for name, read in (("p50", median), ("p95", lambda all_: quantiles(all_, n=20)[-1])):
        ours, peer = read(times["dead"]), read(times["alive"])
        goal = at_most(1.2, ours / peer) if name == "p50" else {}
        lines.append(
            Line(
                name=f"50 of 100 clusters dead, {name}",
                ours=f"{ours * 1000:.0f} ms to applied",
                peer=f"none dead {peer * 1000:.0f} ms",
                ratio=ours / peer,
                **goal,
            )
        )
    return lines


def _spread(population: Population, broker: "redis.Redis") -> list[Cluster]:
    clusters = []
    for number in range(CLUSTERS):
        cluster = Cluster(
            organization=population.organization,
            kind=Cluster.Kind.KUBERNETES,
            name=f"cluster-{number}",
            server=f"https://cluster-{number}.test",
            seen_at=None,
        )
        seal_credential(cluster, Connection(server=cluster.server, ca_certificate="", token="t"))  # noqa: S106 - opens nothing
        cluster.save(force_insert=True)
        clusters.append(cluster)
    for number, deployment in enumerate(population.deployments):
        cluster = clusters[number % CLUSTERS]
        deployment.cluster = cluster
        deployment.airflow_secrets = sealed.new_airflow_secrets(deployment_id=deployment.pk)
        deployment.save(update_fields=["cluster", "airflow_secrets"])
        broker.sadd(cluster.server, deployment.ref)
    return clusters


def _edit(population: Population, clusters: list[Cluster]) -> list[float]:
    """Edit Deployments on these clusters, one after the other; return the seconds to applied."""
    rows = Deployment.objects.filter(cluster__in=clusters).select_related("wanted")
    began: dict[int, Any] = {}
    for row in rows.order_by("?")[:EDITS]:
        if row.wanted is None:
            continue
        old = row.wanted.configuration
        new = replace(old, description=f"Edited {time.time()}")
        operation = update_config(
            actor=population.reader,
            deployment=row,
            configuration=new,
            base_revision_number=row.wanted.number,
        )
        if operation.revision is not None:
            began[operation.revision.pk] = operation.revision.created_at
        time.sleep(PAUSE_SECONDS)
    applied = Revision.objects.filter(pk__in=began, applied_at__isnull=False)
    deadline = time.monotonic() + WAIT_SECONDS
    while applied.count() < len(began):
        if time.monotonic() > deadline:
            raise RuntimeError("The worker did not apply the edits in time.")
        time.sleep(0.2)
    return [
        (at - began[pk]).total_seconds()
        for pk, at in applied.values_list("pk", "applied_at")
        if at is not None
    ]


def _watches_end(clusters: list[Cluster]) -> None:
    for cluster in Cluster.objects.filter(pk__in=[cluster.pk for cluster in clusters]):
        breaker.failed(cluster=cluster, error=Unreachable("The watch was cut."))
    Deployment.objects.filter(cluster__in=clusters).update(next_reconcile_at=Now())


def _until_answering(clusters: list[Cluster]) -> None:
    pks = [cluster.pk for cluster in clusters]
    deadline = time.monotonic() + WAIT_SECONDS
    while Cluster.objects.filter(pk__in=pks, blind_until__isnull=False).exists():
        if time.monotonic() > deadline:
            raise RuntimeError("The recovery of the clusters was not noticed.")
        time.sleep(0.2)
