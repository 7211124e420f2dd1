"""The rail leads from a workspace to its organization, its administration, and back."""

import re

import pytest

from apps.access.grants.services import grant
from tests.conftest import make_user, role

LINE = re.compile(
    r'<a href="([^"]+)"( aria-current="page")?>\s*<svg.*?</svg>\s*([^<]+?)\s*</a>', re.S
)
OF_ORGANIZATION = {
    "/o/nordhavn/",
    "/o/nordhavn/workspaces/",
    "/o/nordhavn/dags/",
    "/o/nordhavn/incidents/",
    "/o/nordhavn/alerts/",
    "/o/nordhavn/objectives/",
    "/o/nordhavn/clusters/",
    "/o/nordhavn/runtimes/",
    "/o/nordhavn/members/",
    "/o/nordhavn/teams/",
    "/o/nordhavn/roles/",
    "/o/nordhavn/who/",
    "/o/nordhavn/tokens/",
    "/o/nordhavn/sso/",
    "/o/nordhavn/usage/",
    "/o/nordhavn/webhooks/",
    "/o/nordhavn/status/",
    "/o/nordhavn/audit/",
    "/o/nordhavn/settings/",
}
OF_WORKSPACE = {
    "/w/warehouse/deployments/",
    "/w/warehouse/dags/",
    "/w/warehouse/incidents/",
    "/w/warehouse/alerts/",
    "/w/warehouse/objectives/",
    "/w/warehouse/environment/",
    "/w/warehouse/members/",
    "/w/warehouse/teams/",
    "/w/warehouse/who/",
    "/w/warehouse/tokens/",
    "/w/warehouse/git/",
    "/w/warehouse/webhooks/",
    "/w/warehouse/settings/",
}


def rail_of(client, url):
    """Return the lines of a page's rail: address, whether it is current, label."""
    page = client.get(url, follow=True).content.decode()
    rail = page.split('<nav class="scope"')[1].split("</nav>")[0]
    return [(url, bool(current), label) for url, current, label in LINE.findall(rail)]


@pytest.mark.parametrize("url", ["/w/warehouse/settings/", "/d/etl-prod-7f3c/"])
def test_a_workspace_leads_to_everything_of_its_organization(alice, deployment, client_of, url):
    lines = rail_of(client_of(alice), url)

    assert {address for address, *_ in lines} == OF_WORKSPACE | OF_ORGANIZATION


def test_an_organization_has_its_own_lines_and_a_way_to_its_workspaces(alice, workspace, client_of):
    lines = rail_of(client_of(alice), "/o/nordhavn/")

    assert {address for address, *_ in lines} == OF_ORGANIZATION
    assert [label for *_, label in lines][4:] == [
        "Alerts",
        "Objectives",
        "Status page",
        "Clusters",
        "Runtimes",
        "Usage",
        "Members",
        "Teams",
        "Roles",
        "Access",
        "API tokens",
        "Single sign-on",
        "Webhooks",
        "Audit log",
        "Settings",
    ]


@pytest.mark.parametrize("url", ["/w/warehouse/settings/", "/o/nordhavn/"])
def test_no_two_lines_are_called_the_same(alice, workspace, client_of, url):
    labels = [label for *_, label in rail_of(client_of(alice), url)]

    assert len(labels) == len(set(labels)) > 10


def test_what_a_person_may_not_open_is_left_out(alice, bob, client_of):
    rail_of(client_of(alice), "/w/warehouse/settings/")  # drawn for others before
    addresses = {address for address, *_ in rail_of(client_of(bob), "/w/warehouse/settings/")}

    assert "/o/nordhavn/members/" in addresses
    assert not addresses & {
        "/w/warehouse/tokens/",
        "/w/warehouse/git/",
        "/o/nordhavn/tokens/",
        "/o/nordhavn/sso/",
        "/o/nordhavn/audit/",
    }


def test_a_heading_without_lines_is_left_out(organization, workspace, client_of):
    guest = make_user("Guest")
    grant(actor=None, user=guest, role=role("workspace", "member"), on=workspace)

    page = client_of(guest).get("/w/warehouse/settings/").content.decode()

    assert "Administration" not in page.split('<nav class="scope"')[1].split("</nav>")[0]


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("/d/etl-prod-7f3c/", "/w/warehouse/deployments/"),
        ("/w/warehouse/imports/", "/w/warehouse/deployments/"),
        ("/w/warehouse/members/add/", "/w/warehouse/members/"),
        ("/o/nordhavn/", "/o/nordhavn/"),
        ("/o/nordhavn/members/invite/", "/o/nordhavn/members/"),
        ("/o/nordhavn/team-roles/", "/o/nordhavn/teams/"),
        ("/o/nordhavn/leave/", "/o/nordhavn/settings/"),
    ],
)
def test_one_line_is_the_current_one(alice, deployment, client_of, url, line):
    current = [address for address, is_current, _ in rail_of(client_of(alice), url) if is_current]

    assert current == [line]
