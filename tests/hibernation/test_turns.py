"""A Deployment falls asleep and wakes: by hand, by its schedules, by a change."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict, Invalid
from apps.dataplane.errors import Unreachable
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.hibernation.plans import HibernationPlan, Override, Schedule
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.status import Progress
from apps.deployments.badge import display_status
from apps.deployments.editing.hibernating import (
    hibernate,
    save_plan,
    stay_awake,
    turn_due,
    wake,
)
from apps.deployments.editing.plans import plan_of
from apps.deployments.editing.restarting import restart
from apps.deployments.editing.services import delete_deployment, deploy_code, update_config
from apps.deployments.models import Deployment, Operation, OperationState
from apps.hibernation.models import Sleep
from apps.observability.analytics.marks import marks_between
from apps.observability.incidents.detectors.findings import findings
from apps.observability.incidents.detectors.seen import seen
from tests.deployments.conftest import CONFIGURATION

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 6, 5, 12, tzinfo=UTC)  # a Friday
NIGHTS = Schedule(hibernate_at="0 19 * * *", wake_at="0 7 * * MON-FRI")
PLAN = HibernationPlan(schedules=(NIGHTS,))
Drive = Callable[[Deployment], Deployment]


@pytest.fixture
def up(created: Deployment, drive: Drive) -> Deployment:
    return drive(created)


def status(deployment: Deployment) -> str:
    return display_status(deployment).word


def test_it_hibernates_by_hand_and_wakes_by_hand(alice: User, up: Deployment, drive: Drive):
    operation = hibernate(actor=alice, deployment=up, until=None, now=NOW)

    assert operation is not None
    assert operation.kind == Operation.Kind.HIBERNATE
    assert status(Deployment.objects.get(pk=up.pk)) == "Falling asleep"
    asleep = drive(up)
    assert FakePlane.store.airflows[up.ref].applied.is_hibernating  # type: ignore[union-attr]
    assert status(asleep) == "Hibernating"
    assert display_status(asleep).message == "It hibernates until it is woken."
    assert Operation.objects.get(pk=operation.pk).state == OperationState.SUCCEEDED

    woken = wake(actor=alice, deployment=up, now=NOW + timedelta(hours=1))

    assert woken is not None
    assert woken.kind == Operation.Kind.WAKE
    assert status(Deployment.objects.get(pk=up.pk)) == "Waking up"
    assert status(drive(up)) == "Healthy"
    actions = AuditEvent.objects.values_list("action", flat=True)
    assert {"deployment.hibernated", "deployment.woken"} <= set(actions)


def test_it_wakes_when_its_time_has_come(alice: User, up: Deployment, drive: Drive):
    until = NOW + timedelta(hours=8)
    hibernate(actor=alice, deployment=up, until=until, now=NOW)
    assert "Fri 5 Jun, 20:00 UTC" in display_status(drive(up)).message

    assert turn_due(now=until - timedelta(seconds=1)) == 0
    assert turn_due(now=until) == 1

    woken = drive(up)
    assert status(woken) == "Healthy"
    assert plan_of(woken).override is None
    assert turn_due(now=until) == 0


def test_a_schedule_puts_it_to_sleep_and_wakes_it(alice: User, up: Deployment, drive: Drive):
    assert save_plan(actor=alice, deployment=up, plan=PLAN, now=NOW) is None
    drive(up)
    assert FakePlane.store.airflows[up.ref].applied.hibernation == PLAN  # type: ignore[union-attr]

    turn_due(now=NOW + timedelta(hours=7))
    asleep = drive(up)

    assert status(asleep) == "Hibernating"
    operation = asleep.operations.order_by("-number")[0]
    assert (operation.kind, operation.actor) == (Operation.Kind.HIBERNATE, None)
    turn_due(now=datetime(2026, 6, 8, 7, tzinfo=UTC))
    assert status(drive(up)) == "Healthy"


def test_a_schedule_holds_again_from_when_it_would_have_woken_it(alice: User, up: Deployment):
    save_plan(actor=alice, deployment=up, plan=PLAN, now=NOW)
    evening = datetime(2026, 6, 5, 21, tzinfo=UTC)
    turn_due(now=evening)

    wake(actor=alice, deployment=up, now=evening)

    until = datetime(2026, 6, 8, 7, tzinfo=UTC)
    found = Deployment.objects.get(pk=up.pk)
    assert not found.is_hibernating
    assert plan_of(found).override == Override(is_hibernating=False, since=evening, until=until)
    turn_due(now=until)
    turn_due(now=datetime(2026, 6, 8, 19, tzinfo=UTC))
    assert Deployment.objects.get(pk=up.pk).is_hibernating


def test_what_is_kept_awake_ignores_its_schedules(alice: User, up: Deployment):
    save_plan(actor=alice, deployment=up, plan=PLAN, now=NOW)

    stay_awake(actor=alice, deployment=up, now=NOW)

    assert turn_due(now=NOW + timedelta(days=1)) == 0
    assert not Deployment.objects.get(pk=up.pk).is_hibernating


@pytest.mark.parametrize("hours", [-1, 0, 24 * 400])
def test_a_time_that_is_not_to_come_is_refused(alice: User, up: Deployment, hours: int):
    with pytest.raises(Invalid, match="within the next year"):
        hibernate(actor=alice, deployment=up, until=NOW + timedelta(hours=hours), now=NOW)


def test_an_edit_is_applied_asleep(alice: User, up: Deployment, drive: Drive):
    hibernate(actor=alice, deployment=up, until=None, now=NOW)
    asleep = drive(up)
    assert asleep.wanted is not None
    configuration = replace(asleep.wanted.configuration, description="Of the night")

    update_config(
        actor=alice, deployment=asleep, configuration=configuration, base_revision_number=1
    )

    assert status(drive(up)) == "Hibernating"
    assert FakePlane.store.airflows[up.ref].applied.revision == 2  # type: ignore[union-attr]


def test_new_code_wakes_it(alice: User, up: Deployment, drive: Drive):
    hibernate(actor=alice, deployment=up, until=None, now=NOW)
    drive(up)

    deploy_code(actor=alice, deployment=up, digest="", summary="Deploy")

    assert status(drive(up)) == "Healthy"
    woken = AuditEvent.objects.get(action="deployment.woken")
    assert "change of code" in str(woken.changes)


def test_another_runtime_wakes_it(alice: User, create: Callable[..., Operation], drive: Drive):
    newer = CONFIGURATION
    up = drive(create(configuration=replace(newer, runtime="3.3.1-1")).deployment)
    hibernate(actor=alice, deployment=up, until=None, now=NOW)
    drive(up)

    update_config(actor=alice, deployment=up, configuration=newer, base_revision_number=1)

    assert status(drive(up)) == "Healthy"


def test_a_turn_during_an_edit_ends_asleep_all_the_same(
    alice: User, created: Deployment, drive: Drive
):
    running = created.operations.get()

    assert hibernate(actor=alice, deployment=created, until=None, now=NOW) == running

    assert status(drive(created)) == "Hibernating"


def test_waking_while_it_falls_asleep_supersedes_that(alice: User, up: Deployment, drive: Drive):
    first = hibernate(actor=alice, deployment=up, until=None, now=NOW)

    second = wake(actor=alice, deployment=up, now=NOW)

    assert first is not None
    assert second is not None
    assert Operation.objects.get(pk=first.pk).state == OperationState.SUPERSEDED
    assert status(drive(up)) == "Healthy"
    assert Operation.objects.get(pk=second.pk).state == OperationState.SUCCEEDED


def test_a_turn_that_a_pass_in_flight_did_not_know_is_made_up_for(
    alice: User, up: Deployment, drive: Drive
):
    hibernate(actor=alice, deployment=up, until=None, now=NOW)
    drive(up)
    # As if a pass that began before had noted its revision as applied.
    FakePlane.store.airflows[up.ref].health = "healthy"
    Deployment.objects.filter(pk=up.pk).update(hibernation_applied=0)

    assert status(drive(up)) == "Hibernating"


def test_a_turn_during_a_pass_is_not_taken_for_done(
    alice: User, up: Deployment, drive: Drive, monkeypatch: pytest.MonkeyPatch
):
    hibernate(actor=alice, deployment=up, until=None, now=NOW)
    apply, woken = FakePlane.apply, []

    def wake_meanwhile(plane: FakePlane, *, spec: DeploymentSpec) -> Progress:
        done = apply(plane, spec=spec)
        if not woken:
            woken.append(wake(actor=alice, deployment=up, now=NOW))
        return done

    monkeypatch.setattr(FakePlane, "apply", wake_meanwhile)

    drive(up)

    assert Operation.objects.get(pk=woken[0].pk).state == OperationState.RUNNING
    assert status(drive(up)) == "Healthy"
    assert Operation.objects.get(pk=woken[0].pk).state == OperationState.SUCCEEDED


def test_a_cluster_that_is_away_delays_the_waking(alice: User, up: Deployment, drive: Drive):
    hibernate(actor=alice, deployment=up, until=NOW + timedelta(hours=1), now=NOW)
    drive(up)
    FakePlane.store.fail("apply", Unreachable("The cluster does not answer."), times=1)

    turn_due(now=NOW + timedelta(hours=1))
    late = drive(up)

    assert "Retrying" in late.last_error or status(late) == "Healthy"
    assert status(drive(up)) == "Healthy"


def test_what_is_asleep_has_no_incidents_and_is_not_restarted(
    alice: User, up: Deployment, drive: Drive
):
    hibernate(actor=alice, deployment=up, until=None, now=NOW)
    asleep = drive(up)

    assert findings(seen(asleep, now=datetime.now(UTC))) == []
    with pytest.raises(Conflict, match="Wake it up"):
        restart(actor=alice, deployment=asleep)


def test_what_is_being_deleted_does_not_turn(alice: User, up: Deployment):
    save_plan(actor=alice, deployment=up, plan=PLAN, now=NOW)
    Deployment.objects.filter(pk=up.pk).update(phase="deleting")

    assert turn_due(now=NOW + timedelta(hours=8)) == 0
    with pytest.raises(Conflict, match="being deleted"):
        wake(actor=alice, deployment=up, now=NOW)


def test_what_is_asleep_is_deleted_like_any_other(alice: User, up: Deployment, drive: Drive):
    hibernate(actor=alice, deployment=up, until=NOW + timedelta(days=1), now=NOW)
    drive(up)

    delete_deployment(actor=alice, deployment=up, typed_name=up.name)

    assert drive(up).phase == "deleted"
    assert turn_due(now=NOW + timedelta(days=2)) == 0


def test_charts_mark_when_it_fell_asleep_and_woke(alice: User, up: Deployment, drive: Drive):
    begin = timezone.now()
    hibernate(actor=alice, deployment=up, until=None, now=NOW)
    drive(up)
    wake(actor=None, deployment=up, now=NOW)
    drive(up)

    marks = marks_between(deployment=up, begin=begin, end=timezone.now())

    turns = [(one.title, one.detail) for one in marks if one.kind == "sleep"]
    assert turns == [("Fell asleep", "Alice"), ("Woke up", "the portal")]


def test_turns_of_a_time_in_which_the_portal_was_away_are_made_up_for(
    alice: User, up: Deployment, drive: Drive
):
    save_plan(actor=alice, deployment=up, plan=PLAN, now=NOW)

    # From Friday 12:00 to Tuesday 20:30: a weekend, Monday's night, and Tuesday's evening.
    assert turn_due(now=datetime(2026, 6, 9, 20, 30, tzinfo=UTC)) == 1

    slept = Sleep.objects.order_by("began_at").values_list("began_at", "ended_at")
    at = [[one and (one.day, one.hour) for one in pair] for pair in slept]
    assert at == [[(5, 19), (8, 7)], [(8, 19), (9, 7)], [(9, 19), None]]
    assert status(drive(up)) == "Hibernating"
    assert Deployment.objects.get(pk=up.pk).hibernation_turns_at == datetime(
        2026, 6, 10, 7, tzinfo=UTC
    )


def test_a_cluster_that_keeps_no_time_has_slept_from_when_it_was_put_to_sleep(
    alice: User, up: Deployment
):
    cluster = up.cluster
    cluster.kind, cluster.may_scale = "kubernetes", False
    cluster.credential, cluster.server = b"sealed", "https://cluster.test"
    cluster.save(update_fields=["kind", "may_scale", "credential", "server"])
    save_plan(actor=alice, deployment=up, plan=PLAN, now=NOW)
    late = datetime(2026, 6, 9, 20, 30, tzinfo=UTC)

    assert turn_due(now=late) == 1

    assert [one.began_at for one in Sleep.objects.all()] == [late]
