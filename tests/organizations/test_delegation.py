"""Whom a provisioning token or a single sign-on connection may touch."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import User
from apps.organizations.members.delegation import (
    is_elsewhere,
    why_account_out_of_reach,
    why_out_of_reach,
)
from apps.organizations.models import Organization, Workspace
from apps.organizations.teams.services import add_to_team, assign_team_role, create_team
from tests.conftest import make_user, put_role, role

pytestmark = pytest.mark.django_db


@pytest.fixture
def maker(identity_manager: User) -> User:
    return identity_manager


@pytest.fixture
def why(organization: Organization) -> Callable[..., str]:
    return lambda user, maker: why_out_of_reach(user=user, maker=maker, organization=organization)


def test_members_are_in_reach_and_those_who_may_more_are_not(
    why: Callable[..., str], maker: User, alice: User, bob: User, organization: Organization
) -> None:
    dana = make_user("Dana")
    put_role(dana, role("organization", "member"), organization)

    assert why(dana, maker) == ""
    assert why(maker, maker) == ""
    assert why(bob, maker) == "bob@example.org has permissions that ivan@example.org lacks."
    assert why(alice, maker)
    assert why(bob, alice) == ""


def test_a_right_through_a_team_counts(
    why: Callable[..., str],
    maker: User,
    alice: User,
    organization: Organization,
    workspace: Workspace,
) -> None:
    dana = make_user("Dana")
    put_role(dana, role("organization", "member"), organization)
    team = create_team(actor=alice, organization=organization, name="Data")
    add_to_team(actor=alice, team=team, user=dana)
    assign_team_role(actor=alice, team=team, role=role("workspace", "owner"), on=workspace)

    assert why(dana, maker)


def test_an_operator_is_out_of_everybodys_reach(
    why: Callable[..., str], alice: User, organization: Organization
) -> None:
    olga = make_user("Olga", is_operator=True)
    put_role(olga, role("organization", "member"), organization)

    assert "operator" in why(olga, alice)


@pytest.mark.parametrize("after", ["demoted", "deactivated", "gone"])
def test_a_maker_who_lost_rights_delegates_the_lesser_ones(
    why: Callable[..., str], alice: User, bob: User, organization: Organization, after: str
) -> None:
    anna: Any = make_user("Anna")
    put_role(anna, role("organization", "owner"), organization)
    assert why(bob, anna) == ""

    if after == "demoted":
        organization.grants.filter(user=anna).delete()
    elif after == "deactivated":
        User.objects.filter(pk=anna.pk).update(is_active=False)
        anna.refresh_from_db()
    else:
        anna = None

    assert why(bob, anna)


def test_an_account_is_shared_with_other_organizations(
    charlie: User, alice: User, bob: User, organization: Organization
) -> None:
    put_role(charlie, role("organization", "member"), organization)

    assert is_elsewhere(user=charlie, organization=organization)
    assert not is_elsewhere(user=bob, organization=organization)
    reason = why_account_out_of_reach(user=charlie, maker=alice, organization=organization)
    assert "another organization" in reason
    assert why_account_out_of_reach(user=bob, maker=alice, organization=organization) == ""
    assert why_out_of_reach(user=charlie, maker=alice, organization=organization) == ""
