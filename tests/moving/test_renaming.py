"""Another name for a Deployment."""

from apps.audit.models import AuditEvent
from tests.core.pages import check_page
from tests.deployments.conftest import drive
from tests.deployments.pages import text_of


def test_a_deployment_is_renamed_and_its_addresses_stay(browser, running, plane):
    url = f"/d/{running.ref}/rename/"
    check_page(browser.get(url).content.decode())

    response = browser.post(url, {"name": "  etl-blue  "}, follow=True)

    assert "The Deployment is called etl-blue now." in text_of(response)
    assert response.redirect_chain[-1][0] == f"/d/{running.ref}/"
    row = drive(running)
    assert (row.name, row.ref, row.wanted.number) == ("etl-blue", running.ref, 1)
    assert plane.store.airflows[running.ref].wanted.name == "etl-blue"
    assert plane.store.airflows[running.ref].wanted.restarts == 0
    event = AuditEvent.objects.get(action="deployment.renamed")
    assert event.changes == {"name": ["etl-prod", "etl-blue"]}


def test_a_bad_name_is_refused_at_its_field_and_kept(browser, running, make_deployment):
    make_deployment(name="taken")
    url = f"/d/{running.ref}/rename/"

    for name, words in (
        ("TAKEN", "This workspace already has a Deployment called TAKEN."),
        ("a\u202eb", "contains a character that cannot be displayed"),
        ("x" * 61, "at most 60 characters"),
        ("", "This field is required"),
    ):
        response = browser.post(url, {"name": name})
        assert response.status_code == 422
        assert words in text_of(response)
        assert name in response.content.decode()
    running.refresh_from_db()
    assert running.name == "etl-prod"


def test_the_same_name_changes_nothing_and_another_case_is_a_new_one(browser, running):
    url = f"/d/{running.ref}/rename/"

    browser.post(url, {"name": "etl-prod"})
    assert not AuditEvent.objects.filter(action="deployment.renamed").exists()
    browser.post(url, {"name": "ETL-Prod"})

    running.refresh_from_db()
    assert running.name == "ETL-Prod"


def test_bob_may_not_rename_and_charlie_finds_nothing(running, bob, charlie, client_of):
    url = f"/d/{running.ref}/rename/"

    assert "Rename…" not in text_of(client_of(bob).get(f"/d/{running.ref}/"))
    assert client_of(bob).post(url, {"name": "mine"}).status_code == 403
    assert client_of(charlie).post(url, {"name": "mine"}).status_code == 404


def test_one_that_is_being_deleted_is_not_renamed(browser, make_deployment):
    found = make_deployment(name="leaving", phase="deleting")

    response = browser.post(f"/d/{found.ref}/rename/", {"name": "staying"})

    assert "leaving is being deleted, so it cannot be changed." in text_of(response)
