"""All Deployments are evaluated from their rows: few statements, two workers, nothing lost."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.dataplane.fake.plane import FakePlane
from apps.deployments.models import Deployment, Phase
from apps.observability.incidents import evaluation
from apps.observability.incidents.kinds import Severity
from apps.observability.incidents.models import Incident, IncidentEvent
from tests.observability.incidents import NOW, component, make_incident, observe

Make = Callable[..., Deployment]


def evaluate(times: int = 1, *, at: datetime = NOW) -> datetime:
    """Evaluate every 30 seconds and return when the next is due."""
    for _ in range(times):
        evaluation.evaluate_all(now=at)
        at += timedelta(seconds=30)
    return at


def test_it_opens_is_counted_and_closes(deployment: Deployment) -> None:
    observe(deployment, import_errors=2)

    at = evaluate(3)

    incident = Incident.objects.get()
    deployment.refresh_from_db()
    assert (incident.kind, incident.opened_at) == ("import-errors", NOW + timedelta(seconds=30))
    assert incident.last_seen_at == at - timedelta(seconds=30)
    assert (deployment.open_incidents, deployment.incident_severity) == (1, Severity.WARNING)

    observe(deployment, at=at)
    evaluate(4, at=at)

    incident.refresh_from_db()
    deployment.refresh_from_db()
    assert incident.closed_at is not None
    assert (deployment.open_incidents, deployment.incident_severity) == (0, 0)
    assert [event.what for event in incident.events.order_by("pk")] == ["opened", "closed"]


def test_the_same_thing_later_is_another_incident(deployment: Deployment) -> None:
    at = NOW
    for found in (1, 0, 1):
        observe(deployment, at=at, import_errors=found)
        at = evaluate(5, at=at)

    incidents = Incident.objects.order_by("pk")
    assert [incident.is_open for incident in incidents] == [False, True]


def test_evaluating_costs_the_same_for_few_deployments_and_for_many(make_deployment: Make) -> None:
    def cost(number: int) -> int:
        for one in [make_deployment() for _ in range(number)]:
            observe(one, import_errors=1, components=component("scheduler", state="crashing"))
        with CaptureQueriesContext(connection) as queries:
            evaluate(3, at=NOW)
        return len(queries)

    few = cost(1)
    Incident.objects.all().delete()

    assert cost(20) == few
    assert few <= 3 * 10


def test_in_batches_everything_is_evaluated(
    make_deployment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "BATCH", 2)
    for _ in range(5):
        observe(make_deployment(), import_errors=1)

    assert evaluation.evaluate_all(now=NOW) == 5
    assert Incident.objects.count() == 5


def test_nothing_is_asked_of_a_plane(deployment: Deployment, plane: type[FakePlane]) -> None:
    observe(deployment, import_errors=1)

    evaluate(2)

    assert plane.store.calls == []


def test_a_deployment_that_goes_takes_its_incidents_along(make_deployment: Make) -> None:
    going, gone = make_deployment(), make_deployment()
    first, second = make_incident(going), make_incident(gone)
    Deployment.objects.filter(pk=going.pk).update(phase=Phase.DELETING)
    Deployment.objects.filter(pk=gone.pk).update(phase=Phase.DELETED)

    evaluate()

    for incident in (first, second):
        incident.refresh_from_db()
        assert incident.closed_at == NOW
        assert incident.events.filter(note="The Deployment is being deleted.").exists()


def test_a_cluster_that_is_away_closes_nothing(deployment: Deployment) -> None:
    observe(deployment, import_errors=1)
    at = evaluate(3)
    cluster = deployment.cluster
    cluster.unreachable_since = at
    cluster.save(update_fields=["unreachable_since"])

    at = evaluate(40, at=at)

    assert set(Incident.objects.open().values_list("kind", flat=True)) == {
        "import-errors",
        "unreachable",
    }

    cluster.unreachable_since = None
    cluster.save(update_fields=["unreachable_since"])
    observe(deployment, at=at)
    evaluate(6, at=at)

    assert not Incident.objects.open().exists()


def test_a_row_of_another_version_stops_no_other(
    make_deployment: Make, caplog: pytest.LogCaptureFixture
) -> None:
    strange, good = make_deployment(), make_deployment()
    observe(good, import_errors=1)
    strange.wanted.config = {"queues": 3}
    strange.wanted.save(update_fields=["config"])
    kept = make_incident(strange)

    evaluate(3)

    kept.refresh_from_db()
    assert kept.is_open
    assert Incident.objects.open().filter(deployment=good).exists()
    assert "not evaluated" in caplog.text


def test_what_a_person_did_meanwhile_is_kept(deployment: Deployment, alice: Any) -> None:
    observe(deployment, import_errors=1)
    at = evaluate(2)
    Incident.objects.update(acknowledged_by=alice, acknowledged_at=at, silenced_at=at)

    evaluate(2, at=at)

    incident = Incident.objects.get()
    deployment.refresh_from_db()
    assert (incident.acknowledged_by, incident.silenced_at) == (alice, at)
    assert deployment.open_incidents == 0


def test_a_silence_that_ends_counts_again(deployment: Deployment) -> None:
    observe(deployment, import_errors=1)
    at = evaluate(2)
    Incident.objects.update(silenced_at=at, silenced_until=at + timedelta(minutes=1))

    at = evaluate(1, at=at)
    deployment.refresh_from_db()
    assert deployment.open_incidents == 0

    evaluate(3, at=at)
    deployment.refresh_from_db()
    assert deployment.open_incidents == 1


def test_there_is_one_unclosed_incident_for_each_subject(deployment: Deployment) -> None:
    make_incident(deployment)

    with pytest.raises(IntegrityError), transaction.atomic():
        make_incident(deployment)

    make_incident(deployment, kind="drift")
    make_incident(deployment, subject="gpu")
    make_incident(deployment, closed_at=NOW)


def test_closed_incidents_are_kept_for_as_long_as_the_setting_says(
    deployment: Deployment, settings: Any
) -> None:
    settings.INCIDENT_DAYS = 30
    old, recent = (
        make_incident(deployment, closed_at=NOW - timedelta(days=days)) for days in (31, 29)
    )
    still_open = make_incident(deployment, opened_at=NOW - timedelta(days=400))

    assert evaluation.forget_closed(now=NOW) == 1

    assert set(Incident.objects.all()) == {recent, still_open}
    assert not IncidentEvent.objects.filter(incident_id=old.pk).exists()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_open_each_incident_once(make_deployment: Make) -> None:
    for _ in range(30):
        observe(make_deployment(), import_errors=1, exists=True)
    failed: list[Exception] = []

    def work(number: int) -> None:
        try:
            evaluate(4, at=NOW + timedelta(milliseconds=number))
        except Exception as error:  # noqa: BLE001 - told below
            failed.append(error)
        finally:
            connection.close()

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert failed == []
    assert Incident.objects.count() == 30
    assert Incident.objects.open().count() == 30
    assert IncidentEvent.objects.count() == 30
