"""A fleet of 500 clusters and 5,000 Deployments, surveyed and changed by one worker process with
the real driver against pretended clusters: memory, sockets, the time of a sweep, that of a change
beside one of a cluster that is alone, and writes at rest.
"""

import json
from statistics import median, quantiles
from typing import Any

from apps.clusters.connections.sealed import seal_credential
from apps.clusters.models import Cluster
from apps.dataplane.kubernetes.config import Connection
from apps.deployments.models import Deployment
from apps.organizations.models import Organization
from bench.population import populate
from bench.report import Line, at_most
from bench.watch_clusters import started

CLUSTERS, DEPLOYMENTS_EACH = 500, 10
MOST_MIB, MOST_SECONDS, MOST_OF_ALONE = 600, 60, 2.0


def run() -> tuple[list[Line], list[str]]:
    population = populate(
        n_workspaces=50, n_deployments=CLUSTERS * DEPLOYMENTS_EACH, n_users=10, n_teams=1
    )
    with started("bench.pretended_fleet", str(DEPLOYMENTS_EACH)) as address:
        make_fleet(population.organization, Connection(**json.loads(next(address))), CLUSTERS)
        with started("bench.fleet_process") as sweeps:
            alone, first, rest, among = (json.loads(next(sweeps)) for _ in range(4))
    if first["written"] + first["before"] < CLUSTERS * DEPLOYMENTS_EACH:
        raise RuntimeError(f"The first sweep saw {first['written']} Deployments only.")
    return [*_lines(first, rest), _change(alone, among)], [
        f"{CLUSTERS} clusters, {CLUSTERS * DEPLOYMENTS_EACH} Deployments",
        f"the first sweep wrote {first['written']} rows in {first['seconds']:.0f} s",
    ]


def make_fleet(organization: Organization, address: Connection, clusters: int) -> list[Cluster]:
    """Register pretended clusters, and give each its Deployments of a population, in order."""
    made = []
    for number in range(clusters):
        cluster = Cluster(
            organization=organization,
            kind=Cluster.Kind.KUBERNETES,
            name=f"cluster-{number}",
            server=f"{address.server}/c/{number}",
            ca_certificate=address.ca_certificate,
        )
        seal_credential(cluster, address)
        made.append(cluster)
    Cluster.objects.bulk_create(made)
    rows = list(Deployment.objects.order_by("pk"))
    each = len(rows) // clusters
    for index, row in enumerate(rows):
        row.cluster, row.observed_at = made[index // each], None
    Deployment.objects.bulk_update(rows, ["cluster", "observed_at"], batch_size=1_000)
    return made


def _change(alone: dict[str, Any], among: dict[str, Any]) -> Line:
    mine, other = median(among["changes"]), median(alone["changes"])
    return Line(
        name="fleet, a change applied, p50",
        ours=f"{mine * 1000:.0f} ms, p95 {quantiles(among['changes'], n=20)[-1] * 1000:.0f} ms",
        peer=f"of one cluster alone {other * 1000:.0f} ms",
        ratio=mine / other,
        **at_most(2.0, mine / other),
    )


def _lines(first: dict[str, Any], rest: dict[str, Any]) -> list[Line]:
    of_each, alone = rest["cpu"] / CLUSTERS, median(rest["alone"])
    return [
        Line(
            name="fleet, memory of a worker",
            ours=f"{rest['mib']:.0f} MiB PSS",
            peer=f"after the first sweep {first['mib']:.0f} MiB",
            goal=f"<= {MOST_MIB} MiB",
            is_met=rest["mib"] <= MOST_MIB,
        ),
        Line(
            name="fleet, a sweep at rest",
            ours=f"{rest['seconds']:.0f} s",
            peer=f"{rest['sockets']} sockets",
            goal=f"<= {MOST_SECONDS} s",
            is_met=rest["seconds"] <= MOST_SECONDS,
        ),
        Line(
            name="fleet, a survey of one of its clusters",
            ours=f"{of_each * 1000:.0f} ms CPU",
            peer=f"alone {alone * 1000:.0f} ms",
            ratio=of_each / alone,
            **at_most(MOST_OF_ALONE, of_each / alone),
        ),
        Line(
            name="fleet, writes at rest",
            ours=f"{rest['written'] + rest['woken']} rows",
            peer=f"{CLUSTERS} clusters",
            goal="0 rows",
            is_met=rest["written"] + rest["woken"] == 0,
        ),
    ]
