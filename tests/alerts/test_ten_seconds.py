"""From what the portal stored to the message in the outbox: ten seconds, beside what must hold."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.alerts import notifier
from apps.alerts.deliveries.models import Delivery
from apps.alerts.notifier import Notifier
from apps.clusters.models import Cluster
from apps.deployments.models import Deployment, Phase, Revision, RevisionState
from apps.observability.collecting import beside, collector, turns
from apps.observability.history.models import Collection
from apps.observability.incidents import changed
from apps.observability.incidents.changed import ChangedDeployments
from apps.observability.incidents.detectors.portal import CREDENTIAL_SOON
from apps.observability.incidents.detectors.seen import OLD_ON_THIS_MACHINE
from apps.observability.incidents.kinds import KINDS
from apps.observability.incidents.models import Incident
from apps.organizations.models import Workspace
from tests.alerts.examples import make_channel, make_rule
from tests.observability.incidents import NOW, component, observe

pytestmark = pytest.mark.django_db
AT_MOST = 10
Happens = Callable[[Deployment, datetime], object]


@dataclass
class Portal:
    """A notifier with a clock that the test moves, second by second."""

    working: Notifier
    now: datetime = NOW

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += timedelta(seconds=1)
            self.working.work()

    def seconds_until(self, event: str, *, at_most: int) -> int:
        for second in range(1, at_most + 1):
            self.run(1)
            if Delivery.objects.filter(event=event).exists():
                return second
        raise AssertionError(f"Nothing was told within {at_most} seconds.")


@pytest.fixture
def portal(
    workspace: Workspace,
    alice: User,
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
) -> Portal:
    make_rule(workspace, "incident", channels=[make_channel(workspace, alice)])
    observe(deployment, at=NOW)
    made = Portal(Notifier())
    clock = SimpleNamespace(monotonic=lambda: (made.now - NOW).total_seconds() + 1000)
    monkeypatch.setattr(notifier, "time", clock)
    monkeypatch.setattr(notifier, "timezone", SimpleNamespace(now=lambda: made.now))
    return made


def _revision_fails(deployment: Deployment, at: datetime) -> None:
    Revision.objects.filter(pk=deployment.wanted_id).update(state=RevisionState.FAILED, failure="x")


def _is_put_aside(deployment: Deployment, at: datetime) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(quarantined_at=at, last_error="Killed.")


def _credential_ends_soon(deployment: Deployment, at: datetime) -> None:
    ends = at + CREDENTIAL_SOON + timedelta(seconds=3)
    Cluster.objects.filter(pk=deployment.cluster_id).update(credential_expires_at=ends)


def _ca_ends_soon(deployment: Deployment, at: datetime) -> None:
    ends = at + CREDENTIAL_SOON + timedelta(seconds=3)
    Cluster.objects.filter(pk=deployment.cluster_id).update(ca_expires_at=ends)


def _database_ca_ends_soon(deployment: Deployment, at: datetime) -> None:
    ends = at + CREDENTIAL_SOON + timedelta(seconds=3)
    Cluster.objects.filter(pk=deployment.cluster_id).update(database_ca_expires_at=ends)


def _cluster_is_away(deployment: Deployment, at: datetime) -> None:
    Cluster.objects.filter(pk=deployment.cluster_id).update(unreachable_since=at, last_error="x")


def _scheduler_crashes(deployment: Deployment, at: datetime) -> None:
    observe(deployment, at=at, components=component("scheduler", state="crashing"))


def _memory_is_short(deployment: Deployment, at: datetime) -> None:
    said = {"state": "crashing", "detail": "It exceeded its memory limit of 512 MiB."}
    observe(deployment, at=at, components=component("triggerer", **said))


def _is_unhealthy(deployment: Deployment, at: datetime) -> None:
    observe(deployment, at=at, health="unhealthy", message="The API server does not answer.")


def _code_cannot_be_imported(deployment: Deployment, at: datetime) -> None:
    observe(deployment, at=at, import_errors=1)


def _passes_fail(deployment: Deployment, at: datetime) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(failures=1, last_error="Quota.")


@pytest.mark.parametrize(
    ("kind", "happens"),
    [
        ("revision-failed", _revision_fails),
        ("stopped-retrying", _is_put_aside),
        ("credential-ends", _credential_ends_soon),
        ("credential-ends", _ca_ends_soon),
        ("credential-ends", _database_ca_ends_soon),
        ("out-of-memory", _memory_is_short),
        ("unreachable", _cluster_is_away),
        ("crash-loop", _scheduler_crashes),
        ("unhealthy", _is_unhealthy),
        ("import-errors", _code_cannot_be_imported),
        ("delayed", _passes_fail),
    ],
)
def test_what_is_stored_is_told_within_ten_seconds_beside_its_hold(
    deployment: Deployment, portal: Portal, kind: str, happens: Happens
):
    portal.run(7)
    happens(deployment, portal.now)

    took = portal.seconds_until("opened", at_most=400)

    assert Incident.objects.open().get().kind == kind
    hold = KINDS[kind].opens.seconds
    assert hold <= took <= hold + AT_MOST


def test_what_an_airflow_tells_is_told_within_a_minute_at_the_slowest():
    """A run ends just after it was asked; the next answer takes as long as it may."""
    asked, answered = turns.EVERY_SECONDS, collector.DEADLINE_SECONDS
    noticed = collector.TICK_SECONDS + notifier.SWEEP_SECONDS + beside.TICK_SECONDS

    assert asked + answered + noticed < 60


def test_that_it_is_over_is_told_as_soon(deployment: Deployment, portal: Portal):
    _revision_fails(deployment, portal.now)
    portal.seconds_until("opened", at_most=AT_MOST)
    Revision.objects.filter(pk=deployment.wanted_id).update(state=RevisionState.APPLIED)

    assert portal.seconds_until("resolved", at_most=AT_MOST)


def test_an_observation_that_grows_old_is_told_by_the_clock_alone(
    deployment: Deployment, portal: Portal
):
    portal.run(int(OLD_ON_THIS_MACHINE.total_seconds()))
    assert not Incident.objects.exists()

    hold = KINDS["unreachable"].opens.seconds
    assert portal.seconds_until("opened", at_most=hold + AT_MOST + 1) > hold


def test_a_flicker_is_told_by_none_of_the_many_looks(deployment: Deployment, portal: Portal):
    for _ in range(6):
        observe(deployment, at=portal.now, health="unhealthy")
        portal.run(12)
        observe(deployment, at=portal.now)
        portal.run(12)

    assert not Delivery.objects.exists()
    assert not Incident.objects.exclude(opened_at=None).exists()


def test_at_rest_nothing_is_written_and_two_queries_look(deployment: Deployment):
    observe(deployment, at=NOW)
    looking = ChangedDeployments()
    assert looking.evaluate(now=NOW) == 1

    with CaptureQueriesContext(connection) as queries:
        assert looking.evaluate(now=NOW + timedelta(seconds=5)) == 0

    assert len(queries) == 2
    assert all(one["sql"].startswith("SELECT") for one in queries)


def test_only_what_changed_is_evaluated(make_deployment: Callable[..., Deployment]):
    some = [make_deployment() for _ in range(4)]
    for one in some:
        observe(one, at=NOW)
        Collection.objects.create(deployment=one, next_at=NOW)
    looking, at = ChangedDeployments(), NOW
    assert looking.evaluate(now=at) == 4

    Collection.objects.filter(deployment=some[0]).update(answered_at=NOW)
    observe(some[1], at=NOW + timedelta(seconds=4))
    Deployment.objects.filter(pk=some[2].pk).update(phase=Phase.DELETED)

    assert looking.evaluate(now=NOW + timedelta(seconds=5)) == 2
    assert looking.evaluate(now=NOW + timedelta(seconds=10)) == 0
    assert some[2].pk not in looking._looked_at


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_what_another_worker_evaluates_is_looked_at_again(deployment: Deployment):
    observe(deployment, at=NOW)
    looking = ChangedDeployments()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext('portal.incidents'))")
        assert looking.evaluate(now=NOW) == 0
        assert looking.is_behind
    other.close()

    assert looking.evaluate(now=NOW) == 1
    assert not looking.is_behind


def test_while_another_worker_evaluates_it_is_tried_again_each_second(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
):
    tried: list[datetime] = []

    def is_free(**_: object) -> bool:
        tried.append(portal.now)
        return len(tried) > 2

    monkeypatch.setattr(changed, "evaluate_some", is_free)

    portal.run(8)

    assert [(at - NOW).seconds for at in tried] == [1, 2, 3]


@pytest.mark.parametrize(
    "error", [ValueError("a row of another version"), OperationalError("lock timeout")]
)
def test_a_fault_in_evaluating_keeps_no_alert_from_being_told(
    portal: Portal,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
):
    def fail(**_: object) -> bool:
        raise error

    monkeypatch.setattr(changed, "evaluate_some", fail)
    swept: list[object] = []
    monkeypatch.setattr(notifier, "sweep", lambda **told: swept.append(told) or notifier.Swept())

    portal.run(6)

    assert len(swept) == 2
    assert "incidents not evaluated" in caplog.text
