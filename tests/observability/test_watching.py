"""Which clusters a watching process takes, and how often it asks one that does not answer."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from apps.clusters.models import Cluster
from apps.dataplane.kubernetes.config import ClusterConfig, Connection
from apps.deployments.models import Deployment
from apps.observability.watching import watchers
from apps.observability.watching.cluster_watch import ClusterWatch
from apps.observability.watching.watchers import Watchers
from apps.organizations.models import Organization
from tests.clusters.material import certificate, registered

CLOSED = "https://127.0.0.1:1"


@pytest.fixture
def watching() -> Iterator[Watchers]:
    process = Watchers()
    yield process
    process._leave()


def sharing(organization: Organization, make: Callable[..., Deployment], *homes: str) -> Cluster:
    """Register a cluster with named namespaces, and let a Deployment take each."""
    name = f"shared-{homes[0]}"
    cluster = registered(organization, name=name, server=CLOSED, namespaces="\n".join(homes))
    for home in homes:
        row = make(name=home, ref=f"{home}-r")
        Deployment.objects.filter(pk=row.pk).update(cluster=cluster, namespace=home)
    return cluster


@pytest.mark.django_db
def test_named_namespaces_are_watched_as_far_as_there_is_room(
    organization: Organization,
    make_deployment: Callable[..., Deployment],
    watching: Watchers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watchers, "MOST_HOMES", 2)
    monkeypatch.setattr(watchers, "MOST_HOMES_OF_ALL", 3)
    first = sharing(organization, make_deployment, "a", "b")
    sharing(organization, make_deployment, "c", "d", "e")
    sharing(organization, make_deployment, "f", "g")
    last = sharing(organization, make_deployment, "h")

    watching._go_round()

    assert set(watching._watching) == {first.pk, last.pk}
    assert [one.watch.homes for one in watching._watching.values()] == [2, 1]


def test_a_cluster_that_is_away_is_asked_by_one_of_its_watches_at_a_time() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        asked: list[float] = []

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    server.accept()[0].close()
                    asked.append(time.monotonic())

        threading.Thread(target=hang_up, daemon=True).start()
        homes = {f"r{number}": f"team-{number}" for number in range(8)}
        connection = Connection(
            server=f"https://127.0.0.1:{server.getsockname()[1]}",
            ca_certificate=certificate(),
            token="t",
            namespaces=tuple(homes.values()),
            homes=homes,
        )
        config = ClusterConfig(
            connection=connection, portal_id="p1", airflow_url="http://a.test", has_keda=True
        )
        watch = ClusterWatch(config)
        watch.start()
        time.sleep(3)
        watch.stop()

    assert 0 < len(asked) <= 9, "64 watches ask once for all of them, with its retries"
    assert watch.last_error is not None
