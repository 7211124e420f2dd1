"""The pages on which many Deployments are changed."""

import pytest

from apps.bulk_actions import running
from apps.bulk_actions.models import BulkAction
from apps.deployments.models import Operation
from tests.core.pages import check_page
from tests.deployments.pages import text_of

pytestmark = pytest.mark.django_db
SECRET = "hush-hush-value"


@pytest.fixture
def browser(alice, client_of):
    return client_of(alice)


@pytest.fixture
def three(make_deployment):
    return [make_deployment(name=name) for name in ("etl-a", "etl-b", "ml")]


def test_alice_restarts_those_that_match_and_follows_it(browser, three, workspace):
    listed = browser.get("/w/warehouse/deployments/?q=etl")
    assert 'href="/w/warehouse/many/?q=etl"' in listed.content.decode()
    choose = browser.get("/w/warehouse/many/?q=etl")
    check_page(choose.content.decode())
    assert "2 Deployments match: etl-a, etl-b" in text_of(choose)
    form = browser.get("/w/warehouse/many/new/restart/?q=etl")
    check_page(form.content.decode())

    posted = {"deployments": [three[0].pk], "at_once": 5, "stops_on_failure": "on"}
    response = browser.post("/w/warehouse/many/new/restart/?q=etl", posted)

    preview = browser.get(response.url)
    check_page(preview.content.decode())
    assert "All components restart." in text_of(preview)
    assert not Operation.objects.exists()
    began = browser.post(response.url, {"step": "begin"}, follow=True)
    assert "Running" in text_of(began)
    running.step(action_id=BulkAction.objects.get().pk)
    fragment = browser.get(response.url, headers={"HX-Request": "true"})
    assert "Operation 1" in text_of(fragment)
    assert Operation.objects.get().deployment == three[0]
    Operation.objects.update(state="failed", failure="The scheduler did not start.")
    running.step(action_id=BulkAction.objects.get().pk)
    page = browser.get(f"{response.url}?show=problems")
    check_page(page.content.decode())
    assert "The scheduler did not start." in text_of(page)
    assert "etl-a failed." in text_of(page)
    assert "Latest" in browser.get("/w/warehouse/many/").content.decode()


def test_a_secret_is_on_no_page_and_a_bad_form_keeps_what_was_typed(browser, three):
    url = "/o/nordhavn/many/new/variable/"
    chosen = {"deployments": [one.pk for one in three], "at_once": 5}

    wrong = browser.post(url, {**chosen, "name": "9x", "value": "kept-value"})
    response = browser.post(url, {**chosen, "name": "KEY", "value": SECRET, "is_secret": "on"})
    none = browser.post(url, {"at_once": 99, "name": "KEY", "value": "v"})

    assert wrong.status_code == none.status_code == 422
    assert "kept-value" in wrong.content.decode()
    assert "deployments" in none.context["run"].errors
    assert "at_once" in none.context["run"].errors
    preview = browser.get(response.url)
    check_page(preview.content.decode())
    assert SECRET not in preview.content.decode()
    assert "new secret" in text_of(preview)
    browser.post(response.url, {"step": "finish"})
    assert not BulkAction.objects.exists()


def test_bob_may_try_and_is_refused_for_each_and_charlie_finds_nothing(
    three, alice, bob, charlie, client_of
):
    client = client_of(bob)
    posted = {"deployments": [three[0].pk], "at_once": 5}
    response = client.post("/w/warehouse/many/new/restart/", posted)

    assert "it takes the permission" in text_of(client.get(response.url))
    client.post(response.url, {"step": "begin"})
    assert BulkAction.objects.get().state == "draft"
    # Drafts are for their author, and other Deployments cannot be named.
    assert client_of(alice).get(response.url).status_code == 404
    stranger = client_of(charlie)
    for url in ("/w/warehouse/many/", "/o/nordhavn/many/", response.url):
        assert stranger.get(url).status_code == 404
    assert "Choose one" in text_of(client.post(response.url, {"step": "explode"}, follow=True))
    assert client.get("/w/warehouse/many/new/explode/").status_code == 404
