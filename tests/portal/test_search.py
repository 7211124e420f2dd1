"""Search: the best first, of every kind that a person may see, in a bounded number of queries."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.access.grants.services import grant
from apps.clusters.models import Cluster
from apps.organizations.models import Organization, Workspace
from apps.organizations.teams.services import create_team
from tests.conftest import make_user, role

FRAGMENT = {"HX-Request": "true", "HX-Request-Type": "partial"}
# The person; seven kinds; and a query for each label of an action that the text begins.
MOST_QUERIES = {"page": 8, "palette": 8, "palette with all actions": 13}


def names(page: str) -> list[str]:
    return re.findall(r'class="name" href="[^"]*">([^<]*)<', page)


def found(client, text: str, **more: str) -> str:
    return client.get("/search", {"q": text, **more}).content.decode()


def palette(client, text: str) -> str:
    return client.get("/search", {"q": text}, headers=FRAGMENT).content.decode()


def options(page: str) -> list[str]:
    return re.findall(r'role="option".*?<span>(.*?)</span>', page, re.S)


def test_exact_names_come_first_then_beginnings_then_words_then_the_rest(
    alice, make_deployment, client_of
):
    rows = ("a-betlem", "new etl", "a-etl", "etl-prod", "etl", "mention")
    for number, name in enumerate(rows):
        about = "Feeds etl" if name == "mention" else ""
        make_deployment(name=name, ref=f"zz-{number}", description=about)

    expected = ["etl", "etl-prod", "a-etl", "new etl", "a-betlem", "mention"]
    assert names(found(client_of(alice), "ETL")) == expected


def test_among_equals_what_was_opened_last_comes_first(alice, make_deployment, client_of):
    one, two, three = (make_deployment(name=f"etl-{name}") for name in ("a", "b", "c"))
    client = client_of(alice)
    client.get(f"/d/{two.ref}/")
    client.get(f"/d/{three.ref}/")

    assert names(found(client, "etl")) == ["etl-c", "etl-b", "etl-a"]


def test_every_kind_is_found_and_led_to(alice, organization, workspace, cluster, client_of):
    team = create_team(actor=alice, organization=organization, name="Nord team")
    Workspace.objects.filter(pk=workspace.pk).update(name="Nord space")
    Cluster.objects.filter(pk=cluster.pk).update(name="nord-1")
    bob = make_user("Nora Nord")
    grant(actor=None, user=bob, role=role("organization", "member"), on=organization)

    page = found(client_of(alice), "nord")

    for address in (
        "/o/nordhavn/",
        f"/o/nordhavn/teams/{team.pk}/",
        "/w/warehouse/",
        f"/o/nordhavn/clusters/{cluster.pk}/",
        f"/o/nordhavn/members/{bob.pk}/",
    ):
        assert f'class="name" href="{address}"' in page


def test_nothing_of_others_is_found(alice, charlie, organization, cluster, deployment, client_of):
    create_team(actor=alice, organization=organization, name="Other team")
    Workspace.objects.create(organization=organization, name="Other space", slug="other-space")
    Cluster.objects.filter(pk=cluster.pk).update(name="other-1")

    client = client_of(charlie)

    assert names(found(client, "other")) == ["Other"]
    for text in ("etl", "nordhavn", "alice", "other team"):
        assert "Nothing found" in found(client, text)
        assert options(palette(client, text)) == []


@pytest.mark.parametrize("text", ["%", "_", ".*", "(", "\\", "[[:alpha:]]"])
def test_signs_of_patterns_are_only_signs(text, alice, deployment, client_of):
    assert names(found(client_of(alice), text)) == []


def test_more_than_twenty_are_shown_on_request(alice, make_deployment, client_of):
    for _ in range(23):
        make_deployment()
    client = client_of(alice)

    first = found(client, "etl")
    everything = found(client, "etl", kind="deployments")

    assert len(names(first)) == 20
    assert "?q=etl&amp;kind=deployments" in first
    assert len(names(everything)) == 23
    assert "Show all Deployments" in palette(client, "etl")


def test_a_kind_alone_is_asked_for_in_the_address(alice, deployment, client_of):
    client = client_of(alice)

    assert names(found(client, "etl", kind="people")) == []
    assert names(found(client, "etl", kind="nonsense")) == ["etl-prod"]


def test_the_palette_offers_what_the_role_allows(alice, bob, workspace, client_of):
    of_alice, of_bob = client_of(alice), client_of(bob)

    assert options(palette(of_alice, "create depl")) == ["Create Deployment in Warehouse"]
    assert options(palette(of_bob, "create depl")) == []
    assert "Open audit log of Nordhavn Logistics" in options(palette(of_alice, "open audit"))
    assert options(palette(of_bob, "open audit")) == []
    assert options(palette(of_alice, "invite ware")) == ["Invite to Warehouse"]


def test_every_action_leads_to_a_page(alice, workspace, client_of):
    client = client_of(alice)
    offered = "".join(palette(client, text) for text in ("create", "invite", "register", "open"))
    addresses = set(re.findall(r'role="option"[^>]*href="([^"]*)"', offered))

    assert len(addresses) == 16
    assert {one for one in addresses if client.get(one).status_code != 200} == set()


def test_the_empty_palette_offers_recent_pinned_and_own_pages(alice, deployment, client_of):
    client = client_of(alice)
    client.get(f"/d/{deployment.ref}/")
    client.post("/w/warehouse/pin/")

    page = palette(client, "")

    assert options(page)[:2] == ["etl-prod", "Warehouse"]
    assert "Open your profile" in options(page)
    assert 'data-action="theme"' in page


def test_the_palette_is_a_fragment_and_caches_know(alice, client_of):
    answer = client_of(alice).get("/search", {"q": "x"}, headers=FRAGMENT)

    assert answer.content.decode().lstrip().startswith('<div id="palette-found"')
    assert "HX-Request" in answer["Vary"]


def test_search_costs_the_same_for_few_rows_and_for_many(
    alice, organization, make_deployment, client_of
):
    client = client_of(alice)

    def fill(numbers: range) -> None:
        for number in numbers:
            name = f"open etl {number}"
            make_deployment(name=name)
            Workspace.objects.create(organization=organization, name=name, slug=f"etl-{number}")
            other = Organization.objects.create(name=name, slug=f"open-etl-{number}")
            grant(actor=None, user=alice, role=role("organization", "owner"), on=other)
            create_team(actor=alice, organization=organization, name=name)
            Cluster.objects.create(organization=organization, kind="local", name=name)
            person = make_user(f"open-etl-{number}")
            grant(actor=None, user=person, role=role("organization", "member"), on=organization)

    def costs() -> dict[str, int]:
        return {
            "page": _cost(client, "etl"),
            "palette": _cost(client, "etl", headers=FRAGMENT),
            "palette with all actions": _cost(client, "o", headers=FRAGMENT),
        }

    fill(range(1))
    client.get("/search")
    few = costs()
    fill(range(1, 8))

    assert costs() == few
    assert {name for name, cost in few.items() if cost > MOST_QUERIES[name]} == set()


def _cost(client, text: str, **asked) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get("/search", {"q": text}, **asked).status_code == 200
    return len(queries)
