"""A small fleet with the real driver: what the large one of `make bench` is measured for, in counts
that no busy machine changes.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from queue import Queue
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.clusters.connections.planes import MOST_PLANES, plane_for
from apps.clusters.models import Cluster
from apps.dataplane.kubernetes.api.transport import MOST_TRANSPORTS
from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.spec import VariableSpec
from apps.deployments.models import Deployment
from apps.deployments.reconciling import surveys
from bench.fleet import make_fleet
from bench.population import populate
from bench.pretended_fleet import ASKED, fleet_app, serving
from tests.dataplane.specs import make_spec

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


@pytest.fixture
def clusters(fleet: tuple[Connection, "Counter[str]"], settings: Any) -> list[Cluster]:
    settings.DATA_PLANES = settings.DATA_PLANES | {
        "kubernetes": "apps.dataplane.kubernetes.plane.KubernetesPlane"
    }
    settings.CLUSTER_NETWORKS = ["127.0.0.0/8"]
    population = populate(n_workspaces=2, n_deployments=CLUSTERS * EACH, n_users=2, n_teams=1)
    return make_fleet(population.organization, fleet[0], CLUSTERS)


def revised(cluster: Cluster, revision: int) -> None:
    variable = VariableSpec(key="LIMIT", value=str(revision), is_secret=False)
    spec = replace(make_spec("changed-often"), revision=revision, variables=(variable,))
    assert plane_for(cluster).apply(spec=spec).is_done


def test_a_fleet_at_rest_is_seen_whole_and_written_nothing(
    fleet: tuple[Connection, "Counter[str]"], clusters: list[Cluster]
) -> None:
    _, asked = fleet

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


def test_a_change_in_a_fleet_asks_no_more_than_one_of_a_cluster_alone(
    fleet: tuple[Connection, "Counter[str]"], clusters: list[Cluster]
) -> None:
    _, asked = fleet
    first, *others = clusters
    revised(first, 1)
    revised(first, 2)
    asked.clear()
    revised(first, 3)
    alone = dict(asked)
    sweep(clusters)
    for cluster in others:
        revised(cluster, 1)
    asked.clear()

    for cluster in others:
        revised(cluster, 2)

    assert alone["PATCH"] > 0
    assert asked == {method: count * len(others) for method, count in alone.items()}


def test_the_connections_of_every_plane_that_is_kept_are_kept() -> None:
    assert MOST_TRANSPORTS >= MOST_PLANES
