"""Status pages by programs: what a page can do, with the same rules."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.core.public_ids import public_id
from apps.organizations.models import Organization
from apps.status_pages.reports.models import Report
from apps.status_pages.setup.models import Component, StatusPage
from apps.status_pages.subscriptions.models import Mailing, Subscriber
from tests.alerts.examples import make_channel
from tests.status_pages.examples import make_component, make_page, make_receiver, make_report
from tests.status_pages.examples import make_subscriber as subscribe

PAGE = "/status-page"


@pytest.fixture
def program(alice: Any, program_of: Any) -> Any:
    return program_of(alice)


def test_a_page_is_set_up_switched_on_and_changed(program: Any, organization: Any, alice: Any):
    channel = make_channel(organization, alice, "slack", url="https://hooks.example.org/x")
    assert program.get(PAGE).status_code == 404

    made = program.post(PAGE, {"about": "For all.", "drafting": "POST"}).json()
    refused = program.post(f"{PAGE}/switch", {"isOn": True})
    program.post(f"{PAGE}/components", {"name": "Console", "source": "PORTAL"})
    on = program.post(f"{PAGE}/switch", {"isOn": True}).json()
    ids = [public_id("channel", channel.pk)]
    changed = program.post(PAGE, {"name": "Status", "notificationChannelIds": ids}).json()
    kept = program.post(PAGE, {"audience": "MEMBERS"}).json()

    assert (made["name"], made["address"]) == ("Nordhavn Logistics status", "nordhavn")
    assert (made["isOn"], made["audience"]) == (False, "PUBLIC")
    assert refused.status_code == 409
    assert (on["isOn"], on["status"]) == (True, "unknown")
    assert (changed["about"], changed["drafting"]) == ("For all.", "POST")
    assert kept["notificationChannelIds"] == ids
    assert (kept["name"], kept["audience"]) == ("Status", "MEMBERS")
    assert program.get(PAGE).json() == kept


@pytest.mark.parametrize(
    "wrong",
    [
        {"audience": "NOBODY"},
        {"address": "a b"},
        {"name": ""},
        {"host": "status.example.org"},
        {"notificationChannelIds": ["c0000000000000000000000000"]},
    ],
)
def test_what_is_wrong_with_a_page_is_said_at_its_field(
    program: Any, organization: Any, wrong: dict[str, Any]
):
    make_page(organization)

    answer = program.post(PAGE, wrong)

    assert answer.status_code == 400
    assert answer.json()["fieldErrors"][0]["field"] == next(iter(wrong))


def test_components_are_added_ordered_changed_and_deleted(
    program: Any, organization: Any, deployment: Any
):
    make_page(organization)
    path, ids = f"{PAGE}/components", [public_id("deployment", deployment.pk)]
    first = program.post(path, {"name": "Reports", "deploymentIds": ids}).json()
    second = program.post(path, {"name": "Console", "source": "PORTAL", "group": "Us"}).json()
    program.post(f"{path}/{second['id']}/move", {"direction": "UP"})
    changed = program.post(f"{path}/{first['id']}", {"name": "Late", "deploymentIds": ids}).json()

    listed = program.get(path).json()

    assert [one["name"] for one in listed["components"]] == ["Console", "Late"]
    assert changed["deploymentIds"] == ids
    assert changed["id"] == first["id"]
    assert program.post(path, {"name": "Late", "source": "PORTAL"}).status_code == 400
    assert program.post(path, {"name": "None"}).json()["fieldErrors"][0]["field"] == "deploymentIds"
    assert program.post(path, {"name": "X", "deploymentIds": ["x"]}).status_code == 400
    assert program.delete(f"{path}/{first['id']}").status_code == 204
    assert program.delete(f"{path}/{first['id']}").status_code == 404
    assert Component.objects.count() == 1


def test_an_incident_is_posted_updated_resolved_and_learned_from(
    program: Any, organization: Any, alice: Any
):
    page = make_page(organization)
    component = make_component(page)
    subscribe(page)
    path = f"{PAGE}/reports"
    body = {"title": "Late", "text": "We look.", "componentIds": [component.key]}
    made = program.post(path, body).json()
    here = f"{path}/{made['id']}"

    early = program.post(f"{here}/postmortem", {"text": "Learned."})
    program.post(f"{here}/updates", {"stage": "MONITORING", "text": "Better."})
    over = program.post(f"{here}/updates", {"stage": "RESOLVED", "text": "Well."}).json()
    late = program.post(f"{here}/updates", {"stage": "RESOLVED", "text": "Again."})
    learned = program.post(f"{here}/postmortem", {"text": "Learned."}).json()

    assert (made["impact"], made["stage"], made["isDraft"]) == ("MINOR", "INVESTIGATING", False)
    assert early.status_code == late.status_code == 409
    assert [one["text"] for one in over["updates"]] == ["Well.", "Better.", "We look."]
    assert over["updates"][0]["createdBy"]["username"] == alice.email
    assert learned["postmortem"] == "Learned."
    assert Mailing.objects.count() == 3
    assert program.get(path, isOver="true").json()["totalCount"] == 1
    assert program.get(path, kind="MAINTENANCE").json()["reports"] == []
    assert program.delete(here).status_code == 409


def test_a_maintenance_has_its_times(program: Any, organization: Any):
    make_page(organization)
    begins = timezone.now().replace(second=0, microsecond=0) + timedelta(days=1)
    body = {
        "kind": "MAINTENANCE",
        "title": "Update",
        "text": "Planned.",
        "beginsAt": begins.isoformat(),
        "endsAt": (begins + timedelta(hours=1)).isoformat(),
    }
    made = program.post(f"{PAGE}/reports", body).json()
    wrong = program.post(f"{PAGE}/reports", {**body, "endsAt": begins.isoformat()})
    missing = program.post(f"{PAGE}/reports", {**body, "endsAt": None})

    assert (made["stage"], made["impact"]) == ("SCHEDULED", "NONE")
    assert Report.objects.get().begins_at == begins
    assert wrong.json()["fieldErrors"][0]["field"] == "endsAt"
    assert missing.json()["fieldErrors"][0]["field"] == "endsAt"


def test_drafts_are_posted_or_discarded_by_those_who_see_them(
    program: Any, organization: Any, bob: Any, program_of: Any
):
    page = make_page(organization)
    component = make_component(page)
    first, second = (make_report(page, component, posted_at=None) for _ in range(2))
    path = f"{PAGE}/reports"
    body = {"title": "Late", "text": "We look.", "componentIds": [component.key]}

    reader = program_of(bob)
    assert reader.get(path).json()["reports"] == []
    assert reader.get(f"{path}/{first.key}").status_code == 404
    assert program.get(path).json()["totalCount"] == 2
    posted = program.post(f"{path}/{first.key}", body).json()
    assert (posted["isDraft"], posted["title"]) == (False, "Late")
    assert program.post(f"{path}/{first.key}", body).status_code == 409
    assert (
        program.post(f"{path}/{second.key}/updates", {"stage": "x", "text": "y"}).status_code == 400
    )
    assert program.delete(f"{path}/{second.key}").status_code == 204
    assert reader.get(path).json()["totalCount"] == 1
    assert program.post(path, {**body, "componentIds": ["x"]}).status_code == 400


def test_subscribers_are_found_and_removed_without_their_secrets(program: Any, organization: Any):
    page = make_page(organization)
    make_receiver(page, "https://hooks.example.org/secret-path")
    asked = subscribe(page, "bo@example.org", confirmed_at=None)
    path = f"{PAGE}/subscribers"

    listed = program.get(path)

    assert b"secret-path" not in listed.content
    assert {one["kind"] for one in listed.json()["subscribers"]} == {"EMAIL", "WEBHOOK"}
    found = program.get(path, search="HOOKS").json()["subscribers"]
    assert [one["host"] for one in found] == ["hooks.example.org"]
    assert program.get(path, isConfirmed="false").json()["totalCount"] == 1
    assert program.delete(f"{path}/{public_id('subscriber', asked.pk)}").status_code == 204
    assert program.delete(f"{path}/{public_id('subscriber', asked.pk)}").status_code == 404
    assert Subscriber.objects.count() == 1


def test_what_belongs_to_another_organization_is_not_there(
    program: Any, organization: Any, charlie: Any, bob: Any, program_of: Any
):
    make_page(organization)
    other = make_page(Organization.objects.get(slug="elsewhere"))
    component, report = make_component(other), make_report(other)
    reader = subscribe(other)

    assert program.delete(f"{PAGE}/components/{component.key}").status_code == 404
    assert program.get(f"{PAGE}/reports/{report.key}").status_code == 404
    assert (
        program.delete(f"{PAGE}/subscribers/{public_id('subscriber', reader.pk)}").status_code
        == 404
    )
    assert program_of(bob).get(f"{PAGE}/components").status_code == 403
    assert StatusPage.objects.count() == 2


def test_a_list_of_a_thousand_asks_few_queries(
    program: Any, organization: Any, django_assert_max_num_queries: Any
):
    page = make_page(organization)
    component = make_component(page)
    made = [make_report(page, component, title=f"Report {number}") for number in range(20)]
    program.get(f"{PAGE}/reports")

    with django_assert_max_num_queries(11):
        assert program.get(f"{PAGE}/reports").json()["totalCount"] == len(made)
