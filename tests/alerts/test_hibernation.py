"""Time asleep counts for nothing: deadlines, durations and error budgets."""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.alerts.deliveries.models import Delivery
from apps.alerts.evaluation.models import Alert, DeadlineCheck
from apps.alerts.evaluation.past import past_of
from apps.alerts.rules.models import Rule
from apps.alerts.sweeping.sweep import sweep
from apps.dags.models import DagSummary
from apps.dataplane.hibernation.plans import HibernationPlan, Override, Schedule
from apps.deployments.models import Deployment
from apps.hibernation.asleep import Asleep, asleep_in, deadlines_asleep, planned_spans
from apps.hibernation.models import Sleep
from apps.objectives import counting
from apps.observability.history.models import Collection
from apps.organizations.models import Workspace
from tests.alerts.examples import MINUTE, NOW, ended, make_channel, make_rule, succeeded
from tests.objectives.examples import make_objective

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
NIGHTS = Schedule(hibernate_at="0 19 * * *", wake_at="0 7 * * *")


def slept(deployment: Deployment, begin: datetime, end: datetime | None) -> Sleep:
    return Sleep.objects.create(deployment=deployment, began_at=begin, ended_at=end)


@pytest.fixture
def late(deployment: Deployment, workspace: Workspace, alice: User) -> None:
    """A DAG that is due at noon, and did not succeed."""
    DagSummary.objects.create(
        deployment=deployment, dag_id="orders", is_paused=False, has_import_error=False
    )
    Collection.objects.create(deployment=deployment, next_at=NOW, listed_until=NOW + MINUTE)
    make_rule(
        workspace,
        "dag-late",
        channels=[make_channel(workspace, alice)],
        due_at=time(12, 0),
        zone="UTC",
        within_hours=24,
    )


def lines() -> list[str]:
    return [line for one in Delivery.objects.order_by("pk") for line in one.message["lines"]]


@pytest.mark.usefixtures("late")
@pytest.mark.parametrize("end", [None, NOW, NOW + 10 * MINUTE])
def test_a_deadline_that_passes_asleep_is_not_missed(deployment: Deployment, end: datetime | None):
    slept(deployment, NOW - 8 * HOUR, end)

    sweep(now=NOW + 15 * MINUTE)

    assert not Alert.objects.exists()
    assert DeadlineCheck.objects.count() == 1


@pytest.mark.usefixtures("late")
def test_a_deadline_after_waking_is_missed_and_the_message_tells_of_the_sleep(
    deployment: Deployment,
):
    slept(deployment, NOW - 8 * HOUR, NOW - HOUR)
    slept(deployment, NOW - 48 * HOUR, NOW - 40 * HOUR)

    sweep(now=NOW + 15 * MINUTE)

    (line,) = lines()
    assert line.endswith("The Deployment hibernated for 7 h 00 min before it.")


@pytest.mark.usefixtures("late")
def test_a_deadline_without_sleep_says_nothing_of_it():
    sweep(now=NOW + 15 * MINUTE)

    assert len(lines()) == 1
    assert "hibernated" not in lines()[0]


def test_time_asleep_is_no_time_that_a_run_took(
    deployment: Deployment, workspace: Workspace, alice: User
):
    make_rule(workspace, "dag-slow", channels=[make_channel(workspace, alice)], limit_seconds=3600)
    slept(deployment, NOW - 9 * HOUR, NOW - HOUR)
    succeeded(deployment, "quick", seconds=8.5 * 3600)
    succeeded(deployment, "slow", seconds=10.5 * 3600)

    sweep(now=NOW + MINUTE)

    alert = Alert.objects.get()
    assert list(alert.subjects) == ["slow"]
    assert alert.subjects["slow"]["note"] == "The Deployment hibernated meanwhile."


def test_time_asleep_is_no_time_that_a_task_runs(deployment: Deployment, workspace: Workspace):
    make_rule(workspace, "task-slow", limit_seconds=3600)
    slept(deployment, NOW - 9 * HOUR, NOW - HOUR / 2)
    running = [
        ["orders", "one", "waits", int((NOW - 9.25 * HOUR).timestamp())],
        ["orders", "one", "hangs", int((NOW - 11 * HOUR).timestamp())],
    ]
    Collection.objects.create(deployment=deployment, next_at=NOW, running=running, answered_at=NOW)

    sweep(now=NOW + MINUTE)

    assert list(Alert.objects.get().subjects) == ["orders.hangs"]


def test_a_run_that_failed_over_a_sleep_is_told_with_it(
    deployment: Deployment, workspace: Workspace, alice: User
):
    make_rule(workspace, channels=[make_channel(workspace, alice)])
    slept(deployment, NOW - 9 * HOUR, NOW - HOUR)
    ended(deployment, seconds=10 * 3600)

    sweep(now=NOW + MINUTE)

    assert lines()[0].endswith("The Deployment hibernated meanwhile.")


def test_time_asleep_spends_no_error_budget(deployment: Deployment):
    slept(deployment, NOW - 9 * HOUR, NOW - HOUR)
    objective = make_objective(deployment, limit_seconds=3600)
    succeeded(deployment, run="over", seconds=8.5 * 3600)
    succeeded(deployment, run="too slow", seconds=10.5 * 3600)
    ended(deployment, run="stopped by it", seconds=8.5 * 3600)
    ended(deployment, run="failed by itself", seconds=60)

    counting.count_runs(now=NOW)

    assert list(objective.days.values_list("good", "bad")) == [(1, 2)]


@pytest.mark.usefixtures("late")
def test_the_preview_of_a_rule_says_what_passed_asleep(deployment: Deployment):
    slept(deployment, NOW - 49 * HOUR, NOW - 47 * HOUR)
    rule = Rule.objects.get()

    found = past_of(rule, seen=Deployment.objects.all(), now=NOW + MINUTE)

    assert (found.times, found.slept) == (6, 1)


def test_planned_sleep_ends_at_each_turn():
    at = datetime(2026, 11, 28, 20, 0, tzinfo=UTC)
    plan = HibernationPlan(schedules=(NIGHTS,))

    found = planned_spans(plan, begin=at, end=at + timedelta(days=2))

    day = timedelta(days=1)
    first = datetime(2026, 11, 29, 7, 0, tzinfo=UTC)
    second = (first - 12 * HOUR + day - 12 * HOUR + 12 * HOUR, first + day)
    assert found[0] == (at, first)
    assert found[1] == second
    assert found[2] == (first + day + 12 * HOUR, at + 2 * day)
    hand = HibernationPlan(override=Override(is_hibernating=True, since=at))
    assert planned_spans(hand, begin=at, end=at + day) == [(at, at + day)]
    assert planned_spans(HibernationPlan(), begin=at, end=at + day) == []


def test_seconds_asleep_are_those_that_both_share(deployment: Deployment):
    slept(deployment, NOW - 3 * HOUR, NOW - 2 * HOUR)
    slept(deployment, NOW - HOUR, None)

    found = asleep_in(deployment_ids=[deployment.pk], since=NOW - 5 * HOUR, now=NOW)

    assert found.seconds(deployment.pk, NOW - 2.5 * HOUR, NOW) == 1.5 * 3600
    assert found.is_at(deployment.pk, NOW - 2.5 * HOUR)
    assert not found.is_at(deployment.pk, NOW - 1.5 * HOUR)
    assert Asleep().seconds(deployment.pk, NOW, NOW + HOUR) == 0


@pytest.mark.usefixtures("late")
def test_deadlines_to_come_are_those_of_rules_that_watch_a_dag_of_it(
    deployment: Deployment, workspace: Workspace
):
    make_rule(workspace, "dag-late", name="Other DAG", dags="bills", due_at=time(12, 0))
    make_rule(workspace, "dag-late", name="Other place", deployments="x-*", due_at=time(12, 0))
    make_rule(workspace, "dag-late", name="Off", is_enabled=False, due_at=time(12, 0))
    make_rule(workspace.organization, "dag-late", name="Above", due_at=time(3, 0))

    found = deadlines_asleep(deployment, [(NOW - HOUR, NOW + 23 * HOUR)])

    assert [(one.rule, one.dags) for one in found] == [("Rule about dag-late", 1), ("Above", 1)]
    assert deadlines_asleep(deployment, [(NOW + HOUR, NOW + 2 * HOUR)]) == []
    assert deadlines_asleep(deployment, []) == []


@pytest.mark.usefixtures("late")
def test_the_forms_of_hibernation_name_deadlines_beforehand(
    deployment: Deployment, alice: User, client_of: Callable[[User], Client]
):
    web, address = client_of(alice), f"/d/{deployment.ref}/hibernation/"

    for page in ("hibernate/", "schedules/new/"):
        shown = web.get(address + page).content.decode()
        assert "Rule about dag-late, 1 DAG, then 6 more" in shown
        assert shown.count("Rule about dag-late") == 1
    assert 'id="deadlines"' not in web.get(address).content.decode()
