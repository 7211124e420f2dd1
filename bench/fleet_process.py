"""One worker that surveys a whole fleet, as a program to be measured.

    python -m bench.fleet_process THREADS

It surveys all clusters twice, the second time at rest, and prints what each sweep took as JSON.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django
import psutil
from django.conf import settings
from django.db import connection

django.setup()

from apps.clusters.models import Cluster  # noqa: E402 - models need the setup
from apps.deployments.reconciling import surveys  # noqa: E402 - after django.setup()

REAL = "apps.dataplane.kubernetes.plane.KubernetesPlane"


def main() -> None:
    settings.DATA_PLANES = {**settings.DATA_PLANES, "kubernetes": REAL}
    settings.CLUSTER_NETWORKS = ["127.0.0.0/8"]
    fleet = list(
        Cluster.objects.filter(kind="kubernetes").order_by("pk").values_list("pk", flat=True)
    )
    tries = [_surveyed(fleet[0]) for _ in range(6)]
    # Those of the first cluster are seen before the first sweep.
    before = {
        "alone": [seconds for seconds, _ in tries[1:]],
        "before": sum(recorded.written for _, recorded in tries),
    }
    for _ in range(2):
        print(json.dumps({**_sweep(fleet, int(sys.argv[1])), **before}), flush=True)


def _sweep(fleet: list[int], threads: int) -> dict[str, Any]:
    began = time.monotonic()
    with ThreadPoolExecutor(threads, initializer=connection.ensure_connection) as pool:
        found = list(pool.map(_surveyed, fleet))
    process = psutil.Process()
    return {
        "seconds": time.monotonic() - began,
        "each": [seconds for seconds, _ in found],
        "written": sum(recorded.written for _, recorded in found),
        "woken": sum(recorded.woken for _, recorded in found),
        "mib": process.memory_full_info().pss / 2**20,
        "sockets": len(process.net_connections()),
    }


def _surveyed(pk: int) -> tuple[float, surveys.Recorded]:
    began = time.monotonic()
    recorded = surveys.survey(cluster_id=pk)
    return time.monotonic() - began, recorded


if __name__ == "__main__":
    main()
