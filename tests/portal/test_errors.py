import re

import pytest
from django.contrib.sessions.backends.cached_db import SessionStore
from django.db import DatabaseError, InterfaceError, OperationalError
from django.test import Client

from apps.portal.views import health


def test_health_asks_the_database_once(db, client, django_assert_num_queries):
    with django_assert_num_queries(1):
        response = client.get("/healthz")

    assert response.status_code == 200
    assert response.content == b"ok"


def test_health_says_when_the_database_is_silent(client, monkeypatch):
    class Silent:
        def cursor(self):
            raise DatabaseError("no")

    monkeypatch.setattr(health, "connection", Silent())

    response = client.get("/healthz")

    assert response.status_code == 503
    assert response.json() == {"database": "does not answer"}


def test_a_missing_page_names_the_request(db, client):
    response = client.get("/nothing/here/")

    assert response.status_code == 404
    assert response["X-Request-ID"] in response.content.decode()


def test_a_form_without_its_token_is_explained(db, bob):

    client = Client(enforce_csrf_checks=True)

    response = client.post("/accounts/login/", {"login": bob.email, "password": "x"})

    assert response.status_code == 403
    assert b"This form has expired" in response.content


def test_a_broken_view_shows_the_request_and_no_trace(client, alice, client_of, monkeypatch):
    signed_in = client_of(alice)
    signed_in.raise_request_exception = False
    monkeypatch.setattr("apps.portal.views.find.search", lambda **_: 1 / 0)

    response = signed_in.get("/search?q=x")

    assert response.status_code == 500
    assert response["X-Request-ID"] in response.content.decode()
    assert b"ZeroDivisionError" not in response.content


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_without_its_database_the_portal_says_to_come_back(bob, client_of, monkeypatch, error):
    def refuse(store):
        raise error("no connection")

    signed_in = client_of(bob)
    signed_in.raise_request_exception = False
    monkeypatch.setattr(SessionStore, "load", refuse)

    response = signed_in.get("/o/nordhavn/members/")

    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert b"does not reach its database" in response.content
    assert response["X-Request-ID"] in response.content.decode()


@pytest.mark.parametrize("path", ["/", "/o/nordhavn/", "/w/warehouse/settings/", "/account/"])
def test_pages_have_no_inline_code(alice, workspace, client_of, path):
    page = client_of(alice).get(path, follow=True).content.decode()

    assert " style=" not in page
    assert "<script>" not in page


def test_the_rail_marks_the_current_page_and_hides_what_is_closed(alice, bob, client_of):
    rail = client_of(bob).get("/o/nordhavn/members/").content.decode()

    assert 'href="/o/nordhavn/members/" aria-current="page"' in rail
    assert "/o/nordhavn/audit/" not in rail
    assert "/o/nordhavn/audit/" in client_of(alice).get("/o/nordhavn/").content.decode()


RAIL, BAR = 'id="scope"', 'class="find"'


def test_who_is_refused_keeps_the_navigation(bob, deployment, client_of):
    response = client_of(bob).get("/d/etl-prod-7f3c/configure/")
    page = response.content.decode()

    assert response.status_code == 403
    assert RAIL in page
    assert BAR in page
    assert "Back to etl-prod" in page
    assert response["X-Request-ID"] in page


def test_a_missing_page_inside_a_place_keeps_its_navigation(alice, organization, client_of):
    response = client_of(alice).get("/o/nordhavn/members/999999/")

    assert response.status_code == 404
    assert RAIL in response.content.decode()


def test_what_is_hidden_looks_like_what_is_not_there(alice, charlie, deployment, client_of):
    client = client_of(charlie)

    hidden, missing = (client.get(path) for path in ("/d/etl-prod-7f3c/", "/d/etl-prod-0000/"))

    assert {hidden.status_code, missing.status_code} == {404}
    assert masked(hidden) == masked(missing)
    assert BAR in hidden.content.decode()
    assert RAIL not in hidden.content.decode()


def masked(response):
    page = response.content.decode().replace(response["X-Request-ID"], "")
    return re.sub(r'name="csrfmiddlewaretoken" value="[^"]*"', "", page)


def test_a_visitor_sees_an_error_without_navigation(db, client):
    page = client.get("/nothing/here/").content.decode()

    assert BAR not in page
    assert "Page not found" in page


def test_an_address_for_forms_only_explains_itself(alice, deployment, client_of):
    response = client_of(alice).get("/d/etl-prod-7f3c/pin/")
    page = response.content.decode()

    assert response.status_code == 405
    assert response["Allow"] == "POST"
    assert 'href="/d/etl-prod-7f3c/">Back to etl-prod' in page
    assert RAIL in page
    assert response["X-Request-ID"] in page


def test_an_address_for_forms_only_tells_strangers_nothing(charlie, deployment, client_of):
    assert client_of(charlie).get("/d/etl-prod-7f3c/pin/").status_code == 404


def test_programs_are_told_no_story_about_methods(alice, deployment, client_of):
    client = client_of(alice)

    for headers in ({"Accept": "application/json"}, {"HX-Request": "true", "Accept": "text/html"}):
        response = client.get("/d/etl-prod-7f3c/pin/", headers=headers)
        assert response.status_code == 405
        assert response.content == b""
