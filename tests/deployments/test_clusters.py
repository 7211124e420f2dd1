"""Kubernetes clusters and the loop: slots, the circuit breaker, fencing and drift, with a fake."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.clusters.models import Cluster
from apps.dataplane import fence
from apps.dataplane.errors import Temporary, Unreachable
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.status import Drift
from apps.deployments import tasks
from apps.deployments.editing.services import create_deployment, update_config
from apps.deployments.models import ClusterLease, Deployment, Health, RevisionState
from apps.deployments.pages.queries import observation_of
from apps.deployments.reconciling import breaker, lifecycle, surveys
from apps.deployments.reconciling.reconciler import reconcile
from apps.organizations.models import Organization, Workspace
from tests.clusters.material import registered
from tests.deployments.conftest import FAR, FAR_QUEUE, drive
from tests.deployments.test_reconciler import n_applies, seconds_until_due

pytestmark = pytest.mark.django_db
GONE = Unreachable("The cluster eu-1 does not answer.")
IMAGE = Drift(object="Deployment/scheduler", fields=("spec.template.spec.containers[0].image",))
FAR_WIDER = replace(FAR, queues=(replace(FAR_QUEUE, max_workers=5),))
Make = Callable[..., Deployment]


def make_due(*deployments: Deployment) -> None:
    rows = Deployment.objects.filter(pk__in=[one.pk for one in deployments])
    rows.update(next_reconcile_at=Now() - timedelta(seconds=1))


def due_ids(**limits: Any) -> list[int]:
    return [one.deployment_id for one in lifecycle.due(limit=10, **limits)]


def let_probes_be_due(cluster: Cluster) -> None:
    Cluster.objects.filter(pk=cluster.pk).update(blind_until=Now() - timedelta(seconds=1))


def probe_now(cluster: Cluster) -> None:
    let_probes_be_due(cluster)
    breaker.probe(cluster_ids=[pk for pk, _ in breaker.due_probes()])


def test_two_passes_of_a_cluster_run_at_a_time_and_the_third_waits(
    distant: Make, running: Deployment
) -> None:
    first, second, third = (distant(f"etl-{number}") for number in range(3))

    leases = [lifecycle.claim(deployment_id=one.pk) for one in (first, second, third, running)]

    assert [lease is not None for lease in leases] == [True, True, False, True]
    assert ClusterLease.objects.filter(token__isnull=False).count() == 2


def test_a_slot_is_free_again_when_its_pass_ends_or_its_worker_died(
    distant: Make, remote: Cluster, plane: type[FakePlane]
) -> None:
    deployment = distant()
    assert not ClusterLease.objects.filter(token__isnull=False).exists()
    plane.store.fail("observe", RuntimeError("a bug"))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError):
        drive(deployment)
    assert not ClusterLease.objects.filter(token__isnull=False).exists()

    ClusterLease.objects.update(until=Now() - timedelta(seconds=1))

    assert lifecycle.claim(deployment_id=deployment.pk) is not None


def test_the_sweeper_hints_no_more_of_a_cluster_than_it_has_free_slots(
    distant: Make, running: Deployment
) -> None:
    far = [distant(f"etl-{number}") for number in range(4)]
    make_due(*far, running)
    assert lifecycle.claim(deployment_id=far[0].pk) is not None

    found = due_ids()

    assert running.pk in found
    assert len(found) == 2


def test_the_end_of_a_pass_brings_the_next_of_the_cluster_and_a_person_goes_first(
    distant: Make, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(tasks, "send", sent.extend)
    first, second, edited = (distant(f"etl-{number}") for number in range(3))
    make_due(first, second)
    update_config(actor=alice, deployment=edited, configuration=FAR_WIDER, base_revision_number=1)

    tasks.reconcile(first.pk)
    tasks.reconcile(edited.pk)

    assert sent == [
        (tasks.reconcile, [edited.pk], "interactive"),
        (tasks.reconcile, [second.pk], "reconcile.0"),
    ]
    assert not Deployment.objects.get(pk=edited.pk).is_urgent


def test_clusters_are_divided_among_the_queues(
    distant: Make, remote: Cluster, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RECONCILE_SHARDS = 2
    sent: list[Any] = []
    monkeypatch.setattr(tasks, "send", sent.extend)
    deployment = distant()
    make_due(deployment)

    tasks.sweep()

    assert (tasks.reconcile, [deployment.pk], "reconcile.1") in sent


def test_a_cluster_that_does_not_answer_is_left_alone_and_the_second_time_it_is_said(
    distant: Make, remote: Cluster, plane: type[FakePlane]
) -> None:
    first, second = distant("etl-1"), distant("etl-2")
    plane.store.fail("observe", GONE, times=None)
    plane.store.fail("reach", GONE, times=None)

    drive(first)

    remote.refresh_from_db()
    assert (remote.failures, remote.unreachable_since) == (1, None)
    plane.store.calls.clear()
    make_due(first, second)
    assert due_ids() == []
    assert reconcile(deployment_id=second.pk) is None
    assert plane.store.calls == []
    probe_now(remote)
    remote.refresh_from_db()
    assert remote.unreachable_since is not None
    assert remote.last_error == "The cluster eu-1 does not answer."


def test_one_failure_by_chance_costs_seconds_and_is_not_said(
    distant: Make, remote: Cluster, plane: type[FakePlane]
) -> None:
    deployment = distant()
    plane.store.fail("observe", GONE)
    drive(deployment)

    probe_now(remote)

    remote.refresh_from_db()
    assert (remote.failures, remote.last_error, remote.blind_until) == (0, "", None)
    make_due(deployment)
    assert due_ids() == [deployment.pk]


def test_this_machine_has_no_breaker(running: Deployment, plane: type[FakePlane]) -> None:
    plane.store.fail("observe", GONE, times=3)

    drive(running, passes=3)

    assert running.cluster.failures == 0
    assert drive(running).health == Health.HEALTHY


def test_dead_clusters_are_probed_together_later_and_later(
    distant: Make, remote: Cluster, plane: type[FakePlane]
) -> None:
    deployment = distant()
    plane.store.fail("observe", GONE)
    plane.store.fail("reach", GONE, times=None)
    drive(deployment)
    assert breaker.due_probes() == []

    waits = []
    for _ in range(4):
        let_probes_be_due(remote)
        assert breaker.due_probes() == [(remote.pk, remote.shard)]
        assert breaker.due_probes() == []
        breaker.probe(cluster_ids=[remote.pk])
        row = Cluster.objects.annotate(clock=Now()).get(pk=remote.pk)
        assert row.blind_until is not None
        waits.append((row.blind_until - row.clock).total_seconds())

    for wait, longest in zip(waits, (4, 8, 16, 32), strict=True):
        assert longest * 0.7 < wait <= longest


def test_edits_of_an_outage_become_one_apply_when_the_cluster_answers(
    distant: Make, remote: Cluster, alice: User, plane: type[FakePlane]
) -> None:
    deployment = distant()
    plane.store.fail("observe", GONE)
    plane.store.fail("reach", GONE)
    drive(deployment)
    probe_now(remote)
    for number in range(1, 4):
        wider = replace(FAR_WIDER, description=f"Edit {number}")
        update_config(
            actor=alice, deployment=deployment, configuration=wider, base_revision_number=number
        )
    assert due_ids() == []
    plane.store.calls.clear()

    probe_now(remote)

    assert due_ids() == [deployment.pk]
    reconcile(deployment_id=deployment.pk)
    row = Deployment.objects.select_related("applied").get(pk=deployment.pk)
    assert row.applied is not None
    assert row.applied.number == 4
    assert row.last_error == ""
    assert n_applies(plane) == 1
    assert seconds_until_due(row) > 500


def test_a_new_credential_lets_passes_run_at_once(
    distant: Make, remote: Cluster, plane: type[FakePlane]
) -> None:
    deployment = distant()
    plane.store.fail("observe", Unreachable("The cluster refuses the credential."))
    drive(deployment)
    make_due(deployment)
    assert due_ids() == []

    Cluster.objects.update(unreachable_since=None, blind_until=None, failures=0, last_error="")

    assert due_ids() == [deployment.pk]


def test_what_a_cluster_asks_for_is_waited(distant: Make, plane: type[FakePlane]) -> None:
    deployment = distant()
    plane.store.fail("observe", Temporary("Too many requests.", retry_after_seconds=40))

    drive(deployment)

    assert 39 < seconds_until_due(deployment) <= 50


def test_a_worker_that_was_stopped_and_woken_up_changes_nothing(
    distant: Make, alice: User, plane: type[FakePlane], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = distant()
    update_config(
        actor=alice, deployment=deployment, configuration=FAR_WIDER, base_revision_number=1
    )
    enter = plane.store.enter

    def wake_up_too_late(method: str, ref: str = "") -> None:
        enter(method, ref)
        if method == "apply":
            Deployment.objects.update(lease_token=None, lease_until=None)
            now = time.monotonic()
            monkeypatch.setattr("apps.dataplane.fence.time.monotonic", lambda: now + 3600)
            fence.check()

    monkeypatch.setattr(plane.store, "enter", wake_up_too_late)

    row = drive(deployment)

    assert row.wanted is not None
    assert row.wanted.state == RevisionState.APPLYING
    assert row.failures == 0
    assert plane.store.airflows[row.ref].applied is not None
    assert plane.store.airflows[row.ref].applied.revision == 1


def test_outside_of_a_pass_nothing_is_fenced() -> None:
    fence.check()


def test_drift_is_put_back_and_written_down(distant: Make, plane: type[FakePlane]) -> None:
    deployment = distant()
    plane.store.airflows[deployment.ref].drift = (IMAGE,)

    row = drive(deployment)

    seen = observation_of(row)
    assert seen is not None
    assert not seen.is_drifted
    assert n_applies(plane) == 2
    event = AuditEvent.objects.get(action="deployment.drift_corrected")
    assert event.changes == {
        "Deployment/scheduler": ["spec.template.spec.containers[0].image", "reverted"]
    }


def test_a_fight_over_an_object_is_fought_once_a_minute(
    distant: Make, remote: Cluster, plane: type[FakePlane]
) -> None:
    deployment = distant()
    airflow = plane.store.airflows[deployment.ref]
    airflow.drift = (IMAGE,)
    drive(deployment)
    assert 55 < seconds_until_due(deployment) <= 60

    airflow.drift = (IMAGE,)

    assert surveys.survey(cluster_id=remote.pk).woken == 0
    row = Deployment.objects.get(pk=deployment.pk)
    earlier = timezone.now() - timedelta(minutes=2)
    row.observation["corrected_at"] = earlier.isoformat()
    Deployment.objects.filter(pk=row.pk).update(observation=row.observation)
    assert surveys.survey(cluster_id=remote.pk).woken == 1


def test_drift_is_shown_and_left_alone_where_the_configuration_says_so(
    distant: Make, plane: type[FakePlane]
) -> None:
    deployment = distant()
    assert deployment.wanted is not None
    deployment.wanted.config["corrects_drift"] = False
    deployment.wanted.save(update_fields=["config"])
    plane.store.airflows[deployment.ref].drift = (IMAGE,)

    row = drive(deployment)

    seen = observation_of(row)
    assert seen is not None
    assert seen.drift == (IMAGE,)
    assert n_applies(plane) == 1
    assert not AuditEvent.objects.filter(action="deployment.drift_corrected").exists()


def turns_until_applied(others: list[Deployment], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sweep and do what is hinted, as one worker would; return the Deployments of its turns until
    the others are applied.
    """
    sent: list[Any] = []
    monkeypatch.setattr(tasks, "send", sent.extend)
    waiting = Deployment.objects.filter(pk__in=[one.pk for one in others])
    turns: list[int] = []
    for _ in range(10):
        tasks.sweep()
        while sent and waiting.exclude(wanted__state=RevisionState.APPLIED).exists():
            job, arguments, _queue = sent.pop(0)
            if job == tasks.reconcile:
                turns.append(arguments[0])
                job(*arguments)
    assert not waiting.exclude(wanted__state=RevisionState.APPLIED).exists()
    return turns


@pytest.mark.parametrize("fault", ["none", "patience", "slow"])
def test_a_cluster_in_trouble_takes_no_turn_from_the_others(
    fault: str,
    distant: Make,
    alice: User,
    workspace: Workspace,
    organization: Organization,
    plane: type[FakePlane],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Faults 13 and 16: one that asks for patience, one whose passes take as long as they may."""
    far = [distant(f"etl-{number}") for number in range(4)]
    near = registered(organization, name="eu-2")
    others = [
        create_deployment(
            actor=alice, workspace=workspace, cluster=near, name=f"n-{number}", configuration=FAR
        ).deployment
        for number in range(4)
    ]
    for one in far:
        update_config(actor=alice, deployment=one, configuration=FAR_WIDER, base_revision_number=1)
    if fault == "patience":
        later = Temporary("The cluster asks for patience.", retry_after_seconds=30)
        for one in far:
            plane.store.fail("apply", later, times=None, ref=one.ref)
    if fault == "slow":
        assert all(lifecycle.claim(deployment_id=one.pk) for one in far[:2])

    turns = turns_until_applied(others, monkeypatch)

    assert sorted(turn for turn in turns if turn not in {one.pk for one in far}) == sorted(
        one.pk for one in others
    )
    on_far = [turn for turn in turns if turn in {one.pk for one in far}]
    assert len(on_far) == len(set(on_far)) <= (0 if fault == "slow" else len(far))
