"""Setting up a page and posting to it, as the people who do it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.alerts.silences.models import Silence
from apps.audit.models import AuditEvent
from apps.deployments.models import Deployment
from apps.organizations.models import Organization, Workspace
from apps.status_pages.copies.writing import write_due
from apps.status_pages.reports.models import Report, Stage
from apps.status_pages.setup.models import Component, StatusPage
from tests.conftest import custom_role, make_user, new_deployment, put_role
from tests.core.pages import check_page
from tests.status_pages.examples import (
    MINUTE,
    Visitor,
    make_component,
    make_page,
    make_report,
    make_subscriber,
)

pytestmark = pytest.mark.django_db
HERE = "/o/nordhavn/status/"
SETTINGS = {
    "name": "Nordhavn data status",
    "address": "Nordhavn-Data",
    "audience": "public",
    "drafting": "draft",
}


@pytest.fixture
def client(alice: User, client_of: Callable[[User], Client]) -> Client:
    return client_of(alice)


@pytest.fixture
def page(organization: Any) -> StatusPage:
    return make_page(organization)


def shown(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status
    text = response.content.decode()
    check_page(text)
    return text


def test_a_page_is_set_up_in_minutes(client: Client, deployment: Deployment):
    assert "Set up a status page" in shown(client, HERE)
    assert "Nordhavn Logistics status" in shown(client, f"{HERE}settings/")
    assert client.post(f"{HERE}settings/", SETTINGS).status_code == 302
    assert "Add a component first" in shown(client, HERE)
    client.post(f"{HERE}switch/", {"to": "on"})
    assert not StatusPage.objects.get().is_on
    shown(client, f"{HERE}components/")
    assert "etl-prod in Warehouse" in shown(client, f"{HERE}components/new/")
    entered = {"name": "Morning reports", "source": "deployments", "deployments": [deployment.pk]}
    assert client.post(f"{HERE}components/new/", entered).status_code == 302

    preview = shown(client, f"{HERE}preview/")
    assert "Morning reports" in preview
    assert "etl-prod" not in preview
    assert "switched off" in preview
    client.post(f"{HERE}switch/", {"to": "on"})
    write_due(now=timezone.now())

    assert b"Morning reports" in Visitor().get("/status/nordhavn-data/")[2]
    assert "etl-prod in Warehouse" in shown(client, f"{HERE}components/")
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {
        "status_page.updated",
        "status_page.component_saved",
        "status_page.switched",
    } <= actions


def test_who_does_not_manage_it_sees_states_and_no_draft(
    page: StatusPage, client_of: Any, bob: User, charlie: User
):
    component = make_component(page)
    draft = make_report(page, component, posted_at=None, title="Not posted yet")
    posted = make_report(page, component)
    his = client_of(bob)

    text = shown(his, HERE)

    assert "Reports are late" in text
    assert "Not posted yet" not in text
    assert "Post incident" not in text
    shown(his, f"{HERE}reports/{posted.pk}/")
    assert his.get(f"{HERE}reports/{draft.pk}/").status_code == 404
    assert his.post(f"{HERE}reports/{posted.pk}/", {}).status_code == 403
    assert his.get(f"{HERE}subscribers/").status_code == 403
    assert client_of(charlie).get(HERE).status_code == 404


def test_an_incident_is_posted_updated_resolved_and_explained(page: StatusPage, client: Client):
    component = make_component(page)
    shown(client, f"{HERE}reports/new/incident/")
    entered = {
        "title": "Reports are late",
        "components": [component.pk],
        "impact": "major",
        "stage": "investigating",
        "text": "We look into it.",
    }

    made = client.post(f"{HERE}reports/new/incident/", entered)
    where = made.url
    update = {"stage": "monitoring", "text": "A fix is in place."}
    assert client.post(where, update).status_code == 302
    assert client.post(where, {"stage": "resolved", "text": "Done."}).status_code == 302
    refused = client.post(where, update)
    client.post(f"{where}postmortem/", {"postmortem": "A disk was full."})

    assert refused.status_code == 422
    assert "This is over already." in refused.content.decode()
    report = Report.objects.get()
    assert report.is_over
    assert not report.is_automatic
    assert report.updates.count() == 3
    assert "A disk was full." in shown(client, where)
    assert AuditEvent.objects.filter(action="status_page.update_posted").count() == 3


def test_a_draft_is_posted_as_edited_or_discarded(page: StatusPage, client: Client):
    component = make_component(page)
    draft = make_report(page, component, posted_at=None, is_automatic=True)
    other = make_report(page, component, posted_at=None)
    where = f"{HERE}reports/{draft.pk}/"
    assert "Disturbed since 12:00 UTC: Morning reports." in shown(client, where)
    entered = {
        "title": "Reports come at noon",
        "components": [component.pk],
        "impact": "minor",
        "begins_at": "2026-11-20T12:00",
        "stage": "identified",
        "text": "A source is late.",
    }

    assert client.post(where, entered).status_code == 302
    client.post(f"{HERE}reports/{other.pk}/discard/")
    client.post(f"{HERE}reports/{draft.pk}/discard/")

    found = Report.objects.get()
    assert (found.title, found.stage, found.is_automatic) == (
        "Reports come at noon",
        Stage.IDENTIFIED,
        False,
    )
    assert found.posted_at is not None


def test_maintenance_is_scheduled_and_cannot_lie_behind(
    page: StatusPage, client: Client, deployment: Deployment
):
    component = make_component(page, deployment)
    shown(client, f"{HERE}reports/new/maintenance/")
    begins = timezone.now() + timedelta(days=1)
    entered = {
        "title": "Database update",
        "components": [component.pk],
        "begins_at": f"{begins:%Y-%m-%dT%H:%M}",
        "ends_at": f"{begins + 60 * MINUTE:%Y-%m-%dT%H:%M}",
        "text": "Reports may be late.",
    }
    wrong = entered | {"ends_at": f"{begins - MINUTE:%Y-%m-%dT%H:%M}"}

    refused = client.post(f"{HERE}reports/new/maintenance/", wrong)
    made = client.post(f"{HERE}reports/new/maintenance/", entered | {"holds_alerts": "on"})
    client.post(f"{HERE}reports/new/maintenance/", entered)

    assert "A maintenance ends after it begins." in refused.content.decode()
    assert "Scheduled" in shown(client, made.url)
    assert {one.stage for one in Report.objects.all()} == {Stage.SCHEDULED}
    silence = Silence.objects.get()
    assert (silence.deployment, silence.reason) == (deployment, "Database update")
    assert silence.ends_at - silence.begins_at == 60 * MINUTE
    assert client.get(f"{HERE}reports/new/party/").status_code == 404


def test_who_manages_no_alerts_silences_none(
    page: StatusPage, organization: Any, deployment: Deployment, alice: User, client_of: Any
):
    permissions = frozenset({"organization.view", "organization.status_page.manage"})
    made = custom_role("Status", permissions, organization=organization, actor=alice)
    ivan = make_user("Ivan")
    put_role(ivan, made, organization)
    begins = timezone.now() + timedelta(days=1)
    entered = {
        "title": "Database update",
        "components": [make_component(page, deployment).pk],
        "begins_at": f"{begins:%Y-%m-%dT%H:%M}",
        "ends_at": f"{begins + 60 * MINUTE:%Y-%m-%dT%H:%M}",
        "text": "Reports may be late.",
        "holds_alerts": "on",
    }

    made = client_of(ivan).post(f"{HERE}reports/new/maintenance/", entered)

    assert made.status_code == 302
    assert not Silence.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"address": "taken"}, "Another status page has this address."),
        ({"address": "no address"}, "Enter a valid"),
        ({"name": ""}, "This field is required"),
        ({"host": "portal.example.org"}, "Select a valid choice"),
    ],
)
def test_what_is_wrong_with_settings_is_said_at_its_field(
    client: Client, charlie: User, settings: Any, wrong: dict[str, str], said: str
):
    settings.STATUS_HOSTS = ["status.example.org"]
    make_page(Organization.objects.get(slug="elsewhere"), address="taken")

    response = client.post(f"{HERE}settings/", SETTINGS | wrong)

    assert response.status_code == 422
    assert said in response.content.decode()
    check_page(response.content.decode())


def test_a_host_name_is_one_that_the_operator_allows_and_of_one_page(
    client: Client, charlie: User, settings: Any
):
    settings.STATUS_HOSTS = ["status.example.org"]
    other = Organization.objects.get(slug="elsewhere")
    make_page(other, host="status.example.org")

    taken = client.post(f"{HERE}settings/", SETTINGS | {"host": "status.example.org"})
    StatusPage.objects.filter(organization=other).update(host="")
    made = client.post(f"{HERE}settings/", SETTINGS | {"host": "status.example.org"})

    assert "Another status page has this host name." in taken.content.decode()
    assert made.status_code == 302


def test_components_are_moved_changed_and_deleted(
    page: StatusPage, client: Client, deployment: Deployment, cluster: Any, make_deployment: Any
):
    one, two = make_component(page, deployment), make_component(page, name="Prices", position=2)
    where = f"{HERE}components/{one.pk}/"
    Component.objects.update(state="operational")

    client.post(f"{HERE}components/{two.pk}/move/", {"to": "up"})
    assert list(page.components.order_by("position")) == [two, one]
    unchosen = client.post(where, {"name": "Reports", "source": "deployments"})
    assert "Choose at least one Deployment." in unchosen.content.decode()
    taken = client.post(where, {"name": "Prices", "source": "portal"})
    assert "There is a component “Prices” already." in taken.content.decode()
    entered = {"name": "Reports", "source": "cluster", "cluster": cluster.pk}
    assert client.post(where, entered).status_code == 302
    one.refresh_from_db()
    assert (one.name, one.state, one.deployments.count()) == ("Reports", "unknown", 0)
    shown(client, f"{where}delete/")
    client.post(f"{where}delete/")
    assert list(page.components.all()) == [two]


def test_deployments_of_others_cannot_be_bound(
    page: StatusPage, client: Client, charlie: User, cluster: Any
):

    theirs = new_deployment(workspace=Workspace.objects.get(slug="other"), cluster=cluster)
    entered = {"name": "Theirs", "source": "deployments", "deployments": [theirs.pk]}

    assert client.post(f"{HERE}components/new/", entered).status_code == 422
    assert client.get(f"{HERE}components/999999/").status_code == 404


def test_subscribers_are_found_and_removed(page: StatusPage, client: Client):
    assert "No subscribers yet" in shown(client, f"{HERE}subscribers/")
    made = make_subscriber(page)
    make_subscriber(page, "bo@example.org", confirmed_at=None)

    assert "1 confirmed, 1 asked" in shown(client, f"{HERE}subscribers/")
    assert "bo@example.org" not in shown(client, f"{HERE}subscribers/?q=ana")
    assert "no" in shown(client, f"{HERE}subscribers/?q=zzz").lower()
    client.post(f"{HERE}subscribers/{made.pk}/remove/")

    assert page.subscribers.count() == 1
    event = AuditEvent.objects.get(action="status_page.subscriber_removed")
    assert "ana@" not in str(event.changes)


def test_the_overview_costs_the_same_however_much_there_is(
    page: StatusPage, client: Client, django_assert_max_num_queries: Any
):
    for number in range(20):
        component = make_component(page, name=f"Part {number}", position=number)
        make_report(page, component, title=f"Incident {number}")
    client.get(HERE)

    with django_assert_max_num_queries(14):
        client.get(HERE)
    with django_assert_max_num_queries(14):
        client.get(f"{HERE}components/")
