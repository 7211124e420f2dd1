from collections.abc import Callable

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.deployments.configuration.schema import Configuration, Variable
from apps.deployments.editing.services import deploy_code, update_config
from apps.deployments.models import Deployment, Draft, Operation
from tests.deployments.conftest import drive
from tests.deployments.pages import assert_well_made, fill, form_data, text_of

ClientOf = Callable[[User], Client]


@pytest.fixture
def browser(alice: User, client_of: ClientOf) -> Client:
    return client_of(alice)


def save_first(
    deployment: Deployment, actor: User, *, max_workers: int | None = None, description: str = ""
) -> None:
    deployment.refresh_from_db()
    config = dict(deployment.wanted.config)
    if max_workers is not None:
        config["queues"] = [config["queues"][0] | {"max_workers": max_workers}]
    if description:
        config["description"] = description
    update_config(
        actor=actor,
        deployment=deployment,
        configuration=Configuration.from_json(config),
        base_revision_number=deployment.wanted.number,
    )


def test_applying_a_change_leads_to_its_operation(browser: Client, running: Deployment) -> None:
    url = fill(browser, f"/d/{running.ref}/configure/", queues__0__max_workers="7")["Location"]

    response = browser.post(url, {"reason": "More to do"})

    assert response["Location"] == f"/d/{running.ref}/operations/2/"
    running.refresh_from_db()
    assert running.wanted.config["queues"][0]["max_workers"] == 7
    assert running.wanted.reason == "More to do"


def test_nothing_to_apply_is_said_and_refused(browser: Client, running: Deployment) -> None:
    url = fill(browser, f"/d/{running.ref}/configure/")["Location"]

    assert "No changes" in text_of(browser.get(url))
    assert browser.post(url, {}).status_code == 422


def test_two_edits_of_the_same_field_are_shown_beside_each_other(
    browser: Client, running: Deployment, alice: User
) -> None:
    data = form_data(browser.get(f"/d/{running.ref}/configure/"))
    save_first(running, alice, max_workers=4)

    data |= {"queues-0-max_workers": "8", "description": "Mine"}
    url = browser.post(f"/d/{running.ref}/configure/", data)["Location"]
    page = text_of(browser.get(url))

    assert_well_made(browser.get(url))
    assert "saved revision 2 while you were editing" in page
    assert "Saved: 4 tasks per worker, 1 to 4 workers" in page
    assert "Yours, in this draft: 4 tasks per worker, 1 to 8 workers" in page
    assert "Continue from revision 2" in page


def test_a_stale_confirm_applies_nothing_and_loses_nothing(
    browser: Client, running: Deployment, alice: User
) -> None:
    url = fill(browser, f"/d/{running.ref}/configure/", queues__0__max_workers="8")["Location"]
    save_first(running, alice, description="Theirs")

    response = browser.post(url, {})

    assert response.status_code == 409
    running.refresh_from_db()
    assert running.wanted.number == 2
    assert Draft.objects.get().config["queues"][0]["max_workers"] == 8


@pytest.mark.parametrize(("keep", "expected"), [("mine", 8), ("theirs", 4)])
def test_continuing_joins_both_edits(
    browser: Client, running: Deployment, alice: User, keep: str, expected: int
) -> None:
    url = fill(
        browser, f"/d/{running.ref}/configure/", queues__0__max_workers="8", description="Mine"
    )["Location"]
    save_first(running, alice, max_workers=4)

    rebased = browser.post(f"{url}rebase/", {"queue default": keep})
    assert rebased["Location"] == url
    assert "From revision 2 to 3" in text_of(browser.get(url))
    browser.post(url, {})

    running.refresh_from_db()
    assert running.wanted.number == 3
    assert running.wanted.config["queues"][0]["max_workers"] == expected
    assert running.wanted.config["description"] == "Mine"


def test_edits_that_do_not_touch_are_both_kept(
    browser: Client, running: Deployment, alice: User
) -> None:
    url = fill(browser, f"/d/{running.ref}/configure/", queues__0__max_workers="8")["Location"]
    save_first(running, alice, description="Theirs")

    assert "Your changes do not conflict" in text_of(browser.get(url))
    browser.post(f"{url}rebase/", {})
    browser.post(url, {})

    running.refresh_from_db()
    assert running.wanted.config["queues"][0]["max_workers"] == 8
    assert running.wanted.config["description"] == "Theirs"


def test_going_back_stays_going_back_when_somebody_saved_first(
    browser: Client, running: Deployment, alice: User
) -> None:
    deploy_code(actor=alice, deployment=running, digest="a" * 64, summary="Deploy 1")
    url = browser.post(f"/d/{running.ref}/revisions/1/restore/")["Location"]
    save_first(running, alice, description="Theirs")

    stale = browser.get(url)
    assert_well_made(stale)
    assert "Revision 1 is restored as a whole, its code included" in text_of(stale)
    assert browser.post(url, {}).status_code == 409
    browser.post(f"{url}rebase/", {"description": "theirs"})
    review = text_of(browser.get(url))
    browser.post(url, {})

    assert "Restore revision 1" in review
    assert "From revision 3 to 4" in review
    running.refresh_from_db()
    wanted = running.wanted
    assert (wanted.number, wanted.summary) == (4, "Restore revision 1")
    assert wanted.code_digest == ""
    assert wanted.config["description"] == ""


def test_removing_a_queue_is_said_in_red(browser: Client, running: Deployment) -> None:
    response = fill(browser, f"/d/{running.ref}/configure/", executor="local")

    review = browser.get(response["Location"])

    assert_well_made(review)
    assert "Removes the queue default" in text_of(review)
    assert 'data-kind="danger"' in review.content.decode()


def test_a_variable_value_is_escaped_everywhere(
    browser: Client, running: Deployment, alice: User
) -> None:
    config = running.wanted.configuration
    hostile = Variable(key="X", value="<script>alert(1)</script>")
    update_config(
        actor=alice,
        deployment=running,
        configuration=Configuration.from_json(config.to_json() | {"variables": [vars(hostile)]}),
        base_revision_number=1,
    )

    for page in ("environment/", "configure/", "revisions/2/"):
        assert b"<script>alert(1)" not in browser.get(f"/d/{running.ref}/{page}").content


def test_the_usual_time_is_the_median_of_earlier_ones(browser: Client, running: Deployment) -> None:
    url = fill(browser, f"/d/{running.ref}/configure/", description="One")["Location"]
    assert "Not known yet" in text_of(browser.get(url))
    browser.post(url, {})
    drive(running)

    url = fill(browser, f"/d/{running.ref}/configure/", description="Two")["Location"]

    assert "Based on the last operation like this" in text_of(browser.get(url))


def test_a_draft_whose_name_was_taken_meanwhile_is_refused(
    browser: Client,
    alice: User,
    cluster: object,
    workspace: object,
    create: Callable[..., Operation],
) -> None:
    url = fill(browser, "/w/warehouse/deployments/new/", name="etl-prod")["Location"]
    create("etl-prod")

    response = browser.post(url, {})

    assert response.status_code == 422
    assert "already has a Deployment called etl-prod" in text_of(response)


def test_losing_the_role_makes_the_draft_useless(
    bob: User, alice: User, browser: Client, running: Deployment, client_of: ClientOf
) -> None:
    url = fill(browser, f"/d/{running.ref}/configure/", description="x")["Location"]
    Draft.objects.update(author=bob)

    response = client_of(bob).post(url, {})

    assert response.status_code == 403
    assert Operation.objects.count() == 1


def test_anonymous_people_are_sent_to_sign_in(running: Deployment) -> None:
    response = Client().get(f"/d/{running.ref}/configure/")

    assert response.status_code == 302
    assert "login" in response["Location"]
