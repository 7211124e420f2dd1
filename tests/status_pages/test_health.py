"""From health to states, days and incidents."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from apps.alerts.deliveries.models import Delivery
from apps.clusters.models import Cluster
from apps.deployments.models import Deployment, Health
from apps.observability.incidents.kinds import KINDS
from apps.observability.incidents.models import Incident
from apps.status_pages.cleanup import forget_old
from apps.status_pages.copies.bars import in_words, runs_of
from apps.status_pages.copies.content import content_of
from apps.status_pages.health.evaluation import evaluate
from apps.status_pages.health.models import ComponentDay
from apps.status_pages.health.sensing import DEGRADED, DOWN, NOT_SEEN, of_cluster, together
from apps.status_pages.posting.drafting import keep_times
from apps.status_pages.reports.models import Report, Stage
from apps.status_pages.setup.models import StatusPage
from apps.status_pages.setup.states import State
from apps.status_pages.subscriptions.models import Mailing
from tests.alerts.examples import make_channel
from tests.status_pages.examples import (
    LOOK,
    MINUTE,
    NOW,
    break_down,
    look,
    make_component,
    make_page,
    make_report,
    make_subscriber,
    state_of,
)

UP, SLOW, PART, BAD, NONE = (
    State.OPERATIONAL,
    State.DEGRADED,
    State.PARTIAL,
    State.MAJOR,
    State.UNKNOWN,
)


@pytest.fixture
def page(organization: Any) -> StatusPage:
    return make_page(organization)


@pytest.mark.parametrize(
    ("states", "wanted"),
    [
        ([], NONE),
        ([None], NONE),
        ([UP], UP),
        ([UP, None], UP),
        ([UP, NONE], NONE),
        ([SLOW, NONE], SLOW),
        ([UP, SLOW], SLOW),
        ([BAD, UP], PART),
        ([BAD, NONE], PART),
        ([BAD, None], BAD),
        ([BAD, BAD], BAD),
    ],
)
def test_several_deployments_are_one_state(states: list[Any], wanted: State):
    assert together(states) == wanted


def test_a_cluster_is_down_when_it_was_not_reached_for_two_minutes():
    away = Cluster(unreachable_since=NOW - 2 * MINUTE)

    assert of_cluster(Cluster(), NOW) == UP
    assert of_cluster(away, NOW - LOOK) == UP
    assert of_cluster(away, NOW) == BAD
    assert of_cluster(Cluster(removed_at=NOW), NOW) == NONE
    assert of_cluster(None, NOW) == NONE


def test_kinds_that_matter_to_readers_exist():

    assert KINDS.keys() >= DOWN | DEGRADED | NOT_SEEN


@pytest.mark.django_db
def test_a_state_lasts_before_it_is_told(page: StatusPage, deployment: Deployment):
    component = make_component(page, deployment)
    at = look(1, at=NOW)
    assert state_of(component) == UP

    incident = break_down(deployment)
    at = look(1, at=at)
    assert state_of(component) == UP
    at = look(1, at=at)
    assert state_of(component) == BAD
    Incident.objects.filter(pk=incident.pk).update(closed_at=at)
    at = look(6, at=at)
    assert state_of(component) == BAD
    look(1, at=at)
    assert state_of(component) == UP


@pytest.mark.django_db
def test_health_that_flaps_is_one_incident(page: StatusPage, deployment: Deployment):
    component = make_component(page, deployment)
    at = look(1, at=NOW)
    incident = break_down(deployment)
    for _ in range(10):
        at = look(2, at=at)
        Incident.objects.filter(pk=incident.pk).update(closed_at=at)
        at = look(2, at=at)
        Incident.objects.filter(pk=incident.pk).update(closed_at=None)

    assert state_of(component) == BAD
    assert Report.objects.count() == 1


@pytest.mark.django_db
def test_what_the_portal_did_not_see_is_no_data(page: StatusPage, deployment: Deployment):
    component = make_component(page, deployment)

    at = look(5, at=NOW)
    look(3, at=at + timedelta(hours=2))

    row = ComponentDay.objects.get(component=component)
    assert row.operational == 4 * 30 + 2 * 30
    Deployment.objects.update(health=Health.UNKNOWN)
    look(3, at=at + timedelta(hours=3))
    assert state_of(component) == NONE


@pytest.mark.django_db
def test_what_no_worker_observes_any_more_is_not_green(page: StatusPage, deployment: Deployment):
    component = make_component(page, deployment)
    look(1, at=NOW)

    for number in range(62, 65):
        evaluate(now=NOW + number * LOOK)

    assert state_of(component) == NONE


@pytest.mark.django_db
def test_the_bars_are_of_recorded_days(page: StatusPage, deployment: Deployment):
    component = make_component(page, deployment)
    look(1, at=NOW)
    today = NOW.date()
    rows = [(0, {"operational": 86_000}), (1, {"operational": 80_000, "major_outage": 6_400})]
    rows += [(3, {"operational": 86_400, "degraded_performance": 59})]
    for back, seconds in rows:
        day = today - timedelta(days=back)
        ComponentDay.objects.create(component=component, day=day, **seconds)

    shown = content_of(page, now=NOW).components[0]

    assert [one.state for one in shown.days[-4:]] == [UP, NONE, BAD, UP]
    assert shown.data_days == 3
    assert shown.uptime == pytest.approx(100 * (1 - 6_400 / 258_859))
    assert [run.tone for run in runs_of(shown.days)] == ["idle", "good", "idle", "bad", "good"]
    assert "Down on 27 November. No data on 87 days." in in_words(shown)
    assert runs_of(shown.days)[-1].ends == 359


@pytest.mark.django_db
def test_an_incident_is_drafted_under_public_names_and_ends_with_it(
    page: StatusPage, make_deployment: Any
):
    first, second = make_deployment(name="etl-secret"), make_deployment(name="crm-secret")
    one, two = make_component(page, first), make_component(page, second, name="Prices")
    at = look(1, at=NOW)
    incidents = [break_down(first), break_down(second, "tasks-lost")]
    at = look(3, at=at)

    draft = Report.objects.get()
    assert draft.is_draft
    assert set(draft.components.all()) == {one, two}
    assert "secret" not in draft.title
    assert draft.impact == "critical"
    assert content_of(page, now=at).reports == ()
    Incident.objects.filter(pk__in=[one.pk for one in incidents]).update(closed_at=at)
    look(8, at=at)
    draft.refresh_from_db()
    assert draft.is_draft
    assert draft.is_over
    assert forget_old(now=at + timedelta(days=40)) > 0
    assert not Report.objects.exists()


@pytest.mark.django_db
def test_where_the_setting_says_so_the_portal_posts_and_resolves_and_people_are_told_twice(
    page: StatusPage, deployment: Deployment, alice: Any
):
    StatusPage.objects.update(drafting=StatusPage.Drafting.POST)
    page.channels.add(make_channel(page.organization, alice, "slack"))
    make_subscriber(page)
    make_component(page, deployment)
    at = look(1, at=NOW)
    incident = break_down(deployment)
    at = look(5, at=at)
    Incident.objects.filter(pk=incident.pk).update(closed_at=at)
    look(9, at=at)

    report = Report.objects.get()
    stages = list(report.updates.order_by("pk").values_list("stage", flat=True))
    assert stages == [Stage.INVESTIGATING, Stage.RESOLVED]
    assert Mailing.objects.count() == 2
    told = [one.message["title"] for one in Delivery.objects.order_by("pk")]
    assert told[0] == "Investigating: Morning reports is down"
    assert told[1].startswith("Resolved: ")
    assert "etl-prod" not in str([one.message for one in Delivery.objects.all()])


@pytest.mark.django_db
def test_nothing_is_drafted_where_that_is_off_or_a_report_says_it_already(
    page: StatusPage, deployment: Deployment
):
    component = make_component(page, deployment)
    at = look(1, at=NOW)
    break_down(deployment)
    report = make_report(page, component)
    at = look(4, at=at)
    assert Report.objects.count() == 1
    report.stage, report.over_at = Stage.RESOLVED, at
    report.save()
    StatusPage.objects.update(drafting=StatusPage.Drafting.NEVER)

    look(4, at=at)

    assert Report.objects.count() == 1


@pytest.mark.django_db
def test_a_maintenance_begins_and_ends_by_itself_and_is_no_outage(
    page: StatusPage, deployment: Deployment
):
    component = make_component(page, deployment)
    at = look(1, at=NOW)
    report = make_report(
        page,
        component,
        kind="maintenance",
        stage=Stage.SCHEDULED,
        begins_at=NOW + MINUTE,
        ends_at=NOW + 5 * MINUTE,
    )
    break_down(deployment)
    seen = []
    for _ in range(14):
        keep_times(now=at)
        evaluate(now=at)
        seen.append(content_of(page, now=at).state)
        at += LOOK

    report.refresh_from_db()
    assert report.stage == Stage.COMPLETED
    assert State.MAINTENANCE in seen
    row = ComponentDay.objects.get(component=component)
    assert row.under_maintenance >= 200
    assert row.major_outage <= 150
    assert Report.objects.filter(kind="incident").count() <= 1


@pytest.mark.django_db
def test_a_look_costs_the_same_however_many_components_there_are(
    page: StatusPage, make_deployment: Any, django_assert_num_queries: Any
):
    for number in range(3):
        make_component(page, make_deployment(), name=f"Part {number}")
    look(1, at=NOW)
    with django_assert_num_queries(10):
        evaluate(now=NOW + LOOK)
    for number in range(5):
        make_component(page, make_deployment(), name=f"More {number}")
    look(1, at=NOW + 2 * LOOK)

    with django_assert_num_queries(10):
        evaluate(now=NOW + 3 * LOOK)


@pytest.mark.django_db
def test_a_deployment_that_is_deleted_leaves_no_data(page: StatusPage, deployment: Deployment):
    component = make_component(page, deployment)
    at = look(1, at=NOW)

    Deployment.objects.update(phase="deleted")
    look(3, at=at)

    assert state_of(component) == NONE


@pytest.mark.django_db
def test_clocks_that_jump_count_nothing(page: StatusPage):
    component = make_component(page)
    at = look(3, at=NOW)
    page.components.update(evaluated_at=F("evaluated_at") + timedelta(hours=1))

    look(2, at=at)

    assert ComponentDay.objects.get(component=component).operational == 60 + 30
