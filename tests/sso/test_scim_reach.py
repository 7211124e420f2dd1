"""Provisioning does what the person who made its token may do, and no more."""

from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group
from django.core import mail
from django.test import Client
from django.urls import reverse

from apps.access.effective_grants import all_roles
from apps.access.models import Role
from apps.access.scopes import grant_model
from apps.accounts.models import User
from apps.organizations.members.services import remove_person
from apps.organizations.models import Organization, Team, Workspace
from apps.organizations.queries import is_member
from apps.organizations.teams.services import assign_team_role
from apps.sso.models import Domain, ScimRecord
from apps.sso.scim.tokens import create_scim_token
from tests.conftest import PASSWORD, custom_role, put_role, role
from tests.sso.provisioning import GROUP, patch, person

pytestmark = pytest.mark.django_db


@pytest.fixture
def ivan(identity_manager: User, domain: Domain) -> User:
    return identity_manager


@pytest.fixture
def token(ivan: User, organization: Organization) -> str:
    return create_scim_token(actor=ivan, organization=organization, name="Okta")


def member_at_nordhavn(
    name: str, organization: Organization, key: str = "member", **more: Any
) -> User:
    user = User.objects.create_user(f"{name.lower()}@nordhavn.test", PASSWORD, name=name, **more)
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    put_role(user, role("organization", key), organization)
    return user


def linked(user: User, organization: Organization) -> str:
    """Make the record of a person who was provisioned when that was still allowed."""
    record = ScimRecord.objects.create(
        organization=organization, kind="User", key=user.email, user=user, document={}
    )
    record.document = person(user.email.partition("@")[0]) | {
        "id": record.pk.hex,
        "meta": {"resourceType": "User", "version": 'W/"1"'},
    }
    record.save()
    return f"Users/{record.pk.hex}"


@pytest.fixture(params=["owner", "workspace owner", "team", "operator"])
def above(
    request: pytest.FixtureRequest, organization: Organization, workspace: Workspace, alice: User
) -> User:
    """A person who may do more than Ivan, each in another way."""
    key = "owner" if request.param == "owner" else "member"
    user = member_at_nordhavn("Vera", organization, key, is_operator=request.param == "operator")
    if request.param == "workspace owner":
        put_role(user, role("workspace", "owner"), workspace)
    if request.param == "team":
        team = Team.objects.create(
            organization=organization, name="Data", group=Group.objects.create(name="data")
        )
        user.groups.add(team.group)
        assign_team_role(actor=alice, team=team, role=role("workspace", "member"), on=workspace)
    return user


def test_people_above_the_maker_are_not_linked(scim: Callable[..., Any], above: User) -> None:
    response = scim("POST", "Users", person("vera"))

    assert response.status_code == 403, response.content
    assert not ScimRecord.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        patch({"op": "replace", "path": "active", "value": False}),
        patch({"op": "replace", "value": {"emails": [{"value": "ivan2@nordhavn.test"}]}}),
        person("ivan2"),
        person("vera", active=False),
        None,
    ],
    ids=["deactivate", "patch address", "put address", "put inactive", "delete"],
)
def test_people_above_the_maker_are_not_touched(
    scim: Callable[..., Any], above: User, organization: Organization, change: Any
) -> None:
    path = linked(above, organization)
    roles = len(all_roles(user=above))
    method = "DELETE" if change is None else "PATCH" if "Operations" in change else "PUT"

    response = scim(method, path, change)

    assert response.status_code == 403, response.content
    after = User.objects.get(pk=above.pk)
    assert (after.email, after.is_active) == ("vera@nordhavn.test", True)
    assert after.check_password(PASSWORD)
    assert len(all_roles(user=after)) == roles
    assert ScimRecord.objects.get().document["userName"] == "vera@nordhavn.test"


def test_their_names_stay_and_what_changes_nothing_is_accepted(
    scim: Callable[..., Any], above: User, organization: Organization
) -> None:
    path = linked(above, organization)

    assert scim("PUT", path, person("vera")).status_code == 200
    assert scim("PUT", path, person("vera", displayName="Eve")).status_code == 200

    assert User.objects.get(pk=above.pk).name == "Vera"


def test_members_are_managed_and_the_old_address_is_told(
    scim: Callable[..., Any],
    organization: Organization,
    django_capture_on_commit_callbacks: Any,
) -> None:
    dana = member_at_nordhavn("Dana", organization)
    path = f"Users/{scim('POST', 'Users', person()).json()['id']}"

    with django_capture_on_commit_callbacks(execute=True):
        assert scim("PUT", path, person("dana2")).status_code == 200

    dana.refresh_from_db()
    assert dana.email == "dana2@nordhavn.test"
    sent = [one for one in mail.outbox if one.to == ["dana@nordhavn.test"]]
    assert len(sent) == 1
    assert "dana2@nordhavn.test" in sent[0].body
    assert scim("DELETE", path).status_code == 204


def test_a_token_of_a_maker_who_lost_rights_can_only_do_less(
    scim: Callable[..., Any], organization: Organization, ivan: User
) -> None:
    anna = member_at_nordhavn("Anna", organization, "owner")
    vera = member_at_nordhavn("Vera", organization, "owner")
    bearer = create_scim_token(actor=anna, organization=organization, name="Entra")
    path = f"Users/{scim('POST', 'Users', person('vera'), bearer=bearer).json()['id']}"
    manage = Role.objects.get(name="Identity")
    organization.grants.filter(user=anna).update(permission=manage.permission)

    response = scim("DELETE", path, bearer=bearer)

    assert response.status_code == 403
    vera.refresh_from_db()
    assert vera.is_active


@pytest.mark.parametrize("after", ["removed", "demoted", "deactivated", "deleted"])
def test_a_token_whose_maker_may_not_make_it_any_more_is_refused(
    scim: Callable[..., Any],
    ivan: User,
    alice: User,
    organization: Organization,
    client_of: Callable[[User], Client],
    after: str,
) -> None:
    assert scim("GET", "Users").status_code == 200
    if after == "removed":
        remove_person(actor=alice, user=ivan, on=organization)
    elif after == "demoted":
        member = role("organization", "member")
        organization.grants.filter(user=ivan).update(permission=member.permission)
    elif after == "deactivated":
        User.objects.filter(pk=ivan.pk).update(is_active=False)
    else:
        User.objects.filter(pk=ivan.pk).delete()

    response = scim("GET", "Users")

    assert response.status_code == 403
    assert "new one" in response.json()["detail"]
    page = client_of(alice).get(reverse("sso:provisioning", args=["nordhavn"])).content.decode()
    assert "Refused: its creator" in page


@pytest.mark.parametrize("member_first", [False, True])
def test_an_account_of_another_organization_is_adopted_only_after_it_came_by_itself(
    scim: Callable[..., Any], organization: Organization, charlie: User, member_first: bool
) -> None:
    User.objects.filter(pk=charlie.pk).update(email="charlie@nordhavn.test")
    if member_first:
        put_role(charlie, role("organization", "member"), organization)

    response = scim("POST", "Users", person("charlie"))

    assert response.status_code == 201
    record = ScimRecord.objects.get()
    assert (record.user == charlie) is member_first
    assert ("another organization" in record.problem) is not member_first
    assert is_member(user=charlie, organization=organization) is member_first


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_who_is_elsewhere_too_is_removed_here_and_keeps_the_account(
    scim: Callable[..., Any], organization: Organization, charlie: User, method: str
) -> None:
    User.objects.filter(pk=charlie.pk).update(email="charlie@nordhavn.test")
    put_role(charlie, role("organization", "member"), organization)
    path = f"Users/{scim('POST', 'Users', person('charlie')).json()['id']}"
    renamed = scim("PUT", path, person("charlie2"))

    off = patch({"op": "replace", "path": "active", "value": False})
    response = scim(method, path, off if method == "PATCH" else None)

    assert renamed.status_code == 403
    assert response.status_code == 204
    charlie.refresh_from_db()
    assert (charlie.is_active, charlie.email) == (True, "charlie@nordhavn.test")
    assert charlie.has_perm("organization.view", Organization.objects.get(slug="elsewhere"))
    assert not is_member(user=charlie, organization=organization)


def test_the_first_link_ends_what_was_set_up_before_the_address_was_proved(
    scim: Callable[..., Any], organization: Organization
) -> None:
    dana = member_at_nordhavn("Dana", organization)
    EmailAddress.objects.filter(user=dana).update(verified=False)

    assert scim("POST", "Users", person()).status_code == 201

    dana.refresh_from_db()
    assert not dana.has_usable_password()


def let_manage_teams(user: User, organization: Organization, actor: User) -> None:
    permissions = {"organization.members.view", "organization.teams.manage"}
    made = custom_role("Teams", permissions, organization=organization, actor=actor)
    put_role(user, made, organization)


class TestTeams:
    @pytest.fixture
    def ids(
        self, scim: Callable[..., Any], ivan: User, organization: Organization, alice: User
    ) -> dict[str, str]:
        let_manage_teams(ivan, organization, alice)
        names = ("dana", "erik")
        ids = {one: scim("POST", "Users", person(one)).json()["id"] for one in names}
        group = {"schemas": [GROUP], "displayName": "Data", "members": [{"value": ids["dana"]}]}
        return ids | {"group": f"Groups/{scim('POST', 'Groups', group).json()['id']}"}

    @pytest.fixture
    def team(self, ids: dict[str, str], alice: User, workspace: Workspace) -> Team:
        """Its members were pushed, and then an owner gave it a role."""
        team = Team.objects.get()
        assign_team_role(actor=alice, team=team, role=role("workspace", "owner"), on=workspace)
        return team

    @pytest.mark.parametrize("op", ["add", "replace", "remove"])
    def test_members_are_not_pushed_into_a_team_above_the_maker(
        self, scim: Callable[..., Any], ids: dict[str, str], team: Team, op: str
    ) -> None:
        change = {"op": op, "path": "members", "value": [{"value": ids["erik"]}]}
        if op == "remove":
            change = {"op": op, "path": "members"}

        response = scim("PATCH", ids["group"], patch(change))

        assert response.status_code == 403, response.content
        assert [one.email for one in team.group.user_set.all()] == ["dana@nordhavn.test"]

    def test_such_a_team_is_not_deleted_and_its_name_follows(
        self, scim: Callable[..., Any], ids: dict[str, str], team: Team
    ) -> None:
        name = {"op": "replace", "path": "displayName", "value": "Science"}

        assert scim("DELETE", ids["group"]).status_code == 403
        assert scim("PATCH", ids["group"], patch(name)).status_code == 204

        team.refresh_from_db()
        assert team.name == "Science"

    def test_a_team_within_reach_follows(
        self, scim: Callable[..., Any], ids: dict[str, str]
    ) -> None:
        change = {"op": "add", "path": "members", "value": [{"value": ids["erik"]}]}

        assert scim("PATCH", ids["group"], patch(change)).status_code == 204

        assert Team.objects.get().group.user_set.count() == 2

    def test_a_maker_who_may_not_manage_teams_makes_none(self, scim: Callable[..., Any]) -> None:
        response = scim("POST", "Groups", {"schemas": [GROUP], "displayName": "Data"})

        assert response.status_code == 403
        assert "may not manage Teams" in response.json()["detail"]
        assert not Team.objects.exists()
        assert not ScimRecord.objects.filter(kind="Group").exists()

    @pytest.mark.parametrize("change", ["name", "members", "delete"])
    def test_a_maker_who_may_no_longer_manage_teams_changes_none(
        self,
        scim: Callable[..., Any],
        ids: dict[str, str],
        ivan: User,
        change: str,
    ) -> None:
        grant_model(Organization).objects.filter(user=ivan, permission__role__name="Teams").delete()
        operations = {
            "name": {"op": "replace", "path": "displayName", "value": "Science"},
            "members": {"op": "remove", "path": "members"},
        }

        response = (
            scim("DELETE", ids["group"])
            if change == "delete"
            else scim("PATCH", ids["group"], patch(operations[change]))
        )

        assert response.status_code == 403
        team = Team.objects.get()
        assert (team.name, team.group.user_set.count()) == ("Data", 1)
