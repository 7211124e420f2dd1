"""A small fleet with the real driver: what the large one of `make bench` is measured for, in counts
that no busy machine changes.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from queue import Queue
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.clusters.connections.planes import plane_for
from apps.clusters.models import Cluster
from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.deployments.models import Deployment
from apps.deployments.reconciling import surveys
from bench.fleet import make_fleet
from bench.population import populate
from bench.pretended_fleet import ASKED, fleet_app, serving

pytestmark = pytest.mark.django_db
CLUSTERS, EACH = 20, 2
WRITES = ("UPDATE", "INSERT", "DELETE")


@pytest.fixture
def fleet() -> Iterator[tuple[Connection, "Counter[str]"]]:
    """The address of the pretended clusters, and what they were asked, by method."""
    app = fleet_app(EACH)
    made: Queue[Connection] = Queue()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def run() -> None:
        async with serving(app) as address:
            made.put(address)
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[run()], daemon=True)
    thread.start()
    yield made.get(timeout=10), app[ASKED]
    for cluster in Cluster.objects.filter(kind="kubernetes"):
        plane = plane_for(cluster)
        assert isinstance(plane, KubernetesPlane)
        plane.close()
    loop.call_soon_threadsafe(stop.set)
    thread.join(timeout=10)
    loop.close()


def sweep(clusters: list[Cluster]) -> surveys.Recorded:
    found = surveys.Recorded()
    for cluster in clusters:
        found += surveys.survey(cluster_id=cluster.pk)
    return found


def test_a_fleet_at_rest_is_seen_whole_and_written_nothing(
    fleet: tuple[Connection, "Counter[str]"], settings: Any
) -> None:
    address, asked = fleet
    settings.DATA_PLANES = settings.DATA_PLANES | {
        "kubernetes": "apps.dataplane.kubernetes.plane.KubernetesPlane"
    }
    settings.CLUSTER_NETWORKS = ["127.0.0.0/8"]
    population = populate(n_workspaces=2, n_deployments=CLUSTERS * EACH, n_users=2, n_teams=1)
    clusters = make_fleet(population.organization, address, CLUSTERS)

    first = sweep(clusters)
    of_one_sweep = sum(asked.values())
    with CaptureQueriesContext(connection) as queries:
        rest = sweep(clusters)

    assert first.written == CLUSTERS * EACH, "every Deployment is seen"
    assert not Deployment.objects.exclude(health="healthy").exists()
    assert (rest.written, rest.woken) == (0, 0)
    assert [one["sql"] for one in queries if one["sql"].startswith(WRITES)] == []
    assert set(asked) == {"GET"}
    assert sum(asked.values()) == 2 * of_one_sweep
    assert of_one_sweep / CLUSTERS <= 25, "whatever the number of Deployments"
