"""Fault 17: a cluster is away for an hour. The test moves the clock: it moves all times into the
past and lets one worker do what the sweeper finds due.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from django.db.models import DateTimeField, F
from django.db.models.functions import Now
from django.test import Client

from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.dataplane.errors import Unreachable
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.deployments import tasks
from apps.deployments.editing.services import create_deployment, update_config
from apps.deployments.models import ClusterLease, Deployment, Operation, OperationStep
from apps.organizations.models import Organization, Workspace
from tests.clusters.material import registered
from tests.deployments.conftest import FAR, FAR_QUEUE, drive

pytestmark = [pytest.mark.slow, pytest.mark.django_db]
TICK_SECONDS, HOUR_SECONDS = 10, 3600
NEAR_SERVER = "https://10.20.30.41:6443"
GONE = "The cluster eu-1 does not answer."
MOVED = (Cluster, ClusterLease, Deployment, Operation, OperationStep)


class Link:
    """The way to one cluster: it counts the calls, and lets none through when it is cut."""

    cut: ClassVar[set[str]] = set()
    calls: ClassVar[Counter[tuple[str, str]]] = Counter()

    def __init__(self, server: str) -> None:
        self.server = server

    def enter(self, method: str, ref: str = "") -> None:
        self.calls[self.server, method] += 1
        if self.server in self.cut:
            raise Unreachable(GONE)
        FakePlane.store.enter(method, ref)

    def __getattr__(self, name: str) -> Any:
        return getattr(FakePlane.store, name)


class FarPlane(FakePlane):
    """A fake cluster at the end of its link."""

    def __init__(self, config: ClusterConfig) -> None:
        self.store = Link(config.connection.server)  # type: ignore[misc]


class Clock:
    """Time that passes when the test says so, and one worker that is always there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[Any] = []
        monkeypatch.setattr(tasks, "send", self.sent.extend)

    def tick(self) -> None:
        for model in MOVED:
            times = [
                field.name
                for field in model._meta.fields
                if isinstance(field, DateTimeField) and field.name != "created_at"
            ]
            model.objects.update(
                **{name: F(name) - timedelta(seconds=TICK_SECONDS) for name in times}
            )
        tasks.sweep()
        while self.sent:
            job, arguments, _queue = self.sent.pop(0)
            job(*arguments)

    def ticks_until(self, condition: Callable[[], bool], most: int) -> int:
        for ticks in range(1, most + 1):
            self.tick()
            if condition():
                return ticks
        pytest.fail(f"not within {most} ticks")


@pytest.fixture(autouse=True)
def _far_plane(settings: Any, plane: type[FakePlane]) -> Iterator[None]:
    here = f"{__name__}.FarPlane"
    settings.DATA_PLANES = settings.DATA_PLANES | {"kubernetes": here}
    Link.calls.clear()
    yield
    Link.cut.clear()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def edit(alice: User) -> Callable[[Deployment], int]:
    """Edit a Deployment and return the number of its newest revision."""

    def make(deployment: Deployment) -> int:
        row = Deployment.objects.select_related("wanted").get(pk=deployment.pk)
        assert row.wanted is not None
        number = row.wanted.number
        queue = replace(FAR_QUEUE, max_workers=2 + number)
        update_config(
            actor=alice,
            deployment=row,
            configuration=replace(FAR, queues=(queue,)),
            base_revision_number=number,
        )
        return number + 1

    return make


def is_applied(deployment: Deployment, number: int) -> Callable[[], bool]:
    return Deployment.objects.filter(pk=deployment.pk, applied__number=number).exists


def away_seconds(cluster: Cluster) -> float:
    row = Cluster.objects.annotate(clock=Now()).get(pk=cluster.pk)
    assert row.unreachable_since is not None
    return (row.clock - row.unreachable_since).total_seconds()


def test_a_cluster_that_is_away_for_an_hour_costs_probes_and_then_one_apply(
    distant: Callable[..., Deployment],
    remote: Cluster,
    alice: User,
    workspace: Workspace,
    organization: Organization,
    client_of: Callable[[User], Client],
    clock: Clock,
    edit: Callable[[Deployment], int],
) -> None:
    edited, *others = (distant(f"etl-{number}") for number in range(3))
    near = registered(organization, name="eu-2", server=NEAR_SERVER)
    operation = create_deployment(
        actor=alice, workspace=workspace, cluster=near, name="near", configuration=FAR
    )
    neighbor = drive(operation.deployment)
    usual = clock.ticks_until(is_applied(neighbor, edit(neighbor)), 3)
    clock.tick()

    Link.calls.clear()
    Link.cut.add(remote.server)
    delays = []
    for tick in range(HOUR_SECONDS // TICK_SECONDS):
        if tick % 120 == 30:
            edit(edited)
        if tick % 30 == 15:
            delays.append(clock.ticks_until(is_applied(neighbor, edit(neighbor)), 3))
        else:
            clock.tick()

    page = client_of(alice).get(f"/d/{edited.ref}/").content.decode()
    assert "Cluster eu-1 has been unreachable since" in page
    assert GONE in page
    away = away_seconds(remote)
    assert away > HOUR_SECONDS - 90
    calls = {name: count for (server, name), count in Link.calls.items() if server != NEAR_SERVER}
    # At most one call finds out. From then on it is probed at the longest wait, less its spread.
    assert sum(count for name, count in calls.items() if name != "reach") == 1
    assert away / 50 < calls["reach"] < away / 30 + 8
    assert delays == [usual] * len(delays)

    Link.calls.clear()
    Link.cut.clear()
    seen_again = Deployment.objects.filter(
        cluster=remote, observed_at__gt=Now() - timedelta(seconds=60)
    )
    clock.ticks_until(
        lambda: is_applied(edited, 4)() and seen_again.count() == 3, 60 // TICK_SECONDS
    )
    for _ in range(6):
        clock.tick()

    assert Link.calls[remote.server, "apply"] == 1
    assert not Cluster.objects.filter(unreachable_since__isnull=False).exists()
    assert all(is_applied(one, 1)() for one in others)
