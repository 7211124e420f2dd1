"""One worker that surveys a whole fleet and changes Deployments of it, as a program to be measured.

    python -m bench.fleet_process

It changes a Deployment of one cluster, surveys all clusters twice, the second time at rest, changes
one in each of many clusters while all are surveyed as often as those that are watched, and prints
as JSON what each of the four took. A child of a worker does one thing at a time, and so does this.
"""

import gc
import json
import time
from dataclasses import replace
from itertools import cycle
from typing import Any

import django
import psutil
from django.conf import settings

django.setup()

from apps.clusters.connections.planes import plane_for  # noqa: E402 - models need the setup
from apps.clusters.models import Cluster  # noqa: E402 - after django.setup()
from apps.dataplane.spec import VariableSpec  # noqa: E402 - after django.setup()
from apps.deployments.reconciling import cluster_jobs, surveys  # noqa: E402 - after django.setup()
from bench.measure import repeating  # noqa: E402 - after django.setup()
from tests.dataplane.specs import make_spec  # noqa: E402 - after django.setup()

CHANGES, REF = 50, "changed-often"
# How often a cluster is surveyed that is watched, too.
SURVEYED_SECONDS = cluster_jobs.SURVEY_SECONDS + cluster_jobs.LATER_WHERE_WATCHED.total_seconds()
REAL = "apps.dataplane.kubernetes.plane.KubernetesPlane"


def main() -> None:
    # As a worker does before it forks.
    gc.collect()
    gc.freeze()
    settings.DATA_PLANES = {**settings.DATA_PLANES, "kubernetes": REAL}
    settings.CLUSTER_NETWORKS = ["127.0.0.0/8"]
    fleet = list(Cluster.objects.filter(kind="kubernetes").order_by("pk"))
    *others, single = fleet
    changed = others[:: max(len(others) // CHANGES, 1)][:CHANGES]
    tries = [_surveyed(fleet[0]) for _ in range(6)]
    # Those of the first cluster are seen before the first sweep.
    before = {
        "alone": [cpu for cpu, _ in tries[1:]],
        "before": sum(recorded.written for _, recorded in tries),
    }
    change(single, 1)
    _tell(_changes([single] * CHANGES))
    for _ in range(2):
        _tell({**_sweep(fleet), **before})
    for cluster in changed:
        change(cluster, 1)
    # In the rhythm of a fleet that is watched.
    turns = cycle(fleet)
    with repeating(lambda: _surveyed(next(turns)), seconds=SURVEYED_SECONDS / len(fleet)):
        _tell(_changes(changed))


def change(cluster: Cluster, number: int) -> None:
    """Apply a revision of a Deployment that differs from the one before by a variable."""
    variable = VariableSpec(key="LIMIT", value=str(number), is_secret=False)
    spec = replace(make_spec(REF), revision=number, variables=(variable,))
    if not plane_for(cluster).apply(spec=spec).is_done:
        raise RuntimeError("The change was not applied in one pass.")


def _changes(clusters: list[Cluster]) -> dict[str, Any]:
    taken = []
    for number, cluster in enumerate(clusters, start=2):
        began = time.monotonic()
        change(cluster, number)
        taken.append(time.monotonic() - began)
    return {"changes": taken}


def _sweep(fleet: list[Cluster]) -> dict[str, Any]:
    began, cpu = time.monotonic(), time.process_time()
    found = [_surveyed(cluster) for cluster in fleet]
    process = psutil.Process()
    return {
        "seconds": time.monotonic() - began,
        "cpu": time.process_time() - cpu,
        "written": sum(recorded.written for _, recorded in found),
        "woken": sum(recorded.woken for _, recorded in found),
        "mib": process.memory_full_info().pss / 2**20,
        "sockets": len(process.net_connections()),
    }


def _surveyed(cluster: Cluster) -> tuple[float, surveys.Recorded]:
    """Return what a survey recorded, and the seconds of the processor that it took alone."""
    cpu = time.process_time()
    recorded = surveys.survey(cluster_id=cluster.pk)
    return time.process_time() - cpu, recorded


def _tell(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
