"""The pages of a workspace's environment and of a Deployment's."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.environment.delivery.effective import reaching
from apps.environment.objects.models import EnvironmentLink, EnvironmentObject
from apps.environment.objects.sealing import whole
from tests.core.pages import check_page
from tests.environment.examples import POSTGRES, make_object

pytestmark = pytest.mark.django_db


def page(name, *arguments):
    return reverse(f"environment:{name}", args=arguments)


def test_alice_adds_a_connection_by_the_form_of_its_type(workspace, deployment, alice, client_of):
    client, url = client_of(alice), page("workspace_new_object", "warehouse", "connection")
    choose = client.get(page("workspace_types", "warehouse"))
    form = client.get(f"{url}?type=smtp")

    posted = {
        "name": "mail",
        "host": "smtp.example.org",
        "port": "587",
        "password": "hunter2",
        "extra-timeout": "5",
        "extra-client_secret": "s3cret",
        "more": '{"other": 1}',
        "links": "some",
        "deployments": [deployment.pk],
    }
    response = client.post(f"{url}?type=smtp", posted)

    check_page(choose.content.decode())
    check_page(form.content.decode())
    assert "From email" in form.content.decode()
    assert response.status_code == 302
    found = EnvironmentObject.objects.get()
    assert found.plain["extra"] == {"timeout": 5}
    assert found.secret_fields == ["extra.client_secret", "extra.other", "password"]
    assert whole(found)["extra"] == {"timeout": 5, "client_secret": "s3cret", "other": 1}
    assert [link.deployment for link in found.links.all()] == [deployment]


def test_secrets_are_on_no_page_and_an_edit_keeps_them(workspace, deployment, alice, client_of):
    found = make_object(workspace, alice, value=POSTGRES | {"password": "hunter2"})
    secret = make_object(
        workspace, alice, "variable", "KEY", value={"value": "hunter2"}, is_secret=True
    )
    client, urls = (
        client_of(alice),
        [
            page("workspace", "warehouse"),
            page("deployment", deployment.ref),
            *(page("workspace_object", "warehouse", one.pk) for one in (found, secret)),
            page("override", "warehouse", found.pk, deployment.ref),
        ],
    )

    shown = [client.get(url) for url in urls]
    posted = {"host": "new.example.org", "links": "all"}
    client.post(urls[2], posted)
    client.post(urls[3], {"value": "", "is_secret": "on", "links": "none"})

    for response in shown:
        check_page(response.content.decode())
        assert "hunter2" not in response.content.decode()
    found.refresh_from_db()
    secret.refresh_from_db()
    assert whole(found)["password"] == "hunter2"
    assert found.plain["host"] == "new.example.org"
    assert whole(secret) == {"value": "hunter2"}
    assert not secret.links_all


def test_the_list_is_searched_and_says_who_reads_what(
    workspace, make_deployment, alice, bob, client_of
):
    prod, dev = make_deployment(name="prod"), make_deployment(name="dev")
    make_object(workspace, alice, name="all_of_it")
    make_object(workspace, alice, name="for_prod", links_all=False, linked=frozenset({prod.pk}))
    make_object(workspace, alice, "variable", "unused", links_all=False)
    make_object(workspace, alice, name="but_dev", linked=frozenset({prod.pk}))
    client, url = client_of(bob), page("workspace", "warehouse")

    def names(**query):
        response = client.get(url, query)
        check_page(response.content.decode())
        return {row["object"].name for row in response.context["rows"]}

    assert names() == {"all_of_it", "for_prod", "unused", "but_dev"}
    assert names(q="POSTGRES") == {"all_of_it", "for_prod", "but_dev"}
    assert names(kind="variable") == {"unused"}
    assert names(deployment=dev.ref) == {"all_of_it"}
    assert names(linked="some") == {"for_prod"}
    assert names(linked="none") == {"unused"}
    assert names(q="nothing") == set()
    text = client.get(url).content.decode()
    assert "All 2 Deployments" in text
    assert "all but dev" in text
    # Bob may look, and is told whom to ask.
    assert page("workspace_types", "warehouse") not in text
    assert client.get(page("workspace_types", "warehouse")).status_code == 403


def test_an_edit_keeps_the_exclusions_of_what_is_linked_to_all(
    workspace, make_deployment, alice, client_of
):
    prod, dev = make_deployment(name="prod"), make_deployment(name="dev")
    found = make_object(workspace, alice, linked=frozenset({prod.pk}))
    client, url = client_of(alice), page("workspace_object", "warehouse", found.pk)

    form = client.get(url).context["form"]
    shown = (form["links"].value(), form["deployments"].value())
    posted = {"host": "new.example.org", "links": shown[0], "deployments": shown[1]}
    client.post(url, posted)
    later = make_deployment(name="later")

    assert shown == ("except", [dev.pk])
    found.refresh_from_db()
    assert found.links_all
    assert [link.deployment for link in found.links.filter(is_excluded=True)] == [dev]
    assert found in reaching(later)
    assert found not in reaching(dev)


def test_an_override_is_made_and_ended(workspace, deployment, alice, client_of):
    found = make_object(workspace, alice)
    client, url = client_of(alice), page("override", "warehouse", found.pk, deployment.ref)

    client.post(url, {"host": "here.example.org", "password": "other"})
    link = EnvironmentLink.objects.get()
    made = (link.plain, link.secret_fields)
    client.post(url, {"forgotten": ["password"]})
    link.refresh_from_db()

    assert made == ({"host": "here.example.org"}, ["password"])
    assert not link.overrides


def test_a_bad_form_says_what_is_wrong_at_its_field(workspace, alice, client_of):
    url = page("workspace_new_object", "warehouse", "connection")

    response = client_of(alice).post(
        f"{url}?type=http", {"name": "a b", "port": "0", "more": "[", "links": "none"}
    )

    assert response.status_code == 422
    assert response.context["form"].errors.keys() == {"port", "more"}


def test_charlie_learns_nothing(workspace, deployment, alice, charlie, client_of):
    found = make_object(workspace, alice)
    own = make_object(deployment, alice)
    client = client_of(charlie)

    for url in (
        page("workspace", "warehouse"),
        page("workspace_object", "warehouse", found.pk),
        page("object", deployment.ref, own.pk),
        page("override", "warehouse", found.pk, deployment.ref),
    ):
        assert client.get(url).status_code == 404
    # An object is asked for at its own place alone.
    alice_asks = client_of(alice)
    assert alice_asks.get(page("object", deployment.ref, found.pk)).status_code == 404
    assert alice_asks.get(page("workspace_object", "warehouse", own.pk)).status_code == 404


def test_lists_take_as_many_queries_for_many_as_for_one(
    workspace, make_deployment, alice, client_of
):
    deployment = make_deployment()
    client = client_of(alice)
    urls = [page("workspace", "warehouse"), page("deployment", deployment.ref)]
    make_object(workspace, alice)
    warm = [client.get(url).status_code for url in urls]
    counts = [_count(client, url) for url in urls]

    for number in range(12):
        make_deployment()
        linked = frozenset({deployment.pk})
        make_object(workspace, alice, name=f"c{number}", links_all=False, linked=linked)

    assert [_count(client, url) for url in urls] == counts, warm


def _count(client, url):
    with CaptureQueriesContext(connection) as found:
        assert client.get(url).status_code == 200
    return len(found)
