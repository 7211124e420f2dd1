"""The whole loop against a real API server: rows, passes, surveys and watches, with faults between.

Sweeps and jobs run in a thread of the test, as a worker would run them.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.db import connection

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.clusters.connections import sealed
from apps.clusters.models import Cluster
from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.kubernetes.names import namespace_of
from apps.deployments import tasks
from apps.deployments.configuration.schema import Configuration
from apps.deployments.editing.services import create_deployment, delete_deployment, update_config
from apps.deployments.models import Deployment, Operation, RevisionState
from apps.deployments.reconciling import breaker, cluster_jobs
from apps.observability.watching import cluster_watch
from apps.observability.watching.watchers import Watchers
from apps.organizations.models import Organization, Workspace
from tests.clusters.material import registered
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.fault_proxy import FaultProxy
from tests.kubernetes.faults import GoneInStream, NoBookmarks, SilentWatch

logger = logging.getLogger(__name__)
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
PLANE = "apps.dataplane.kubernetes.plane.KubernetesPlane"
CONFIGURATION = Configuration(description="", runtime="3.3.2-1", executor="kubernetes")
SWEEP_SECONDS = 0.5


@pytest.fixture(autouse=True)
def _portal(settings: Any) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    settings.AIRFLOW_SIGN_IN_KEY = pem.decode()
    settings.DATA_PLANES = {**settings.DATA_PLANES, "kubernetes": PLANE}
    settings.CLUSTER_NETWORKS = ("127.0.0.0/8",)


@pytest.fixture
def eu(organization: Organization, faulty: FaultProxy) -> Cluster:
    """The control plane behind the door that misbehaves, as a registered cluster."""
    cluster = registered(organization, server=faulty.connection.server)
    use(cluster, faulty.connection)
    return cluster


def use(cluster: Cluster, new: Connection) -> None:
    sealed.seal_credential(cluster, new)
    cluster.ca_certificate, cluster.server = new.ca_certificate, new.server
    cluster.connection_version += 1
    cluster.save()


@pytest.fixture
def worker() -> Iterator[None]:
    """A clock and a worker: every job runs as soon as it is sent."""
    stop = threading.Event()

    def do(messages: Any) -> None:
        for job, arguments, _ in messages:
            try:
                job(*arguments)
            except Exception:
                logger.exception("a job failed")

    def work() -> None:
        while not stop.wait(SWEEP_SECONDS):
            tasks.sweep()
        connection.close()

    sent, tasks.send = tasks.send, do
    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()
    tasks.send = sent


@pytest.fixture
def watchers() -> Iterator[Watchers]:
    stop = threading.Event()
    running = Watchers()
    thread = threading.Thread(target=running.run, kwargs={"stop": stop})
    thread.start()
    yield running
    stop.set()
    thread.join()


@pytest.fixture
def create(alice: User, workspace: Workspace, eu: Cluster) -> Callable[..., Deployment]:
    def make(name: str = "far", configuration: Configuration = CONFIGURATION) -> Deployment:
        operation = create_deployment(
            actor=alice, workspace=workspace, cluster=eu, name=name, configuration=configuration
        )
        return operation.deployment

    return make


def until(condition: Callable[[], bool], seconds: float = 180) -> float:
    """Wait, and return how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not happen in time"
        time.sleep(0.1)
    return time.monotonic() - began


def row(deployment: Deployment) -> Deployment:
    return Deployment.objects.select_related("wanted", "applied", "cluster").get(pk=deployment.pk)


def is_applied(deployment: Deployment) -> bool:
    found = row(deployment)
    assert found.wanted is not None
    assert found.wanted.state != RevisionState.FAILED, found.wanted.failure
    return found.wanted.state == RevisionState.APPLIED and found.health == "healthy"


def scale(plane: ControlPlane, deployment: Deployment, replicas: int) -> None:
    home = namespace_of(deployment.ref)
    plane.kubectl("scale", "deployment/scheduler", f"--replicas={replicas}", "-n", home)


def replicas_of(plane: ControlPlane, deployment: Deployment) -> str:
    home = namespace_of(deployment.ref)
    path = "jsonpath={.spec.replicas}"
    return plane.kubectl("get", "deployment", "scheduler", "-n", home, "-o", path)


def test_a_deployment_lives_drifts_heals_and_leaves_nothing(
    worker: None,
    watchers: Watchers,
    create: Callable[..., Deployment],
    alice: User,
    control_plane: ControlPlane,
) -> None:
    deployment = create()
    until(lambda: is_applied(deployment))

    scale(control_plane, deployment, 0)
    until(lambda: replicas_of(control_plane, deployment) == "1", 15)
    until(lambda: AuditEvent.objects.filter(action="deployment.drift_corrected").exists(), 5)
    control_plane.kubectl("delete", "service", "api-server", "-n", namespace_of(deployment.ref))
    until(lambda: is_applied(deployment), 30)

    delete_deployment(actor=alice, deployment=row(deployment), typed_name="far")
    until(lambda: row(deployment).phase == "deleted")
    assert not control_plane.exists("namespace", namespace_of(deployment.ref))


def test_without_watches_a_survey_finds_what_drifted(
    monkeypatch: pytest.MonkeyPatch,
    worker: None,
    create: Callable[..., Deployment],
    control_plane: ControlPlane,
) -> None:
    monkeypatch.setattr(cluster_jobs, "SURVEY_SECONDS", 5.0)
    deployment = create()
    until(lambda: is_applied(deployment))

    scale(control_plane, deployment, 0)

    assert until(lambda: replicas_of(control_plane, deployment) == "1", 60) < 30


def test_without_watches_drift_is_found_within_seventy_seconds() -> None:
    assert cluster_jobs.SURVEY_SECONDS * 1.1 <= 70


def test_what_happens_is_written_within_a_second(
    worker: None,
    watchers: Watchers,
    create: Callable[..., Deployment],
    control_plane: ControlPlane,
) -> None:
    deployment = create(configuration=replace(CONFIGURATION, corrects_drift=False))
    until(lambda: is_applied(deployment))
    until(lambda: bool(watchers._watching) and is_fresh(watchers), 20)

    began = time.monotonic()
    scale(control_plane, deployment, 2)
    until(lambda: bool(row(deployment).observation.get("is_drifted")), 10)

    assert time.monotonic() - began < 3
    until(lambda: bool(row(deployment).observation["drift"][0]["fields"]), 15)
    assert row(deployment).observation["drift"][0]["object"] == "Deployment/scheduler"
    assert replicas_of(control_plane, deployment) == "2"


def is_fresh(watchers: Watchers) -> bool:
    return all(one.watch.cache.is_fresh for one in watchers._watching.values())


@pytest.mark.parametrize("fault", [GoneInStream(), SilentWatch(), NoBookmarks()])
def test_watches_that_lie_are_replaced(
    monkeypatch: pytest.MonkeyPatch,
    faulty: FaultProxy,
    worker: None,
    create: Callable[..., Deployment],
    control_plane: ControlPlane,
    fault: Any,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setattr(cluster_watch, "WATCH_SECONDS", (2, 3))
    monkeypatch.setattr(cluster_watch, "SILENCE_SECONDS", 1)
    deployment = create(configuration=replace(CONFIGURATION, corrects_drift=False))
    until(lambda: is_applied(deployment))
    watchers = request.getfixturevalue("watchers")
    until(lambda: bool(watchers._watching) and is_fresh(watchers), 20)

    faulty.fail(fault, is_watch=True, times=20)
    faulty.cut()
    scale(control_plane, deployment, 2)

    until(lambda: bool(row(deployment).observation.get("is_drifted")), 45)


def test_a_dead_watch_is_noticed_within_a_minute() -> None:
    assert cluster_watch.WATCH_SECONDS[1] + cluster_watch.SILENCE_SECONDS < 60


def test_an_outage_is_said_and_what_was_edited_meanwhile_is_applied_once(
    faulty: FaultProxy,
    worker: None,
    watchers: Watchers,
    create: Callable[..., Deployment],
    alice: User,
    eu: Cluster,
) -> None:
    deployment = create()
    until(lambda: is_applied(deployment))

    faulty.refuse()
    until(lambda: row(deployment).cluster.unreachable_since is not None, 60)
    assert row(deployment).cluster.last_error
    for number in range(1, 4):
        update_config(
            actor=alice,
            deployment=row(deployment),
            configuration=replace(CONFIGURATION, description=f"Edit {number}"),
            base_revision_number=number,
        )
    time.sleep(3)
    faulty.forget_calls()
    faulty.accept()
    took = until(lambda: is_applied(deployment))

    assert took < 60
    found = row(deployment)
    assert found.applied is not None
    assert found.applied.number == 4
    inventories = [call for call in faulty.writes() if "astro-portal-inventory" in call.path]
    assert len({call.path for call in inventories}) == 1
    assert Operation.objects.filter(state="superseded").count() == 2


def test_a_refused_credential_is_no_hot_loop_and_a_new_one_is_used_at_once(
    faulty: FaultProxy,
    worker: None,
    watchers: Watchers,
    create: Callable[..., Deployment],
    eu: Cluster,
) -> None:
    deployment = create()
    until(lambda: is_applied(deployment))
    good = faulty.connection

    use(Cluster.objects.get(pk=eu.pk), replace(good, token="expired"))
    until(lambda: row(deployment).cluster.unreachable_since is not None, 60)
    faulty.forget_calls()
    time.sleep(10)
    assert faulty.count() <= 12
    assert "credential" in row(deployment).cluster.last_error

    use(Cluster.objects.get(pk=eu.pk), good)
    Cluster.objects.update(unreachable_since=None, blind_until=None, failures=0, last_error="")

    assert until(lambda: bool(watchers._watching) and is_fresh(watchers), 30) < 30
    assert breaker.due_probes() == []
