"""The loop against the fake plane: how a change becomes true, and what happens when it does not."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.access.grants.services import grant
from apps.access.models import Role
from apps.accounts.models import User
from apps.dataplane.errors import Permanent, Temporary, Unreachable
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.status import Observation, Progress, Step
from apps.deployments import tasks
from apps.deployments.editing.revisions import make_due
from apps.deployments.editing.services import delete_deployment, retry, update_config
from apps.deployments.models import (
    Deployment,
    Health,
    Operation,
    OperationState,
    OperationStep,
    Phase,
    RevisionState,
    SecretValue,
)
from apps.deployments.pages.queries import observation_of
from apps.deployments.reconciling import lifecycle, results
from apps.deployments.reconciling.reconciler import reconcile, wait_seconds
from apps.deployments.reconciling.results import QUARANTINED, STALLED_AFTER
from tests.deployments.conftest import CONFIGURATION, QUEUE, drive

pytestmark = pytest.mark.django_db

WIDER = replace(CONFIGURATION, queues=(replace(QUEUE, max_workers=5),))


class Crash(Exception):
    """A worker that dies, as far as a test in one process can have it."""


def n_applies(plane: type[FakePlane]) -> int:
    return sum(method == "apply" for method, _ in plane.store.calls)


def seconds_until_due(deployment: Deployment) -> float:
    row = Deployment.objects.annotate(clock=Now()).get(pk=deployment.pk)
    assert row.next_reconcile_at is not None
    return (row.next_reconcile_at - row.clock).total_seconds()


def test_a_new_deployment_becomes_healthy_step_by_step(
    created: Deployment, plane: type[FakePlane]
) -> None:
    plane.store.apply_passes_needed = 3

    first = drive(created)

    assert first.wanted is not None
    assert first.wanted.state == RevisionState.APPLYING
    steps = OperationStep.objects.order_by("position")
    assert [step.state for step in steps[:3]] == ["done", "running", "waiting"]
    assert steps[0].started_at
    assert steps[2].started_at is None
    assert seconds_until_due(created) < 3

    row = drive(created, passes=2)

    assert row.wanted is not None
    assert row.wanted.state == RevisionState.APPLIED
    assert row.applied == row.wanted
    assert (row.health, row.health_message) == (Health.HEALTHY, "Airflow is healthy.")
    assert row.health_since is not None
    assert row.lease_token is None
    operation = Operation.objects.get()
    assert operation.state == OperationState.SUCCEEDED
    assert operation.ended_at is not None
    assert all(step.state == "done" and step.ended_at for step in operation.steps.all())
    assert 14 < seconds_until_due(created) <= 15


def test_a_step_that_no_later_pass_names_is_done_with_the_operation(
    created: Deployment, plane: type[FakePlane]
) -> None:
    plane.store.apply_passes_needed = 2
    drive(created)
    restore = Operation.objects.get().steps.create(
        position=20,
        key="restore",
        title="Restore the backup",
        state="running",
        started_at=timezone.now(),
    )

    drive(created)

    restore.refresh_from_db()
    assert restore.state == "done"
    assert restore.ended_at


def test_what_was_seen_can_be_read_back(running: Deployment) -> None:
    seen = observation_of(running)

    assert isinstance(seen, Observation)
    assert seen.queues[0].name == "default"
    assert seen.components[0].name == "api-server"
    assert running.observed_at is not None
    assert abs(seen.observed_at - running.observed_at) < timedelta(milliseconds=1)


def test_what_a_newer_portal_saw_is_read_as_far_as_it_is_understood(running: Deployment) -> None:
    running.observation["invented_later"] = True
    running.observation["queues"][0]["invented_later"] = True

    assert observation_of(running) is not None


def test_a_pass_over_a_settled_deployment_costs_few_queries_and_no_apply(
    running: Deployment, plane: type[FakePlane]
) -> None:
    plane.store.calls.clear()

    with CaptureQueriesContext(
        connection,
    ) as queries:
        reconcile(deployment_id=running.pk)

    assert len(queries) <= 6
    assert [method for method, _ in plane.store.calls] == ["observe", "airflow"]


def test_a_failure_that_needs_a_person_names_the_component_and_its_last_lines(
    created: Deployment, plane: type[FakePlane]
) -> None:
    plane.store.log_lines[(created.ref, "scheduler")] = ["starting", "MemoryError"]
    plane.store.fail("apply", Permanent("The scheduler ends at once.", component="scheduler"))

    row = drive(created)

    assert row.wanted is not None
    assert row.wanted.state == RevisionState.FAILED
    assert row.wanted.failure == "The scheduler ends at once."
    operation = Operation.objects.get()
    assert operation.state == OperationState.FAILED
    assert operation.failed_component == "scheduler"
    assert operation.steps.get(state="failed").log == "starting\nMemoryError"


def test_after_a_failure_it_only_looks(
    running: Deployment, alice: User, plane: type[FakePlane]
) -> None:
    update_config(actor=alice, deployment=running, configuration=WIDER, base_revision_number=1)
    plane.store.fail("apply", Permanent("The disk is full."))
    drive(running)
    plane.store.calls.clear()

    row = drive(running)

    assert n_applies(plane) == 0
    assert row.health == Health.HEALTHY
    assert row.applied is not None
    assert row.applied.number == 1


def test_a_passing_trouble_is_said_and_tried_again_later_and_later(
    created: Deployment, plane: type[FakePlane]
) -> None:
    plane.store.fail("apply", Temporary("No port is free."), times=3)

    row = drive(created)

    assert row.last_error == "No port is free. Retrying."
    assert row.wanted is not None
    assert row.wanted.state == RevisionState.APPLYING
    assert 1 < seconds_until_due(created) <= 2.5
    row = drive(created, passes=2)
    assert row.failures == 3
    assert 7 < seconds_until_due(created) <= 10
    row = drive(created)
    assert (row.last_error, row.failures) == ("", 0)
    assert row.wanted is not None
    assert row.wanted.state == RevisionState.APPLIED


def test_waiting_has_a_limit() -> None:
    assert [wait_seconds(n) for n in (0, 1, 2, 3, 4, 50)] == [2, 4, 8, 16, 30, 30]


def test_what_cannot_be_reached_is_unknown_since_then(
    running: Deployment, plane: type[FakePlane]
) -> None:
    plane.store.fail("observe", Unreachable("This machine does not answer."), times=2)

    row = drive(running)
    since = row.health_since
    again = drive(running)

    assert row.health == again.health == Health.UNKNOWN
    assert again.health_since == since
    assert row.health_message == "This machine does not answer."
    assert drive(running).health == Health.HEALTHY


def test_what_the_plane_lost_is_applied_again(running: Deployment, plane: type[FakePlane]) -> None:
    del plane.store.airflows[running.ref]

    row = drive(running)

    assert running.ref in plane.store.airflows
    assert row.health == Health.HEALTHY
    assert row.wanted is not None
    assert row.wanted.state == RevisionState.APPLIED


def test_a_revision_that_an_old_worker_put_in_place_of_a_newer_one_is_put_right(
    running: Deployment, alice: User, plane: type[FakePlane]
) -> None:
    old = plane.store.airflows[running.ref].wanted
    update_config(actor=alice, deployment=running, configuration=WIDER, base_revision_number=1)
    drive(running)
    FakePlane().apply(spec=old)

    drive(running)

    applied = plane.store.airflows[running.ref].applied
    assert applied is not None
    assert applied.revision == 2


def test_deleting_removes_everything_and_forgets_the_secrets(
    running: Deployment, alice: User, bob: User, plane: type[FakePlane]
) -> None:
    viewer = Role.objects.get(scope="deployment", key="viewer")
    grant(actor=None, user=bob, role=viewer, on=running)
    plane.store.delete_passes_needed = 2
    operation = delete_deployment(actor=alice, deployment=running, typed_name="etl-prod")

    half = drive(running)

    assert half.phase == Phase.DELETING
    assert seconds_until_due(running) < 3
    row = drive(running)
    assert row.phase == Phase.DELETED
    assert row.deleted_at is not None
    assert row.next_reconcile_at is None
    assert row.airflow_secrets is None
    assert not row.grants.exists()
    assert not SecretValue.objects.exists()
    assert running.ref not in plane.store.airflows
    operation.refresh_from_db()
    assert operation.state == OperationState.SUCCEEDED


def test_a_deletion_that_fails_says_so_and_can_be_tried_again(
    running: Deployment, alice: User, plane: type[FakePlane]
) -> None:
    plane.store.fail("delete", Permanent("The database is in use."))
    first = delete_deployment(actor=alice, deployment=running, typed_name="etl-prod")

    row = drive_once(running)

    first.refresh_from_db()
    assert first.state == OperationState.FAILED
    assert row.last_error == "The database is in use."
    assert row.next_reconcile_at is None
    again = delete_deployment(actor=alice, deployment=running, typed_name="etl-prod")
    assert again != first
    assert drive(running).phase == Phase.DELETED


def drive_once(deployment: Deployment) -> Deployment:
    reconcile(deployment_id=deployment.pk)
    return Deployment.objects.get(pk=deployment.pk)


@pytest.mark.parametrize("method", ["apply", "observe"])
def test_a_worker_that_dies_at_any_call_is_replaced_when_its_lease_ends(
    created: Deployment, plane: type[FakePlane], method: str
) -> None:
    lease = lifecycle.claim(deployment_id=created.pk)
    assert lease is not None
    FakePlane()  # the dead worker had come so far that the plane knows the Deployment
    reconcile(deployment_id=created.pk)
    assert plane.store.calls == []

    end_lease(created)
    row = drive(created)

    assert row.wanted is not None
    assert row.wanted.state == RevisionState.APPLIED
    assert row.unfinished_passes == 0


def end_lease(deployment: Deployment) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(lease_until=Now() - timedelta(seconds=1))


@pytest.mark.parametrize("method", ["apply", "observe", "delete"])
def test_an_error_that_nobody_foresaw_is_raised_and_the_row_comes_again(
    running: Deployment, alice: User, plane: type[FakePlane], method: str
) -> None:
    if method == "delete":
        delete_deployment(actor=alice, deployment=running, typed_name="etl-prod")
    else:
        update_config(actor=alice, deployment=running, configuration=WIDER, base_revision_number=1)
    plane.store.fail(method, Crash())  # type: ignore[arg-type]

    with pytest.raises(Crash):
        reconcile(deployment_id=running.pk)

    row = Deployment.objects.get(pk=running.pk)
    assert row.lease_token is None
    assert "internal error" in row.last_error
    row = drive(running)
    assert row.last_error == ""
    assert row.wanted is not None
    assert row.phase == Phase.DELETED or row.wanted.state == RevisionState.APPLIED


def test_what_kills_three_workers_is_put_aside_until_a_person_looks(
    created: Deployment, plane: type[FakePlane]
) -> None:
    for _ in range(3):
        assert lifecycle.claim(deployment_id=created.pk)
        end_lease(created)

    row = drive(created)

    assert row.quarantined_at is not None
    assert row.last_error == QUARANTINED
    assert plane.store.calls == []
    operation = Operation.objects.get()
    assert (operation.state, operation.failure) == (OperationState.FAILED, QUARANTINED)
    drive(created)
    assert plane.store.calls == []
    assert lifecycle.due(limit=10) == []


def test_an_edit_lifts_a_quarantine(
    running: Deployment, alice: User, plane: type[FakePlane]
) -> None:
    Deployment.objects.filter(pk=running.pk).update(
        quarantined_at=timezone.now(), unfinished_passes=4
    )

    update_config(actor=alice, deployment=running, configuration=WIDER, base_revision_number=1)

    row = drive(running)
    assert row.quarantined_at is None
    assert row.applied is not None
    assert row.applied.number == 2


def test_ten_deliveries_of_one_hint_have_one_effect(
    created: Deployment, plane: type[FakePlane]
) -> None:
    for _ in range(10):
        tasks.reconcile(created.pk, said_by_a_newer_portal=True)

    assert n_applies(plane) == 1
    assert Operation.objects.get().steps.count() == 7


def test_an_edit_during_a_pass_is_applied_by_the_next(
    running: Deployment, alice: User, plane: type[FakePlane], monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = replace(CONFIGURATION, description="Newest")
    update_config(actor=alice, deployment=running, configuration=WIDER, base_revision_number=1)
    apply = FakePlane.apply

    def edit_meanwhile(self: FakePlane, **arguments: Any) -> Any:
        monkeypatch.setattr(FakePlane, "apply", apply)
        update_config(actor=alice, deployment=running, configuration=newest, base_revision_number=2)
        return apply(self, **arguments)

    monkeypatch.setattr(FakePlane, "apply", edit_meanwhile)
    row = drive(running)

    assert row.wanted is not None
    assert (row.wanted.number, row.wanted.state) == (3, RevisionState.PENDING)
    assert seconds_until_due(running) <= 0
    row = drive(running)
    assert row.applied is not None
    assert row.applied.number == 3
    states = list(row.revisions.order_by("number").values_list("state", flat=True))
    assert states == ["applied", "superseded", "applied"]


def test_who_has_lost_the_lease_writes_nothing(
    created: Deployment, plane: type[FakePlane], monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = FakePlane.apply

    def sleep_too_long(self: FakePlane, **arguments: Any) -> Any:
        end_lease(created)
        assert lifecycle.claim(deployment_id=created.pk)
        return apply(self, **arguments)

    monkeypatch.setattr(FakePlane, "apply", sleep_too_long)
    reconcile(deployment_id=created.pk)

    row = Deployment.objects.select_related("wanted").get(pk=created.pk)
    assert row.lease_token is not None
    assert row.wanted is not None
    assert row.wanted.state == RevisionState.APPLYING
    assert not OperationStep.objects.exists()


def test_an_airflow_that_never_becomes_healthy_fails_and_names_what_is_not_ready(
    created: Deployment, plane: type[FakePlane]
) -> None:
    plane.store.never_healthy.add(created.ref)
    plane.store.log_lines[(created.ref, "api-server")] = ["Traceback", "ImportError: broken"]
    drive(created, passes=8)
    long_ago = timezone.now() - STALLED_AFTER - timedelta(seconds=1)
    OperationStep.objects.filter(state="running").update(started_at=long_ago)

    row = drive(created)

    assert row.wanted is not None
    assert row.wanted.state == RevisionState.FAILED
    operation = Operation.objects.get()
    assert operation.failed_component == "api-server"
    assert "did not finish within 10 minutes" in operation.failure
    assert operation.steps.get(state="failed").log == "Traceback\nImportError: broken"


@pytest.mark.parametrize(("minutes", "is_stalled"), [(9, False), (10.5, False), (11.5, True)])
def test_a_step_that_ends_its_wait_itself_is_given_the_time_for_it(
    created: Deployment, minutes: float, is_stalled: bool
) -> None:
    waiting = Step(key="stop", title="Stop the old Airflow", state="running", allowed_seconds=660)
    lease = lifecycle.claim(deployment_id=created.pk)
    assert lease is not None
    revision = results.begin(lease=lease)
    assert revision is not None
    begun = timezone.now() - timedelta(minutes=minutes)

    def pass_over() -> Step | None:
        return results.record_progress(
            lease=lease,
            revision=revision,
            progress=Progress(steps=(waiting,), is_done=False),
            versions=results.Versions(cluster=1, layers=0, hibernation=0),
        )

    assert pass_over() is None
    OperationStep.objects.update(started_at=begun)
    assert (pass_over() is not None) is is_stalled


def test_the_sweeper_finds_what_no_hint_told(
    created: Deployment, plane: type[FakePlane], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(tasks, "send", sent.extend)

    tasks.sweep(said_by_a_newer_portal=True)
    tasks.sweep()

    assert sent == [(tasks.reconcile, [created.pk], "interactive")]
    assert 9 < seconds_until_due(created) <= 10


def test_the_sweeper_leaves_alone_what_is_held_or_not_due(
    running: Deployment, create: Callable[..., Operation]
) -> None:
    held = create("held").deployment
    lifecycle.claim(deployment_id=held.pk)

    assert lifecycle.due(limit=10) == []


@pytest.mark.django_db(transaction=True)
def test_of_two_workers_at_once_one_drives(created: Deployment) -> None:
    barrier = threading.Barrier(2)
    leases: list[object] = []

    def work() -> None:
        barrier.wait()
        leases.append(lifecycle.claim(deployment_id=created.pk))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(lease is not None for lease in leases) == 1


@pytest.mark.django_db(transaction=True)
def test_two_sweepers_share_the_rows(create: Callable[..., Operation]) -> None:
    ids = {create(f"etl-{number}").deployment.pk for number in range(6)}
    Deployment.objects.update(next_reconcile_at=Now() - timedelta(seconds=1))
    found: list[int] = []

    def work() -> None:
        found.extend(one.deployment_id for one in lifecycle.due(limit=10))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == sorted(ids)


def test_a_failure_of_a_revision_that_was_replaced_meanwhile_fails_nothing(
    running: Deployment, alice: User, plane: type[FakePlane], monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = replace(CONFIGURATION, description="Newest")
    update_config(actor=alice, deployment=running, configuration=WIDER, base_revision_number=1)

    def fail_late(self: FakePlane, **arguments: Any) -> Any:
        update_config(actor=alice, deployment=running, configuration=newest, base_revision_number=2)
        raise Permanent("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(FakePlane, "apply", fail_late)
        drive(running)

    newer = Operation.objects.get(revision__number=3)
    assert newer.state == OperationState.RUNNING
    row = drive(running)
    assert row.applied is not None
    assert row.applied.number == 3


def test_an_edit_just_before_the_quarantine_is_not_put_aside(
    created: Deployment, plane: type[FakePlane], monkeypatch: pytest.MonkeyPatch
) -> None:
    Deployment.objects.update(unfinished_passes=9)
    quarantine = results.quarantine

    def edit_first(**arguments: Any) -> None:
        make_due(created)
        quarantine(**arguments)

    monkeypatch.setattr(results, "quarantine", edit_first)
    drive(created)

    row = drive(created)
    assert row.quarantined_at is None
    assert row.wanted is not None
    assert row.wanted.state == RevisionState.APPLIED


def test_what_was_put_aside_at_rest_can_be_tried_again(
    running: Deployment, alice: User, plane: type[FakePlane]
) -> None:
    Deployment.objects.update(unfinished_passes=9)
    drive(running)

    operation = retry(actor=alice, deployment=running)
    row = drive(running)

    operation.refresh_from_db()
    assert operation.state == OperationState.SUCCEEDED
    assert row.wanted is not None
    assert row.wanted.state == RevisionState.APPLIED


def test_what_cannot_be_brought_back_says_so_and_is_not_tried_all_the_time(
    running: Deployment, plane: type[FakePlane]
) -> None:
    del plane.store.airflows[running.ref]
    plane.store.fail("apply", Permanent("The disk is full."))

    row = drive(running)

    assert row.last_error == "The disk is full."
    assert row.wanted is not None
    assert row.wanted.state == RevisionState.APPLIED
    assert seconds_until_due(running) > 50
