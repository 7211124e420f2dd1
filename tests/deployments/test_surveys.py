"""Looks at all Deployments of a cluster at once: what they write, and whom they wake."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.clusters.models import Cluster
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.status import Drift, Notice
from apps.deployments import tasks
from apps.deployments.models import ClusterLease, Deployment, Health
from apps.deployments.pages.queries import observation_of
from apps.deployments.reconciling import cluster_jobs, cluster_leases, surveys
from apps.deployments.reconciling.surveys import Recorded
from tests.deployments.conftest import drive
from tests.deployments.test_clusters import GONE, IMAGE, probe_now
from tests.deployments.test_reconciler import seconds_until_due

pytestmark = pytest.mark.django_db
Make = Callable[..., Deployment]
SEVERAL = {"queues": [{"name": "default", "workers_ready": 3, "workers_wanted": 3}]}


def due_at(chore: str) -> float:
    row = ClusterLease.objects.annotate(clock=Now()).get(purpose=chore)
    assert row.until is not None
    return (row.until - row.clock).total_seconds()


def sent_by_sweep(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    sent: list[Any] = []
    monkeypatch.setattr(tasks, "send", sent.extend)
    tasks.sweep()
    return sent


def test_a_survey_of_what_is_as_it_was_writes_nothing(distant: Make, remote: Cluster) -> None:
    for number in range(3):
        distant(f"etl-{number}")
    surveys.survey(cluster_id=remote.pk)

    with CaptureQueriesContext(connection) as queries:
        recorded = surveys.survey(cluster_id=remote.pk)

    assert recorded == Recorded(written=0, woken=0)
    assert not [query for query in queries if query["sql"].lstrip().startswith("UPDATE")]
    assert len(queries) <= 4


def test_news_of_many_deployments_are_one_statement(
    distant: Make, remote: Cluster, plane: type[FakePlane]
) -> None:
    made = [distant(f"etl-{number}") for number in range(3)]
    for deployment in made:
        airflow = plane.store.airflows[deployment.ref]
        airflow.health, airflow.message = "unhealthy", "The scheduler crashes."

    with CaptureQueriesContext(connection) as queries:
        recorded = surveys.survey(cluster_id=remote.pk)

    assert recorded == Recorded(written=3, woken=3)
    assert len([query for query in queries if "unnest" in query["sql"]]) == 1
    row = Deployment.objects.get(pk=made[0].pk)
    assert (row.health, row.health_message) == (Health.UNHEALTHY, "The scheduler crashes.")
    assert row.health_since == row.observed_at
    assert seconds_until_due(row) <= 0


def test_an_unchanged_row_is_written_again_after_a_while(distant: Make, remote: Cluster) -> None:
    distant()
    earlier = timezone.now() - timedelta(minutes=6)
    Deployment.objects.update(observed_at=earlier)

    assert surveys.survey(cluster_id=remote.pk).written == 1


def test_an_older_look_changes_nothing(
    distant: Make, remote: Cluster, plane: type[FakePlane]
) -> None:
    deployment = distant()
    plane.store.airflows[deployment.ref].health = "unhealthy"
    Deployment.objects.update(observed_at=timezone.now() + timedelta(seconds=5))

    assert surveys.survey(cluster_id=remote.pk) == Recorded()


def test_drift_wakes_the_reconciler_and_ends_put_back(
    distant: Make, remote: Cluster, plane: type[FakePlane]
) -> None:
    deployment = distant()
    airflow = plane.store.airflows[deployment.ref]
    airflow.drift = (IMAGE,)

    surveys.survey(cluster_id=remote.pk)

    row = Deployment.objects.get(pk=deployment.pk)
    seen = observation_of(row)
    assert seen is not None
    assert seen.drift == (Drift(object="Deployment/scheduler"),)
    assert seconds_until_due(row) <= 0
    drive(deployment)
    assert airflow.drift == ()


@pytest.mark.parametrize(("seconds", "is_left"), [(-300, True), (30, True), (90, False)])
def test_what_a_cluster_does_at_the_time_of_a_turn_is_no_drift(
    distant: Make, remote: Cluster, plane: type[FakePlane], seconds: int, is_left: bool
) -> None:
    deployment = distant()
    airflow = plane.store.airflows[deployment.ref]
    airflow.drift = (IMAGE,)
    at = timezone.now() + timedelta(seconds=seconds)
    Deployment.objects.filter(pk=deployment.pk).update(hibernation_turns_at=at)

    drive(deployment)

    assert (airflow.drift == (IMAGE,)) is is_left


def test_drift_that_is_left_alone_wakes_once_and_keeps_its_fields(
    distant: Make, remote: Cluster, plane: type[FakePlane]
) -> None:
    deployment = distant()
    assert deployment.wanted is not None
    deployment.wanted.config["corrects_drift"] = False
    deployment.wanted.save(update_fields=["config"])
    plane.store.airflows[deployment.ref].drift = (IMAGE,)

    assert surveys.survey(cluster_id=remote.pk).woken == 1
    drive(deployment)
    assert surveys.survey(cluster_id=remote.pk).woken == 0

    seen = observation_of(Deployment.objects.get(pk=deployment.pk))
    assert seen is not None
    assert seen.drift == (IMAGE,)


def test_what_is_gone_from_the_cluster_is_said_and_made_again(
    distant: Make, remote: Cluster, plane: type[FakePlane]
) -> None:
    deployment = distant()
    del plane.store.airflows[deployment.ref]

    recorded = surveys.survey(cluster_id=remote.pk)

    assert recorded == Recorded(written=1, woken=1)
    row = Deployment.objects.get(pk=deployment.pk)
    assert row.health_message == "Nothing of this Deployment is on the cluster."
    assert drive(deployment).health == Health.HEALTHY


def test_after_a_failure_a_survey_wakes_nobody(
    distant: Make, remote: Cluster, plane: type[FakePlane]
) -> None:
    deployment = distant()
    Deployment.objects.update(failures=3, last_error="The quota is used up.")
    plane.store.airflows[deployment.ref].health = "unhealthy"

    assert surveys.survey(cluster_id=remote.pk) == Recorded(written=1, woken=0)


def test_notices_stay_when_a_look_does_not_ask_for_them(
    distant: Make, remote: Cluster, plane: type[FakePlane]
) -> None:
    deployment = distant()
    notice = Notice(
        object="Pod/scheduler-1",
        reason="FailedScheduling",
        message="0/3 nodes are available.",
        count=4,
        last_at=timezone.now(),
    )
    airflow = plane.store.airflows[deployment.ref]
    airflow.notices = (notice,)
    surveys.survey(cluster_id=remote.pk)
    airflow.notices = None
    airflow.health = "unhealthy"

    surveys.survey(cluster_id=remote.pk)

    seen = observation_of(Deployment.objects.get(pk=deployment.pk))
    assert seen is not None
    assert seen.notices is not None
    assert replace(seen.notices[0], last_at=notice.last_at) == notice


def test_a_survey_that_reaches_nobody_counts_for_the_breaker(
    distant: Make, remote: Cluster, plane: type[FakePlane]
) -> None:
    distant()
    plane.store.fail("survey", GONE, times=None)

    for _ in range(3):
        surveys.survey(cluster_id=remote.pk)

    remote.refresh_from_db()
    assert (remote.failures, remote.unreachable_since) == (1, None)
    assert [method for method, _ in plane.store.calls].count("survey") == 1


def test_one_worker_surveys_a_cluster_each_minute(
    distant: Make, remote: Cluster, plane: type[FakePlane], monkeypatch: pytest.MonkeyPatch
) -> None:
    distant()

    (job, arguments, queue) = sent_by_sweep(monkeypatch)[0]
    assert sent_by_sweep(monkeypatch) == []
    assert (job, arguments[:2], queue) == (
        tasks.run_cluster_job,
        ["survey", remote.pk],
        "reconcile.0",
    )
    job(*arguments)
    assert ("survey", "") in plane.store.calls
    assert 53 < due_at("survey") <= 66
    plane.store.calls.clear()
    job(*arguments)
    assert plane.store.calls == []


def test_a_lost_message_of_a_survey_costs_twenty_seconds(distant: Make, remote: Cluster) -> None:
    distant()

    assert len(cluster_jobs.take_due("survey")) == 1

    assert 19 < due_at("survey") <= 20


def survey_while_watched(cluster: Cluster) -> None:
    assert cluster_leases.hold(cluster_id=cluster.pk, purpose="watch", seconds=30)
    chore = cluster_jobs.take_due("survey")[0]
    cluster_jobs.run(purpose="survey", cluster_id=chore.cluster_id, token=chore.token)


def test_surveys_are_rare_where_watches_see_everything(distant: Make, remote: Cluster) -> None:
    distant()

    survey_while_watched(remote)

    ClusterLease.objects.filter(purpose="survey").update(until=Now() - timedelta(seconds=200))

    assert cluster_jobs.take_due("survey") == []

    ClusterLease.objects.filter(purpose="survey").update(until=Now() - timedelta(seconds=241))
    assert len(cluster_jobs.take_due("survey")) == 1


def test_a_survey_is_due_at_once_when_the_watches_have_ended(
    distant: Make, remote: Cluster
) -> None:
    distant()
    survey_while_watched(remote)
    ClusterLease.objects.filter(purpose="survey").update(until=Now() - timedelta(seconds=1))
    assert cluster_jobs.take_due("survey") == []

    ClusterLease.objects.filter(purpose="watch").update(until=Now() - timedelta(seconds=1))

    assert len(cluster_jobs.take_due("survey")) == 1


def test_a_worker_that_is_killed_in_a_survey_costs_a_minute(
    distant: Make, remote: Cluster, plane: type[FakePlane], monkeypatch: pytest.MonkeyPatch
) -> None:
    distant()
    chore = cluster_jobs.take_due("survey")[0]
    monkeypatch.setattr(cluster_jobs, "RENEWED_SECONDS", 0.0)
    left: list[float] = []

    def survey(_plane: FakePlane) -> Any:
        left.append(due_at("survey"))
        ClusterLease.objects.filter(purpose="survey").update(until=Now() + timedelta(seconds=2))
        yield from real_survey(_plane)
        left.append(due_at("survey"))

    real_survey = FakePlane.survey
    monkeypatch.setattr(FakePlane, "survey", survey)

    cluster_jobs.run(purpose="survey", cluster_id=chore.cluster_id, token=chore.token)

    assert all(58 < seconds <= 60 for seconds in left)
    assert len(left) == 2


def test_what_answers_again_is_surveyed_at_once(
    distant: Make, remote: Cluster, plane: type[FakePlane]
) -> None:
    deployment = distant()
    chore = cluster_jobs.take_due("survey")[0]
    cluster_jobs.run(purpose="survey", cluster_id=chore.cluster_id, token=chore.token)
    plane.store.fail("observe", GONE)
    drive(deployment)
    assert cluster_jobs.take_due("survey") == []

    probe_now(remote)

    assert len(cluster_jobs.take_due("survey")) == 1


def test_busy_workers_are_marked_only_where_there_are_several(
    distant: Make, remote: Cluster, plane: type[FakePlane]
) -> None:
    several, _ = distant("etl-1"), distant("etl-2")
    assert cluster_jobs.take_due("marks") == []
    Deployment.objects.filter(pk=several.pk).update(observation=SEVERAL)
    chore = cluster_jobs.take_due("marks")[0]

    cluster_jobs.run(purpose="marks", cluster_id=chore.cluster_id, token=chore.token)

    assert [ref for method, ref in plane.store.calls if method == "mark_busy_workers"] == [
        several.ref
    ]
    assert 13 < due_at("marks") <= 17


def test_a_cluster_that_is_left_alone_has_no_chores(distant: Make, remote: Cluster) -> None:
    distant()
    Cluster.objects.filter(pk=remote.pk).update(blind_until=Now())

    assert cluster_jobs.take_due("survey") == []


def test_a_lease_is_held_by_one_and_renewed_only_while_it_lasts(remote: Cluster) -> None:
    token = cluster_leases.hold(cluster_id=remote.pk, purpose="watch", seconds=30)
    assert token is not None
    assert cluster_leases.hold(cluster_id=remote.pk, purpose="watch", seconds=30) is None
    assert cluster_leases.renew(tokens=[token], seconds=30) == {token}
    ClusterLease.objects.update(until=Now() - timedelta(seconds=1))

    assert cluster_leases.renew(tokens=[token], seconds=30) == set()
    assert cluster_leases.hold(cluster_id=remote.pk, purpose="watch", seconds=30) is not None
