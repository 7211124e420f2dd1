"""Groups of an identity provider become Teams, and people follow them at each sign-in."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.access.grants.services import RightsExceeded
from apps.accounts.models import User
from apps.organizations.members.services import remove_person
from apps.organizations.models import Organization, Team, Workspace
from apps.organizations.teams.services import (
    TeamMirrored,
    add_to_team,
    assign_team_role,
    create_team,
)
from apps.sso.connections.trust import approve_connection
from apps.sso.groups.services import map_group, unmap_group
from apps.sso.models import GroupMapping, SSOConnection
from tests.conftest import custom_role, make_user, put_role, role
from tests.sso.conftest import Browser

pytestmark = pytest.mark.django_db


@pytest.fixture
def team(organization: Organization, workspace: Workspace, alice: User) -> Team:
    team = create_team(actor=alice, organization=organization, name="Data")
    assign_team_role(actor=alice, team=team, role=role("workspace", "author"), on=workspace)
    return team


@pytest.fixture
def mapping(saml: SSOConnection, team: Team, alice: User) -> GroupMapping:
    return map_group(actor=alice, connection=saml, group="data-eng", team=team)


def attributes(*groups: str) -> dict[str, Any]:
    return {
        "mail": "dana@nordhavn.test",
        "groups": "</saml:AttributeValue><saml:AttributeValue>".join(groups),
    }


def test_people_have_the_roles_of_the_team_of_their_group_and_lose_them_with_it(
    browser: Browser,
    new_browser: Callable[[], Browser],
    mapping: GroupMapping,
    workspace: Workspace,
) -> None:
    browser.sign_in(attributes=attributes("sales", "data-eng"))
    dana = User.objects.get(email="dana@nordhavn.test")
    assert dana.has_perm("deployment.deploys.create", workspace)

    new_browser().sign_in(attributes=attributes("sales"))

    dana = User.objects.get(pk=dana.pk)
    assert not dana.has_perm("workspace.view", workspace)
    mapping.refresh_from_db()
    assert mapping.seen_at


def test_a_team_that_got_more_than_its_connection_may_give_takes_no_one_in(
    browser: Browser,
    new_browser: Callable[[], Browser],
    saml: SSOConnection,
    team: Team,
    workspace: Workspace,
    organization: Organization,
    alice: User,
    client_of: Any,
) -> None:
    """Who sets up sign-in and manages Teams mapped a group to one that got its role afterwards."""
    browser.sign_in(attributes=attributes())
    maker = make_user("Mallory")
    names = ("view", "sso.manage", "members.view", "teams.manage")
    permissions = [f"organization.{name}" for name in names]
    mine = custom_role("Sign-in", permissions, organization=organization, actor=alice)
    put_role(maker, mine, organization)
    plain = create_team(actor=alice, organization=organization, name="Plain")
    SSOConnection.objects.update(configured_by=maker, approved_by=None, approved_at=None)
    saml.refresh_from_db()
    map_group(actor=maker, connection=saml, group="data-eng", team=plain)
    assign_team_role(actor=alice, team=plain, role=role("workspace", "author"), on=workspace)

    new_browser().sign_in(attributes=attributes("data-eng"))

    dana = User.objects.get(email="dana@nordhavn.test")
    assert not dana.has_perm("workspace.view", workspace)
    address = reverse("sso:groups", args=[organization.slug, saml.key])
    assert b"Takes no one in" in client_of(alice).get(address).content

    approve_connection(actor=alice, connection=saml)
    new_browser().sign_in(attributes=attributes("data-eng"))

    assert User.objects.get(pk=dana.pk).has_perm("deployment.deploys.create", workspace)
    assert b"Takes no one in" not in client_of(alice).get(address).content


def test_one_group_of_two_is_enough(
    browser: Browser,
    new_browser: Callable[[], Browser],
    mapping: GroupMapping,
    alice: User,
    saml: SSOConnection,
    team: Team,
) -> None:
    map_group(actor=alice, connection=saml, group="analysts", team=team)
    browser.sign_in(attributes=attributes("data-eng", "analysts"))

    new_browser().sign_in(attributes=attributes("analysts"))

    assert team.group.user_set.count() == 1


def test_who_is_in_a_mapped_team_is_decided_there_alone(
    mapping: GroupMapping, team: Team, alice: User, bob: User
) -> None:
    with pytest.raises(TeamMirrored):
        add_to_team(actor=alice, team=Team.objects.get(pk=team.pk), user=bob)


def test_a_team_without_its_group_keeps_its_people(
    browser: Browser, mapping: GroupMapping, team: Team, alice: User
) -> None:
    browser.sign_in(attributes=attributes("data-eng"))

    unmap_group(actor=alice, mapping=mapping)

    team.refresh_from_db()
    assert team.source == Team.Source.MANUAL
    assert team.group.user_set.count() == 1


def test_who_was_removed_since_is_let_into_no_team_by_another_mapping(
    browser: Browser,
    mapping: GroupMapping,
    team: Team,
    alice: User,
    saml: SSOConnection,
    organization: Organization,
) -> None:
    browser.sign_in(attributes=attributes("data-eng"))
    dana = User.objects.get(email="dana@nordhavn.test")
    remove_person(actor=alice, user=dana, on=organization)

    map_group(actor=alice, connection=saml, group="analysts", team=team)

    assert not team.group.user_set.exists()


def test_nobody_maps_a_group_to_rights_that_they_lack(
    saml: SSOConnection, organization: Organization, team: Team, bob: User
) -> None:
    with pytest.raises(RightsExceeded):
        map_group(actor=bob, connection=saml, group="data-eng", team=team)


def test_whoever_sets_up_sign_in_alone_maps_no_group(
    client_of: Callable[[User], Client],
    identity_manager: User,
    saml: SSOConnection,
    organization: Organization,
    alice: User,
) -> None:
    empty = create_team(actor=alice, organization=organization, name="Empty")

    page = reverse("sso:groups", args=["nordhavn", saml.key])
    response = client_of(identity_manager).post(page, {"group": "data-eng", "team": empty.pk})

    assert response.status_code == 422
    assert b"You may not manage Teams" in response.content
    assert not GroupMapping.objects.exists()


def test_a_team_of_another_organization_cannot_be_chosen(
    client_of: Callable[[User], Client], alice: User, charlie: User, saml: SSOConnection
) -> None:
    elsewhere = Organization.objects.get(slug="elsewhere")
    theirs = create_team(actor=charlie, organization=elsewhere, name="Theirs")

    page = reverse("sso:groups", args=["nordhavn", saml.key])
    response = client_of(alice).post(page, {"group": "data-eng", "team": theirs.pk})

    assert response.status_code == 422
    assert not GroupMapping.objects.exists()


def test_a_group_is_mapped_on_the_page_and_once(
    client_of: Callable[[User], Client], alice: User, saml: SSOConnection, team: Team
) -> None:
    client = client_of(alice)
    page = reverse("sso:groups", args=["nordhavn", saml.key])

    first = client.post(page, {"group": " data-eng ", "team": team.pk}, follow=True)
    again = client.post(page, {"group": "data-eng", "team": team.pk})

    assert b"Data mirrors data-eng now" in first.content
    assert again.status_code == 422
    assert b"is mapped to Data already" in again.content
