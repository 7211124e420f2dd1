"""From stored rows to messages in the outbox."""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.alerts.channels.models import Channel
from apps.alerts.deliveries.models import Delivery
from apps.alerts.evaluation.models import Alert
from apps.alerts.evaluation.services import acknowledge
from apps.alerts.places import fields_of
from apps.alerts.rules.models import Rule
from apps.alerts.silences.models import Silence
from apps.alerts.sweeping.deleting import delete_rule
from apps.alerts.sweeping.sweep import sweep
from apps.alerts.sweeping.world import MOST_GROUPS
from apps.dags.models import DagSummary
from apps.deployments.models import Deployment, Phase
from apps.observability.history.models import Collection
from apps.observability.results.models import RunResult
from apps.organizations.models import Organization, Workspace
from tests.alerts.examples import (
    MINUTE,
    NOW,
    ended,
    make_channel,
    make_rule,
    succeeded,
    untaken,
)
from tests.observability.incidents import make_incident

pytestmark = pytest.mark.django_db


@pytest.fixture
def mail(workspace: Workspace, alice: User) -> Channel:
    return make_channel(workspace, alice)


def told() -> list[tuple[str, str]]:
    """List the messages so far: the event and the title."""
    rows = Delivery.objects.order_by("pk").values_list("event", "message__title")
    return [(event, title) for event, title in rows]


def events() -> list[str]:
    return [event for event, _ in told()]


def test_a_failure_is_told_once_and_its_end_too(
    deployment: Deployment, workspace: Workspace, mail: Channel
):
    make_rule(workspace, channels=[mail])
    ended(deployment)

    sweep(now=NOW + MINUTE)
    sweep(now=NOW + 2 * MINUTE)

    assert told() == [("opened", f"DAG orders failed in {deployment.name}")]
    succeeded(deployment, run="two", at=NOW + 3 * MINUTE)
    sweep(now=NOW + 4 * MINUTE)
    sweep(now=NOW + 5 * MINUTE)
    assert told()[1:] == [("resolved", f"Resolved: DAG orders failed in {deployment.name}")]
    alert = Alert.objects.get()
    assert alert.close_reason == "orders is well again."
    assert alert.next_at is None
    assert untaken() == 0


def test_an_end_that_is_listed_twice_is_told_once(
    deployment: Deployment, workspace: Workspace, mail: Channel
):
    make_rule(workspace, channels=[mail])

    for _ in range(2):
        ended(deployment)
        sweep(now=NOW + MINUTE)

    assert events() == ["opened"]
    assert Alert.objects.get().count == 1


def test_a_flood_of_failures_is_one_message_and_then_a_count(
    deployment: Deployment, workspace: Workspace, mail: Channel, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("apps.alerts.sweeping.results.MOST_RESULTS", 200)
    make_rule(workspace, channels=[mail])
    RunResult.objects.bulk_create(
        RunResult(
            deployment=deployment,
            dag_id=f"dag_{number % 300}",
            run_id=f"run {number}",
            is_failed=True,
            ended_at=NOW + timedelta(milliseconds=number),
            digest=number,
        )
        for number in range(500)
    )

    assert sweep(now=NOW + MINUTE).is_behind
    assert sweep(now=NOW + MINUTE + timedelta(seconds=10)).is_behind
    sweep(now=NOW + 2 * MINUTE)
    sweep(now=NOW + 7 * MINUTE)

    alert = Alert.objects.get()
    assert (alert.count, len(alert.subjects)) == (500, 100)
    assert events() == ["opened", "updated"]
    message = Delivery.objects.latest("pk").message
    assert message["lines"][-1].startswith("and ")
    assert len(message["lines"]) == 11


def test_what_happened_while_the_portal_was_down_is_told_late_and_says_so(
    deployment: Deployment, workspace: Workspace, mail: Channel
):
    make_rule(workspace, channels=[mail])
    ended(deployment, at=NOW)
    succeeded(deployment, run="two", at=NOW + 2 * MINUTE)

    sweep(now=NOW + 12 * MINUTE)
    sweep(now=NOW + 12 * MINUTE)

    assert events() == ["opened", "resolved"]
    facts = dict(Delivery.objects.earliest("pk").message["facts"])
    assert facts["Told late"] == "12 min 00 s after it happened"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, True),
        ({"dags": "ord*"}, True),
        ({"dags": "bills, customs_*"}, False),
        ({"without_dags": "*ers"}, False),
        ({"tags": "tier-1"}, True),
        ({"tags": "tier-2"}, False),
        ({"deployments": "etl-*"}, True),
        ({"deployments": "prod"}, False),
        ({"since": NOW + MINUTE}, False),
        ({"is_enabled": False}, False),
        ({"kind": "task-failed"}, False),
        ({"kind": "dag-succeeded"}, False),
        ({"kind": "dag-slow", "limit_seconds": 10}, True),
        ({"kind": "dag-slow", "limit_seconds": 60}, False),
    ],
)
def test_a_rule_is_about_what_it_matches(
    deployment: Deployment,
    workspace: Workspace,
    mail: Channel,
    fields: dict[str, Any],
    expected: bool,
):
    DagSummary.objects.create(
        deployment=deployment, dag_id="orders", tags=["tier-1"], is_paused=False,
        has_import_error=False,
    )  # fmt: skip
    make_rule(workspace, channels=[mail], **fields)
    ended(deployment, at=NOW, seconds=30)

    sweep(now=NOW + MINUTE)

    assert bool(events()) == expected


def test_rules_apply_in_their_place_alone(
    deployment: Deployment,
    make_deployment: Callable[..., Deployment],
    organization: Organization,
    workspace: Workspace,
    charlie: User,
    mail: Channel,
):
    elsewhere = Organization.objects.get(slug="elsewhere")
    sibling = Workspace.objects.create(organization=organization, name="Other", slug="other-2")
    other = make_deployment(name="other")
    for place in (elsewhere, sibling):
        make_rule(place, channels=[mail])
    make_rule(workspace, channels=[mail], deployment=other)
    wide = make_rule(organization, channels=[mail])
    narrow = make_rule(workspace, channels=[mail], deployment=deployment)
    ended(deployment)

    sweep(now=NOW + MINUTE)

    assert set(Alert.objects.values_list("rule", flat=True)) == {wide.pk, narrow.pk}


def test_a_task_that_fails_is_told_and_a_run_that_succeeds_ends_it(
    deployment: Deployment, workspace: Workspace, mail: Channel
):
    make_rule(workspace, "task-failed", channels=[mail], tasks="load*")
    ended(deployment, task="extract")
    ended(deployment, task="load_all")
    ended(deployment)

    sweep(now=NOW + MINUTE)

    assert told() == [("opened", f"Task orders.load_all failed in {deployment.name}")]
    succeeded(deployment, at=NOW + 2 * MINUTE)
    sweep(now=NOW + 3 * MINUTE)
    assert events() == ["opened", "resolved"]


def test_a_run_that_is_too_long_is_told_while_it_runs_and_not_again_at_its_end(
    deployment: Deployment, workspace: Workspace, mail: Channel
):
    make_rule(workspace, "dag-slow", channels=[mail], limit_seconds=600)
    start = NOW - timedelta(seconds=700)
    running = [["orders", run, "", int(start.timestamp())] for run in ("one", "two")]
    running.append(["young", "one", "", int(NOW.timestamp())])
    Collection.objects.create(deployment=deployment, next_at=NOW, answered_at=NOW, running=running)

    for minute in range(4):
        sweep(now=NOW + minute * MINUTE / 2)

    assert told() == [("opened", f"DAG orders takes longer than 10 min 00 s in {deployment.name}")]
    assert Alert.objects.get().count == 2
    Collection.objects.update(running=[])
    succeeded(deployment, seconds=900, at=NOW + 3 * MINUTE)
    sweep(now=NOW + 4 * MINUTE)
    assert events() == ["opened"]
    succeeded(deployment, run="three", seconds=20, at=NOW + 5 * MINUTE)
    sweep(now=NOW + 6 * MINUTE)
    assert events() == ["opened", "resolved"]


def test_a_success_is_a_moment(deployment: Deployment, workspace: Workspace, mail: Channel):
    make_rule(workspace, "dag-succeeded", channels=[mail])
    succeeded(deployment)

    sweep(now=NOW + MINUTE)
    sweep(now=NOW + 10 * MINUTE)

    assert events() == ["opened"]
    assert Alert.objects.get().closed_at is not None


def late_rule(place: Any, mail: Channel, **fields: Any) -> None:
    given = {"due_at": time(6, 30), "zone": "Europe/Copenhagen", "within_hours": 6}
    make_rule(place, "dag-late", channels=[mail], **{**given, **fields})


@pytest.fixture
def listed(deployment: Deployment) -> Deployment:
    """Have two DAGs, one of them paused, whose runs are known up to now."""
    for dag, is_paused in (("orders", False), ("archive", True)):
        DagSummary.objects.create(
            deployment=deployment, dag_id=dag, is_paused=is_paused, has_import_error=False
        )
    Collection.objects.create(deployment=deployment, next_at=NOW, listed_until=NOW)
    return deployment


DUE = datetime(2026, 11, 28, 5, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ended_at", "is_late"),
    [
        (None, True),
        (DUE - timedelta(minutes=20), False),
        (DUE - timedelta(hours=7), True),
    ],
)
def test_a_deadline_is_missed_where_no_run_succeeded_in_time(
    listed: Deployment, workspace: Workspace, mail: Channel, ended_at: Any, is_late: bool
):
    late_rule(workspace, mail, since=NOW - timedelta(hours=8))
    if ended_at is not None:
        succeeded(listed, at=ended_at)
        Collection.objects.update(listed_until=NOW)

    sweep(now=NOW)
    sweep(now=NOW + MINUTE)

    title = f"DAG orders missed the deadline 06:30 Europe/Copenhagen in {listed.name}"
    assert told() == ([("opened", title)] if is_late else [])
    if is_late:
        succeeded(listed, run="late", at=NOW + 2 * MINUTE)
        sweep(now=NOW + 3 * MINUTE)
        assert events() == ["opened", "resolved"]


def test_a_deadline_waits_until_the_runs_before_it_are_known(
    listed: Deployment, workspace: Workspace, mail: Channel
):
    late_rule(workspace, mail, since=NOW - timedelta(hours=8))
    Collection.objects.update(listed_until=DUE - MINUTE)

    sweep(now=NOW)
    assert events() == []

    Collection.objects.update(listed_until=DUE + MINUTE)
    sweep(now=NOW + MINUTE)
    assert events() == ["opened"]


def test_incidents_are_told_and_closed_with_them(
    deployment: Deployment, workspace: Workspace, mail: Channel
):
    make_rule(workspace, "incident", channels=[mail], incident_kinds=["unhealthy"])
    make_incident(deployment, kind="import-errors", opened_at=NOW)
    incident = make_incident(
        deployment, kind="unhealthy", title="Airflow is unhealthy", opened_at=NOW
    )
    make_incident(deployment, kind="unhealthy", subject="old", opened_at=NOW - timedelta(days=3))

    sweep(now=NOW + MINUTE)
    sweep(now=NOW + 2 * MINUTE)

    assert told() == [("opened", f"Airflow is unhealthy in {deployment.name}")]
    incident.closed_at = NOW + 3 * MINUTE
    incident.save(update_fields=["closed_at"])
    sweep(now=NOW + 3 * MINUTE)
    sweep(now=NOW + 4 * MINUTE)
    assert events() == ["opened", "resolved"]


def test_an_incident_that_is_over_already_is_told_all_the_same(
    deployment: Deployment, workspace: Workspace, mail: Channel
):
    make_rule(workspace, "incident", channels=[mail])
    make_incident(deployment, opened_at=NOW, closed_at=NOW + MINUTE)

    for minute in range(2, 6):
        sweep(now=NOW + minute * MINUTE)

    assert events() == ["opened", "resolved"]


def test_a_silence_holds_a_message_back_until_it_ends(
    deployment: Deployment, workspace: Workspace, mail: Channel
):
    make_rule(workspace, channels=[mail])
    silence = Silence.objects.create(
        **fields_of(workspace), dags="ord*", begins_at=NOW, ends_at=NOW + timedelta(hours=1)
    )
    ended(deployment)
    ended(deployment, "bills")

    sweep(now=NOW + MINUTE)
    assert told() == [("opened", f"2 DAGs failed in {deployment.name}")]

    Silence.objects.update(dags="")
    ended(deployment, "customs", at=NOW + 2 * MINUTE)
    sweep(now=NOW + 30 * MINUTE)
    assert events() == ["opened"]

    sweep(now=silence.ends_at + MINUTE)
    assert events() == ["opened", "updated"]


def test_what_is_over_before_the_silence_ends_is_not_told(
    deployment: Deployment, workspace: Workspace, mail: Channel
):
    make_rule(workspace, channels=[mail])
    Silence.objects.create(**fields_of(workspace), begins_at=NOW, ends_at=NOW + timedelta(hours=1))
    ended(deployment)
    sweep(now=NOW + MINUTE)
    succeeded(deployment, run="two", at=NOW + 2 * MINUTE)

    sweep(now=NOW + 3 * MINUTE)
    sweep(now=NOW + 90 * MINUTE)

    assert events() == []


def test_it_repeats_and_escalates_until_someone_acknowledges(
    deployment: Deployment, workspace: Workspace, mail: Channel, alice: User
):
    second = make_channel(workspace, alice, name="Second")
    make_rule(
        workspace,
        channels=[mail],
        repeat_minutes=30,
        escalate_minutes=15,
        escalate_to=second,
    )
    ended(deployment)
    for minute in (1, 10, 16, 20, 31, 40):
        sweep(now=NOW + minute * MINUTE)

    rows = list(Delivery.objects.order_by("pk").values_list("event", "channel__name"))
    assert rows == [
        ("opened", mail.name),
        ("escalated", "Second"),
        ("repeated", mail.name),
    ]
    acknowledge(actor=alice, alert_id=Alert.objects.get().pk, now=NOW + 41 * MINUTE)
    sweep(now=NOW + 90 * MINUTE)
    assert len(events()) == 3
    succeeded(deployment, run="two", at=NOW + 91 * MINUTE)
    sweep(now=NOW + 92 * MINUTE)
    resolved = Delivery.objects.filter(event="resolved").values_list("channel__name", flat=True)
    assert set(resolved) == {mail.name, "Second"}


def test_an_end_is_told_where_it_is_asked_for_and_to_receivers_that_track(
    deployment: Deployment, workspace: Workspace, mail: Channel, alice: User
):
    pager = make_channel(workspace, alice, "pagerduty")
    make_rule(workspace, channels=[mail, pager], tells_resolved=False)
    ended(deployment)
    sweep(now=NOW + MINUTE)
    succeeded(deployment, run="two", at=NOW + 2 * MINUTE)

    sweep(now=NOW + 3 * MINUTE)

    resolved = Delivery.objects.filter(event="resolved")
    assert [one.channel for one in resolved] == [pager]
    keys = set(Delivery.objects.values_list("message__key", flat=True))
    assert len(keys) == 1


def test_one_alert_for_each_dag_if_asked_and_the_rest_together(
    deployment: Deployment, workspace: Workspace, mail: Channel
):
    make_rule(workspace, channels=[mail], grouping="dag")
    for number in range(MOST_GROUPS + 5):
        ended(deployment, f"dag_{number}")

    sweep(now=NOW + MINUTE)

    assert Alert.objects.count() == MOST_GROUPS + 1
    assert Alert.objects.get(group="").count == 5
    succeeded(deployment, "dag_0", run="two", at=NOW + 2 * MINUTE)
    sweep(now=NOW + 3 * MINUTE)
    assert Alert.objects.get(group="dag_0").closed_at


@pytest.mark.parametrize("cause", ["rule off", "deleted", "moved", "silent for a week"])
def test_an_alert_ends_when_nothing_can_end_it_otherwise(
    deployment: Deployment,
    workspace: Workspace,
    organization: Organization,
    mail: Channel,
    cause: str,
):
    rule = make_rule(workspace, channels=[mail])
    ended(deployment)
    sweep(now=NOW + MINUTE)
    later = NOW + 2 * MINUTE
    if cause == "rule off":
        rule.is_enabled = False
        rule.save(update_fields=["is_enabled"])
    elif cause == "deleted":
        Deployment.objects.update(phase=Phase.DELETED)
    elif cause == "moved":
        other = Workspace.objects.create(organization=organization, name="O", slug="o-2")
        Deployment.objects.update(workspace=other)
    else:
        later = NOW + timedelta(days=7, minutes=2)

    sweep(now=later)

    assert events() == ["opened", "resolved"]
    assert Alert.objects.get().close_reason


def test_deleting_a_rule_ends_what_receivers_keep_of_it(
    deployment: Deployment, workspace: Workspace, mail: Channel, alice: User
):
    pager = make_channel(workspace, alice, "pagerduty")
    rule = make_rule(workspace, channels=[mail, pager])
    ended(deployment)
    sweep(now=NOW + MINUTE)
    key = Delivery.objects.get(channel=pager).message["key"]

    delete_rule(actor=alice, rule=rule, now=NOW + 2 * MINUTE)

    (last,) = Delivery.objects.all()
    assert (last.channel, last.event, last.message["key"]) == (pager, "resolved", key)
    assert last.message["lines"] == ["The rule was deleted."]
    assert not Rule.objects.exists()
    untold = make_rule(workspace, channels=[pager])
    delete_rule(actor=alice, rule=untold, now=NOW)
    assert Delivery.objects.count() == 1


def test_a_sweep_costs_the_same_number_of_statements_whatever_there_is(
    deployment: Deployment,
    make_deployment: Callable[..., Deployment],
    workspace: Workspace,
    mail: Channel,
):
    kinds = ("dag-failed", "task-failed", "dag-slow", "incident")

    def statements(places: list[Deployment], at: datetime) -> int:
        for one in places:
            Collection.objects.get_or_create(
                deployment=one,
                defaults={
                    "next_at": NOW,
                    "listed_until": NOW,
                    "answered_at": at,
                    "running": [["slow", "r", "", 0]],
                },
            )
            DagSummary.objects.get_or_create(
                deployment=one, dag_id="orders", is_paused=False, has_import_error=False
            )
            make_incident(one, opened_at=at, kind="unhealthy", subject=str(at))
            for dag in ("orders", "bills"):
                ended(one, dag, run=str(at), at=at)
        with CaptureQueriesContext(connection) as captured:
            sweep(now=at + MINUTE)
        return len(captured)

    for kind in kinds:
        make_rule(workspace, kind, channels=[mail], tags="", name=f"A {kind}")
    late_rule(workspace, mail, since=NOW - timedelta(hours=8))
    make_rule(workspace, channels=[mail], tags="tier-1", name="By tag")
    few = [deployment, make_deployment(name="second")]
    statements(few, NOW)
    first = statements([*few, make_deployment(name="third")], NOW + 20 * MINUTE)
    for kind in kinds * 3:
        make_rule(workspace, kind, channels=[mail], name=f"B {kind}")
    more = [make_deployment(name=f"more-{number}") for number in range(6)]
    second = statements([*few, *more], NOW + 40 * MINUTE)

    assert second <= first <= 24


def test_a_sweep_that_fails_has_taken_nothing(
    deployment: Deployment, workspace: Workspace, mail: Channel, monkeypatch: pytest.MonkeyPatch
):
    make_rule(workspace, channels=[mail])
    ended(deployment)

    def fail(*_: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr("apps.alerts.sweeping.telling.write", fail)
        with pytest.raises(RuntimeError), transaction.atomic():
            sweep(now=NOW + MINUTE)

    assert untaken() == 1
    sweep(now=NOW + MINUTE)
    assert events() == ["opened"]
