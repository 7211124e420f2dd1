from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.access.grants.services import grant
from apps.access.models import Role
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.clusters.models import Cluster
from apps.dataplane.errors import Permanent, Temporary, Unreachable
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.status import Drift
from apps.deployments.editing.services import deploy_code, update_config
from apps.deployments.models import (
    Deployment,
    DeploymentGrant,
    Operation,
    OperationState,
    OperationStep,
    Phase,
)
from tests.deployments.conftest import CONFIGURATION, drive
from tests.deployments.pages import assert_well_made, form_data, text_of

ClientOf = Callable[[User], Client]
PAGES = (
    "",
    "environment/",
    "revisions/",
    "revisions/1/",
    "operations/",
    "operations/1/",
    "access/",
)
# For a person who may do everything; why something is locked is asked once, in one query.
MOST_QUERIES = {
    "": 5,
    "analytics/": 10,
    "environment/": 8,
    "revisions/": 6,
    "revisions/1/": 5,
    "operations/": 6,
    "operations/1/": 9,
    "access/": 11,
    "logs/": 5,
}
FRAGMENT = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def browser(alice: User, client_of: ClientOf) -> Client:
    return client_of(alice)


@pytest.mark.parametrize("page", PAGES)
def test_pages_open_for_alice_and_bob_and_hide_from_charlie(
    running: Deployment, alice: User, bob: User, charlie: User, client_of: ClientOf, page: str
) -> None:
    url = f"/d/{running.ref}/{page}"

    assert client_of(alice).get(url).status_code == 200
    assert client_of(bob).get(url).status_code == 200
    assert client_of(charlie).get(url).status_code == 404


@pytest.mark.parametrize("page", [*PAGES, "configure/", "delete/"])
def test_pages_are_well_made(browser: Client, running: Deployment, bob: User, page: str) -> None:
    assert_well_made(browser.get(f"/d/{running.ref}/{page}"))


def test_a_form_full_of_errors_is_well_made(browser: Client, running: Deployment) -> None:
    url = f"/d/{running.ref}/configure/"
    data = form_data(browser.post(url, form_data(browser.get(url)) | {"row": "add queues"}))
    data = form_data(browser.post(url, data | {"row": "add variables"}))
    data |= {"variables-0-key": "9", "variables-0-is_secret": "on", "variables-0-value": "x"}
    data |= {"queues-0-max_workers": "99", "queues-1-min_workers": "x"}

    response = browser.post(url, data)

    assert response.status_code == 422
    assert_well_made(response)
    assert "Error: Configure etl-prod" in response.content.decode()


@pytest.mark.parametrize(
    "page", ["try-again/", "revisions/1/restore/", "delete/", "access/", "access/take/"]
)
def test_bob_may_change_nothing_and_charlie_finds_nothing(
    running: Deployment, bob: User, charlie: User, client_of: ClientOf, page: str
) -> None:
    url = f"/d/{running.ref}/{page}"

    assert client_of(bob).post(url, {}).status_code == 403
    assert client_of(charlie).post(url, {}).status_code == 404


def test_bob_sees_which_role_each_locked_action_needs(
    running: Deployment, bob: User, client_of: ClientOf
) -> None:
    text = text_of(client_of(bob).get(f"/d/{running.ref}/"))

    assert "Configure" in text
    assert "needs the role Deployment Admin or Workspace Operator" in text
    assert "Ask Alice" in text


def test_a_new_deployment_is_being_created_never_unhealthy(
    browser: Client, created: Deployment
) -> None:
    text = text_of(browser.get(f"/d/{created.ref}/"))

    assert "Creating" in text
    assert "Unhealthy" not in text
    assert "View steps" in text


def test_health_of_before_does_not_stand_beside_a_change(
    browser: Client, created: Deployment, plane: type[FakePlane]
) -> None:
    plane.store.apply_passes_needed = 3
    drive(created)
    stopped = {"name": "scheduler", "state": "stopped", "ready": 0, "wanted": 1}
    Deployment.objects.update(
        health="stopped",
        health_since=timezone.now(),
        observation=Deployment.objects.get().observation | {"components": [stopped]},
    )

    text = text_of(browser.get(f"/d/{created.ref}/"))

    assert "Creating" in text
    assert "Stopped" not in text
    assert "Not started" in text


def test_airflow_is_not_offered_before_there_is_one(browser: Client, created: Deployment) -> None:
    before = browser.get(f"/d/{created.ref}/")
    drive(created)
    after = browser.get(f"/d/{created.ref}/")

    assert f'action="/d/{created.ref}/airflow/"' not in before.content.decode()
    assert "Airflow has not started for the first time yet." in text_of(before)
    assert f'action="/d/{created.ref}/airflow/"' in after.content.decode()


@pytest.mark.parametrize("page", ["d/{ref}/", "w/warehouse/deployments/", "d/{ref}/operations/1/"])
def test_a_second_poll_of_the_same_state_has_no_body(
    browser: Client, running: Deployment, page: str
) -> None:
    url = "/" + page.format(ref=running.ref)
    first = browser.get(url, headers=FRAGMENT)

    second = browser.get(url, headers={**FRAGMENT, "HX-PTag": first["HX-PTag"]})
    Deployment.objects.update(health="unhealthy", name="renamed")
    Operation.objects.update(title="renamed")
    third = browser.get(url, headers={**FRAGMENT, "HX-PTag": first["HX-PTag"]})

    assert (first.status_code, second.status_code, third.status_code) == (200, 304, 200)
    assert second.content == b""
    assert second["X-As-Of"]
    assert b"renamed" in third.content


def test_a_new_look_that_saw_the_same_is_told_by_a_header_alone(
    browser: Client, running: Deployment
) -> None:
    url = f"/d/{running.ref}/"
    first = browser.get(url, headers=FRAGMENT)
    later = timezone.now() + timedelta(seconds=7)
    Deployment.objects.update(
        observation=running.observation | {"observed_at": later.isoformat()}, observed_at=later
    )

    second = browser.get(url, headers={**FRAGMENT, "HX-PTag": first["HX-PTag"]})

    assert second.status_code == 304
    assert second["X-Checked-At"] == later.isoformat()


def test_the_overview_shows_components_queues_and_addresses(
    browser: Client, running: Deployment
) -> None:
    text = text_of(browser.get(f"/d/{running.ref}/"))

    assert "Healthy" in text
    for word in (
        "scheduler",
        "api-server",
        "worker default",
        "min 1 · max 2",
        f"/{running.ref}/api/v2",
    ):
        assert word in text


def test_workers_that_wait_for_tasks_are_idle_not_stopped(
    browser: Client, running: Deployment
) -> None:
    component = {"name": "worker default", "state": "stopped", "ready": 0, "wanted": 0}
    observation = running.observation | {"components": [component]}
    Deployment.objects.update(observation=observation)

    response = browser.get(f"/d/{running.ref}/")

    text = text_of(response)
    assert "Idle" in text
    assert "Starts when tasks are queued" in text
    assert "Stopped" not in text
    assert "#sleep" in response.content.decode()


@pytest.mark.parametrize(
    ("runtime", "words"), [("3.3.2-1", "3.3.2-1, Airflow 3.3.2"), ("1.0-gone", "1.0-gone")]
)
def test_the_facts_name_the_runtime_and_its_airflow(
    browser: Client, make_deployment: Callable[..., Deployment], runtime: str, words: str
) -> None:
    deployment = make_deployment(config={"runtime": runtime})
    assert f"Runtime{words} Executor" in text_of(browser.get(f"/d/{deployment.ref}/"))


def test_the_fragment_carries_the_title_along_and_slows_down_when_settled(
    browser: Client, created: Deployment
) -> None:
    unsettled = browser.get(f"/d/{created.ref}/", headers=FRAGMENT).content.decode()
    drive(created)
    settled = browser.get(f"/d/{created.ref}/", headers=FRAGMENT).content.decode()

    assert 'data-hx-trigger="every 2s, changed"' in unsettled
    assert 'data-hx-trigger="every 5s, changed"' in settled
    assert 'data-hx-swap-oob="outerMorph"' in settled
    assert "<html" not in settled


def test_pausing_stops_the_polling(browser: Client, running: Deployment) -> None:
    polls = b'data-hx-trigger="every'

    assert polls in browser.get(f"/d/{running.ref}/").content
    assert polls not in browser.get(f"/d/{running.ref}/?live=off").content


def test_a_silent_plane_is_unknown_not_unhealthy(
    browser: Client, running: Deployment, plane: type[FakePlane]
) -> None:
    plane.store.fail("observe", Unreachable("The data plane does not answer."), times=None)
    plane.store.fail("apply", Unreachable("The data plane does not answer."), times=None)
    drive(running)

    text = text_of(browser.get(f"/d/{running.ref}/"))

    assert "Unknown" in text
    assert "does not answer" in text


def test_an_unreachable_cluster_is_said_with_the_age_of_what_is_shown(
    browser: Client, running: Deployment
) -> None:
    silent = Cluster.objects.filter(pk=running.cluster_id)
    silent.update(unreachable_since=timezone.now(), last_error="eu-1 took no connection.")

    response = browser.get(f"/d/{running.ref}/")

    assert_well_made(response)
    text = text_of(response)
    assert "Unreachable" in text
    assert "has been unreachable since" in text
    assert "eu-1 took no connection. This page shows data from" in text
    row = text_of(browser.get(f"/w/{running.workspace.slug}/deployments/"))
    assert "Unreachable" in row


DRIFT = {
    "is_drifted": True,
    "drift": [
        {
            "object": "Deployment/scheduler",
            "fields": ["spec.replicas", "<b>.image"],
            "values": {"spec.replicas": ["1", "3"]},
        },
        {"object": "Service/api-server", "fields": []},
    ],
}


def drifted(deployment: Deployment, *, corrects: bool) -> str:
    assert deployment.wanted is not None
    deployment.wanted.config["corrects_drift"] = corrects
    deployment.wanted.save(update_fields=["config"])
    deployment.observation |= DRIFT
    deployment.save(update_fields=["observation"])
    return f"/d/{deployment.ref}/"


def test_drift_that_is_corrected_is_said_with_its_objects(
    browser: Client, running: Deployment
) -> None:
    response = browser.get(drifted(running, corrects=True))

    assert_well_made(response)
    text = text_of(response)
    assert "Deployment/scheduler" in text
    assert "spec.replicas" in text
    assert "spec.replicas 1 3" in text
    assert "<b>.image" in text
    assert "<b>.image not shown not shown" in text
    assert "The portal reverts it." in text
    assert "Revert" not in text


def test_drift_that_is_left_alone_can_be_put_back(
    browser: Client, running: Deployment, plane: type[FakePlane]
) -> None:
    url = drifted(running, corrects=False)
    assert "Revert" in text_of(browser.get(url))
    scheduler = Drift(object="Deployment/scheduler", fields=("spec.replicas",))
    plane.store.airflows[running.ref].drift = (scheduler,)

    response = browser.post(f"{url}put-back/", follow=True)

    assert "Revert drift from revision 1" in text_of(response)
    row = drive(running)
    assert row.wanted is not None
    assert row.wanted.state == "applied"
    assert plane.store.airflows[running.ref].drift == ()
    event = AuditEvent.objects.get(action="deployment.put_back")
    assert event.changes["Service/api-server"] == ["", "reverted"]


def test_when_nothing_differs_any_more_there_is_nothing_to_put_back(
    browser: Client, running: Deployment
) -> None:
    response = browser.post(f"/d/{running.ref}/put-back/", follow=True)

    assert "nothing to revert" in text_of(response)
    assert Operation.objects.count() == 1


def test_drift_is_put_back_by_those_who_may_change_the_deployment(
    running: Deployment, bob: User, charlie: User, client_of: ClientOf
) -> None:
    url = drifted(running, corrects=False)

    assert "Revert" not in text_of(client_of(bob).get(url))
    assert client_of(bob).post(f"{url}put-back/").status_code == 403
    assert client_of(charlie).post(f"{url}put-back/").status_code == 404


def test_warnings_of_the_cluster_are_shown_for_an_hour(
    browser: Client, running: Deployment
) -> None:
    def notice(reason: str, minutes: int) -> dict[str, Any]:
        at = timezone.now() - timedelta(minutes=minutes)
        message = "Back-off pulling image “x”."
        shown = {"object": "Pod/scheduler-1", "message": message, "count": 3}
        return {**shown, "reason": reason, "last_at": at.isoformat()}

    running.observation["notices"] = [notice("BackOff", 2), notice("Old", 70)]
    running.save(update_fields=["observation"])

    response = browser.get(f"/d/{running.ref}/")

    assert_well_made(response)
    text = text_of(response)
    assert "BackOff · Pod/scheduler-1 Back-off pulling image “x”." in text
    assert "Old ·" not in text


@pytest.mark.parametrize(("state", "is_folded"), [("running", True), ("starting", False)])
def test_warnings_that_are_over_are_folded_away(
    browser: Client, running: Deployment, state: str, is_folded: bool
) -> None:
    def notice(name: str, minutes: int, **more: Any) -> dict[str, Any]:
        at = (timezone.now() - timedelta(minutes=minutes)).isoformat()
        return {"object": name, "reason": "R", "message": "S", "count": 1, "last_at": at} | more

    running.observation["components"][0] |= {"state": state}
    running.observation["notices"] = [
        notice("Pod/late", 1),
        notice("Pod/gone", 2, is_over=True),
        notice("ScaledObject/early", 20),
    ]
    running.health_since = timezone.now() - timedelta(minutes=10)
    running.save(update_fields=["observation", "health_since"])

    response = browser.get(f"/d/{running.ref}/")

    assert_well_made(response)
    shown, _, folded = text_of(response).partition("resolved")
    assert "Pod/late" in shown
    assert "Pod/gone" in folded
    assert "ScaledObject/early" in (folded if is_folded else shown)


def test_what_is_not_known_of_a_queue_is_not_made_up(browser: Client, running: Deployment) -> None:
    note = "Workers stay at 2: the cluster has no KEDA."
    queue = {"name": "default", "workers_ready": 2, "workers_wanted": 2, "note": note}
    running.observation["queues"] = [queue | {"tasks_queued": None, "tasks_running": None}]
    running.save(update_fields=["observation"])

    text = text_of(browser.get(f"/d/{running.ref}/"))

    assert "queue unknown" in text
    assert note in text


BROKEN = Permanent(
    "The scheduler ended three times in a row.",
    component="scheduler",
    log=("Traceback", "ValueError: <b>boom</b>"),
)


def failed(
    deployment: Deployment, plane: type[FakePlane], actor: User, error: Permanent = BROKEN
) -> Operation:
    plane.store.fail("apply", error)
    operation = deploy_code(actor=actor, deployment=deployment, digest="a" * 64, summary="Deploy 1")
    drive(deployment)
    return operation


def test_a_failed_operation_names_the_component_its_last_lines_and_the_ways_on(
    browser: Client, running: Deployment, plane: type[FakePlane], alice: User
) -> None:
    operation = failed(running, plane, alice)

    response = browser.get(f"/d/{running.ref}/operations/{operation.number}/")

    text = text_of(response)
    assert "scheduler: The scheduler ended three times in a row." in text
    assert "ValueError: <b>boom</b>" in text
    assert "<b>boom" not in response.content.decode()
    assert "Restore revision 1" in text
    assert "Retry" in text
    assert f'href="/d/{running.ref}/logs/?component=scheduler"' in response.content.decode()
    assert "data-hx-trigger" not in response.content.decode()


def test_a_failed_creation_offers_no_way_back(
    browser: Client, created: Deployment, plane: type[FakePlane]
) -> None:
    plane.store.fail("apply", Permanent("The port is taken.", component="api-server"))
    drive(created)

    text = text_of(browser.get(f"/d/{created.ref}/operations/1/"))

    assert "api-server: The port is taken." in text
    assert "Retry" in text
    assert "Restore revision" not in text


def test_what_has_no_log_of_its_own_leads_to_the_logs_there_are(
    browser: Client, running: Deployment, plane: type[FakePlane], alice: User
) -> None:
    lost = Permanent("The database is lost.", component="metadata database", log=("gone",))
    operation = failed(running, plane, alice, lost)

    response = browser.get(f"/d/{running.ref}/operations/{operation.number}/")

    assert "metadata database: The database is lost." in text_of(response)
    assert f'href="/d/{running.ref}/logs/"' in response.content.decode()
    assert "?component=" not in response.content.decode()


def test_bob_reads_a_failure_but_gets_no_button(
    bob: User, alice: User, running: Deployment, plane: type[FakePlane], client_of: ClientOf
) -> None:
    operation = failed(running, plane, alice)

    text = text_of(client_of(bob).get(f"/d/{running.ref}/operations/{operation.number}/"))

    assert "ValueError" in text
    assert "View logs" in text
    assert "Retry" not in text


def test_the_overview_says_that_an_update_failed(
    browser: Client, running: Deployment, plane: type[FakePlane], alice: User
) -> None:
    failed(running, plane, alice)

    text = text_of(browser.get(f"/d/{running.ref}/"))

    assert "Update failed" in text
    assert "Restore revision 1" in text


@pytest.mark.parametrize("began", [False, True])
def test_only_a_revision_that_would_be_accepted_is_offered(
    browser: Client, created: Deployment, plane: type[FakePlane], alice: User, began: bool
) -> None:
    older = replace(CONFIGURATION, runtime="3.2.2-1")
    update_config(actor=alice, deployment=created, configuration=older, base_revision_number=1)
    drive(created)
    upgrade = update_config(
        actor=alice, deployment=created, configuration=CONFIGURATION, base_revision_number=2
    )
    now = timezone.now()
    for position, key in enumerate(("runtime", "migrate")):
        has_begun = began or key == "runtime"
        OperationStep.objects.create(
            operation=upgrade,
            position=position,
            key=key,
            title=key,
            state="running" if has_begun else "waiting",
            started_at=now if has_begun else None,
        )
    plane.store.fail("apply", BROKEN)
    drive(created)

    pages = [
        text_of(browser.get(f"/d/{created.ref}/{page}"))
        for page in ("", f"operations/{upgrade.number}/", "revisions/", "revisions/2/")
    ]

    assert ["Restore revision 2" in page for page in pages[:3]] == [not began] * 3
    assert ("Restore this revision" in pages[3]) is not began
    for page in pages[2:]:
        assert ("Airflow cannot be downgraded from 3.3.2 to 3.2.2" in page) is began


def test_trying_again_begins_another_operation(
    browser: Client, running: Deployment, plane: type[FakePlane], alice: User
) -> None:
    failed(running, plane, alice)

    response = browser.post(f"/d/{running.ref}/try-again/")

    assert response["Location"] == f"/d/{running.ref}/operations/3/"
    drive(running)
    assert "Done in" in text_of(browser.get(response["Location"]))


def test_trying_again_without_a_failure_is_told(browser: Client, running: Deployment) -> None:
    response = browser.post(f"/d/{running.ref}/try-again/", follow=True)

    assert "Nothing has failed" in text_of(response)


def test_going_back_is_reviewed_first(
    browser: Client, running: Deployment, plane: type[FakePlane], alice: User
) -> None:
    failed(running, plane, alice)

    url = browser.post(f"/d/{running.ref}/revisions/1/restore/")["Location"]
    review = text_of(browser.get(url))
    assert "Restore revision 1" in review
    assert "Rolls back to the example DAGs" in review
    assert "Back to editing" not in review

    response = browser.post(url, {})
    drive(running)

    running.refresh_from_db()
    assert running.wanted.number == 3
    assert running.wanted.code_digest == ""
    assert "Done in" in text_of(browser.get(response["Location"]))


def test_a_running_operation_polls_itself_and_ends_by_itself(
    browser: Client, created: Deployment, plane: type[FakePlane]
) -> None:
    plane.store.apply_passes_needed = 3
    drive(created)
    url = f"/d/{created.ref}/operations/1/"

    during = browser.get(url, headers=FRAGMENT).content.decode()
    drive(created, passes=3)
    after = browser.get(url, headers=FRAGMENT).content.decode()

    assert 'data-hx-trigger="every 2s, changed"' in during
    assert "Step 2 of 7" in during
    assert "data-hx-trigger" not in after
    assert "<html" not in after


def test_steps_that_did_not_run_say_so_and_never_that_they_took_no_time(
    browser: Client, created: Deployment, plane: type[FakePlane]
) -> None:
    plane.store.apply_passes_needed = 3
    drive(created)
    plane.store.fail("apply", Permanent("The image is missing."))
    drive(created)
    operation = Operation.objects.get()
    operation.steps.filter(position=0).update(state="skipped", started_at=None, ended_at=None)

    text = text_of(browser.get(f"/d/{created.ref}/operations/1/"))

    assert operation.state == "failed"
    assert "Install the runtime Not run" in text
    assert "Wait until Airflow is healthy Not run" in text
    assert text.count("Not run") == operation.steps.filter(state="waiting").count() + 1
    assert " 0 s" not in text


def test_an_operation_that_has_to_wait_says_why(
    browser: Client, created: Deployment, plane: type[FakePlane]
) -> None:
    plane.store.fail("apply", Temporary("No port is free on this machine."))
    drive(created)

    text = text_of(browser.get(f"/d/{created.ref}/operations/1/"))

    assert "Delayed" in text
    assert "No port is free on this machine." in text


def test_the_end_of_an_operation_is_announced_once(browser: Client, running: Deployment) -> None:
    url = f"/d/{running.ref}/operations/1/"

    assert b'id="live" role="status" data-hx-swap-oob' in browser.get(url, headers=FRAGMENT).content
    assert b"data-hx-swap-oob" not in browser.get(url).content


def test_a_quarantined_deployment_can_be_tried_again(browser: Client, running: Deployment) -> None:
    Deployment.objects.update(quarantined_at=timezone.now(), last_error="The worker ended.")

    text = text_of(browser.get(f"/d/{running.ref}/"))
    assert "Stopped retrying" in text
    assert "Retry" in text

    browser.post(f"/d/{running.ref}/try-again/")
    drive(running)
    assert "Stopped retrying" not in text_of(browser.get(f"/d/{running.ref}/"))


@pytest.mark.parametrize(
    "page", ["operations/9/", "revisions/9/", "operations/99999999999999999999/"]
)
def test_what_does_not_exist_is_not_found(browser: Client, running: Deployment, page: str) -> None:
    assert browser.get(f"/d/{running.ref}/{page}").status_code == 404


@pytest.mark.parametrize("typed", ["", "etl", "ETL-PROD", "etl-prod2", "\x00"])
def test_deleting_needs_the_exact_name(browser: Client, running: Deployment, typed: str) -> None:
    response = browser.post(f"/d/{running.ref}/delete/", {"confirm": typed})

    assert response.status_code == 422
    assert "Type etl-prod to delete it." in text_of(response)
    running.refresh_from_db()
    assert running.phase == Phase.ACTIVE


def test_deleting_ends_with_a_page_that_says_so_and_a_free_name(
    browser: Client, running: Deployment, create: Callable[..., Operation]
) -> None:
    response = browser.post(f"/d/{running.ref}/delete/", {"confirm": " etl-prod "})
    assert "Deleting" in text_of(browser.get(f"/d/{running.ref}/"))
    drive(running)

    assert "etl-prod is deleted" in text_of(browser.get(response["Location"]))
    assert "This Deployment was deleted" in text_of(browser.get(f"/d/{running.ref}/"))
    assert browser.get(f"/d/{running.ref}/delete/").status_code == 302
    assert browser.get(f"/d/{running.ref}/configure/").status_code == 302
    for page in ("revisions/", "operations/", "access/", "environment/"):
        assert browser.get(f"/d/{running.ref}/{page}").status_code == 200
    assert create("etl-prod").deployment.pk != running.pk


@pytest.fixture
def dora(organization: Any) -> User:
    user = User.objects.create_user("dora@example.org", "x", name="Dora")
    grant(
        actor=None,
        user=user,
        role=Role.objects.get(scope="organization", key="member"),
        on=organization,
    )
    return user


def test_alice_gives_and_takes_a_role_on_one_deployment(
    browser: Client, running: Deployment, dora: User, client_of: ClientOf
) -> None:
    url = f"/d/{running.ref}/access/"
    assert client_of(dora).get(url).status_code == 404

    browser.post(url, {"email": " Dora@Example.org ", "role": "viewer"})
    assert client_of(dora).get(url).status_code == 200
    assert "Dora" in text_of(browser.get(url))

    held = DeploymentGrant.objects.get(user=dora)
    browser.post(f"{url}take/", {"person": str(held.pk)})
    assert client_of(dora).get(f"/d/{running.ref}/").status_code == 404


@pytest.mark.parametrize(
    "posted", [{}, {"email": "dora", "role": "viewer"}, {"email": "dora@example.org", "role": "x"}]
)
def test_a_role_needs_an_address_and_a_role(
    browser: Client, running: Deployment, dora: User, posted: dict[str, str]
) -> None:
    response = browser.post(f"/d/{running.ref}/access/", posted)

    assert response.status_code == 422
    assert "There is a problem" in text_of(response)
    assert not DeploymentGrant.objects.exists()


@pytest.mark.parametrize("name", ["charlie", "nobody", "dora"])
def test_only_people_who_are_in_the_organization_get_a_role_and_others_are_not_told_apart(
    browser: Client, running: Deployment, charlie: User, dora: User, name: str
) -> None:
    User.objects.filter(pk=dora.pk).update(is_active=False)
    posted = {"email": f"{name}@example.org", "role": "viewer"}

    response = browser.post(f"/d/{running.ref}/access/", posted)

    assert response.status_code == 422
    words = f"{name}@example.org is not a member of Nordhavn Logistics. Invite them first."
    assert words in text_of(response)


def test_the_access_page_shows_fifty_its_own_first_and_finds_by_name(
    browser: Client, running: Deployment, alice: User, workspace: Any
) -> None:
    for scope, on, count in (("workspace", workspace, 51), ("deployment", running, 2)):
        held = Role.objects.filter(scope=scope, permissions__contains=["deployment.view"]).first()
        for number in range(count):
            person = User.objects.create_user(f"{scope}{number}@example.org", "x", name=scope)
            grant(actor=None, user=person, role=held, on=on)
    url = f"/d/{running.ref}/access/"

    first, second = text_of(browser.get(url)), text_of(browser.get(f"{url}?page=2"))
    found = text_of(browser.get(f"{url}?q=WORKSPACE50@"))

    assert "1 to 50 of 54" in first
    assert first.index("deployment1@") < first.index("workspace0@")
    assert "51 to 54 of 54" in second
    assert "alice@example.org" in second
    assert "workspace50@" in found
    assert "workspace49@" not in found
    assert "No matches" in text_of(browser.get(f"{url}?q=zzz&page=9"))


@pytest.mark.parametrize("person", ["", "0", "x", "9" * 18, "9" * 40, "9" * 5000])
def test_taking_what_nobody_holds_is_not_found(
    browser: Client, running: Deployment, person: str
) -> None:
    assert browser.post(f"/d/{running.ref}/access/take/", {"person": person}).status_code == 404


@pytest.mark.parametrize(("page", "most"), MOST_QUERIES.items())
def test_a_page_costs_few_queries_whoever_reads_it(
    running: Deployment, alice: User, bob: User, client_of: ClientOf, page: str, most: int
) -> None:
    url = f"/d/{running.ref}/{page}"

    assert queries_of(client_of(alice), url) <= most
    assert queries_of(client_of(bob), url) <= most + 1


def test_the_overview_costs_no_more_while_something_runs(
    running: Deployment, alice: User, bob: User, client_of: ClientOf
) -> None:
    operation = Operation.objects.create(
        deployment=running, number=9, kind="update", state=OperationState.RUNNING
    )
    for position, state in enumerate(("done", "running", "waiting")):
        OperationStep.objects.create(
            operation=operation,
            position=position,
            key=f"{position}",
            title=f"Step {position}",
            state=state,
            detail="2 of 3 ready",
        )
    url = f"/d/{running.ref}/"

    page = client_of(alice).get(url).content.decode()

    assert "Now: Step 1. 2 of 3 ready" in page
    assert queries_of(client_of(alice), url) <= MOST_QUERIES[""]
    assert queries_of(client_of(bob), url) <= MOST_QUERIES[""] + 1


def queries_of(client: Client, url: str) -> int:
    client.get(url)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)
