"""Provisioning by SCIM 2.0: the library's own contract, and what it means here."""

import json
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.test import Client
from django.urls import reverse
from scim2_models import ScimProvider
from scim2_server.service import ScimService
from scim2_server.testing import ScimStorageContract
from scim2_server.utils import load_default_provider

from apps.access.effective_grants import all_roles
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.organizations.members.services import remove_person
from apps.organizations.models import Organization, Team, Workspace
from apps.organizations.queries import is_member
from apps.organizations.teams.services import add_to_team, create_team
from apps.organizations.tokens.secrets import SCIM_PREFIX, is_well_formed, new_secret
from apps.sso.models import Domain, ScimRecord, ScimToken
from apps.sso.scim.storage import RecordStorage
from apps.sso.scim.tokens import revoke_scim_token
from tests.conftest import put_role, role
from tests.slow_bodies import sent_slowly
from tests.sso.conftest import Browser
from tests.sso.provisioning import ENTERPRISE, GROUP, PATCH, SCIM, patch, person

pytestmark = pytest.mark.django_db


@cache
def whole_standard() -> ScimProvider:
    return load_default_provider()


class TestRecordStorage(ScimStorageContract):
    """With every attribute of the standard: the portal serves fewer, see `attributes`."""

    @pytest.fixture
    def provider(self) -> ScimProvider:
        return whole_standard()

    @pytest.fixture
    def storage(
        self, organization: Organization, provider: ScimProvider, alice: User
    ) -> RecordStorage:
        return RecordStorage(organization, ScimService(provider, secret="s" * 32), maker=alice)


def test_a_provisioned_person_gets_an_account_and_the_least_role(
    scim: Callable[..., Any], organization: Organization
) -> None:
    response = scim("POST", "Users", person())

    assert response.status_code == 201, response.content
    dana = User.objects.get(email="dana@nordhavn.test")
    assert dana.name == "Dana Berg"
    assert not dana.has_usable_password()
    assert is_member(user=dana, organization=organization)
    found = scim("GET", 'Users?filter=userName eq "DANA@nordhavn.test"').json()
    assert [one["id"] for one in found["Resources"]] == [response.json()["id"]]


def test_an_account_that_is_there_is_linked_and_not_doubled(
    scim: Callable[..., Any], alice: User
) -> None:
    User.objects.filter(pk=alice.pk).update(email="alice@nordhavn.test")

    scim("POST", "Users", person("alice"))

    assert ScimRecord.objects.get().user == alice


def test_somebody_provisioned_signs_in_through_the_connection_as_the_same_person(
    scim: Callable[..., Any], browser: Browser
) -> None:
    scim("POST", "Users", person())

    browser.sign_in()

    assert browser.user_id == str(User.objects.get(email="dana@nordhavn.test").pk)


def test_deactivation_ends_sessions_at_once_and_reactivation_brings_roles_back(
    scim: Callable[..., Any], browser: Browser, organization: Organization
) -> None:
    made = scim("POST", "Users", person()).json()
    browser.sign_in()
    assert browser.client.get("/account/").status_code == 200
    switch = {"op": "replace", "path": "active", "value": False}

    scim("PATCH", f"Users/{made['id']}", {"schemas": [PATCH], "Operations": [switch]})

    assert browser.client.get("/account/").status_code == 302
    dana = User.objects.get(email="dana@nordhavn.test")
    assert not dana.is_active
    on = {**switch, "value": True}
    scim("PATCH", f"Users/{made['id']}", {"schemas": [PATCH], "Operations": [on]})
    dana.refresh_from_db()
    assert dana.is_active
    assert is_member(user=dana, organization=organization)


def test_a_name_that_changes_there_changes_here_and_one_chosen_here_stays_until_then(
    scim: Callable[..., Any],
) -> None:
    made = scim("POST", "Users", person()).json()
    dana = User.objects.filter(email="dana@nordhavn.test")
    dana.update(name="Dani")

    scim("PUT", f"Users/{made['id']}", person(title="Engineer"))
    assert dana.get().name == "Dani"
    married = {"name": {"formatted": "Dana Berg-Holm", "givenName": "Dana"}}
    scim("PUT", f"Users/{made['id']}", person() | married)

    assert dana.get().name == "Dana Berg-Holm"
    event = AuditEvent.objects.get(action="person.renamed")
    assert event.changes == {"dana@nordhavn.test": ["Dani", "Dana Berg-Holm"]}


def test_deleting_a_person_closes_the_account(scim: Callable[..., Any]) -> None:
    made = scim("POST", "Users", person()).json()

    response = scim("DELETE", f"Users/{made['id']}")

    assert response.status_code == 204
    assert not User.objects.get(name="Dana Berg").is_active
    assert not User.objects.filter(email="dana@nordhavn.test").exists()
    assert AuditEvent.objects.filter(action="person.deactivated").exists()


def test_the_last_owner_cannot_be_provisioned_away(scim: Callable[..., Any], alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(email="alice@nordhavn.test")
    made = scim("POST", "Users", person("alice")).json()

    response = scim("DELETE", f"Users/{made['id']}")

    assert response.status_code == 400
    assert "last owner" in response.json()["detail"]
    alice.refresh_from_db()
    assert alice.is_active
    assert ScimRecord.objects.filter(pk=made["id"]).exists()


@pytest.mark.parametrize(
    "email", ["eve@evil.test", "bob@example.org", "no address", "a@b@nordhavn.test", "x\u0000@y.z"]
)
def test_an_address_that_proves_nothing_makes_no_account_and_is_shown(
    scim: Callable[..., Any],
    email: str,
    bob: User,
    client_of: Callable[[User], Client],
    alice: User,
) -> None:
    people = User.objects.count()
    body = person(userName="eve", emails=[{"value": email, "primary": True}])
    status = scim("POST", "Users", body).status_code

    assert status == (400 if "\u0000" in email else 201)
    assert User.objects.count() == people
    shown = client_of(alice).get(reverse("sso:provisioning", args=["nordhavn"])).content.decode()
    assert ("People without an account" in shown) is (status == 201)


def test_a_group_becomes_a_team_that_follows_it(scim: Callable[..., Any]) -> None:
    dana = scim("POST", "Users", person()).json()["id"]
    erik = scim("POST", "Users", person("erik")).json()["id"]
    group = {"schemas": [GROUP], "displayName": "Data", "members": [{"value": dana}]}

    made = scim("POST", "Groups", group).json()
    team = Team.objects.get()
    assert (team.name, team.source) == ("Data", Team.Source.MIRRORED)
    assert [one.email for one in team.group.user_set.all()] == ["dana@nordhavn.test"]

    changes = [
        {"op": "add", "path": "members", "value": [{"value": erik}]},
        {"op": "remove", "path": f'members[value eq "{dana}"]'},
        {"op": "replace", "path": "displayName", "value": "Data engineering"},
    ]
    scim("PATCH", f"Groups/{made['id']}", {"schemas": [PATCH], "Operations": changes})
    team.refresh_from_db()
    assert team.name == "Data engineering"
    assert [one.email for one in team.group.user_set.all()] == ["erik@nordhavn.test"]

    assert scim("DELETE", f"Groups/{made['id']}").status_code == 204
    assert not Team.objects.exists()


def test_a_person_who_was_removed_here_comes_to_no_team_by_a_change_of_others(
    scim: Callable[..., Any], alice: User, organization: Organization
) -> None:
    dana, erik = (scim("POST", "Users", person(name)).json()["id"] for name in ("dana", "erik"))
    group = {"schemas": [GROUP], "displayName": "Data", "members": [{"value": dana}]}
    path = f"Groups/{scim('POST', 'Groups', group).json()['id']}"
    remove_person(actor=alice, user=User.objects.get(email="dana@nordhavn.test"), on=organization)

    scim("PATCH", path, patch({"op": "add", "path": "members", "value": [{"value": erik}]}))

    members = User.objects.filter(groups__team__name="Data")
    assert [one.email for one in members] == ["erik@nordhavn.test"]


def test_a_group_never_takes_over_a_team_of_the_same_name(
    scim: Callable[..., Any], organization: Organization, alice: User
) -> None:
    ours = create_team(actor=alice, organization=organization, name="Data")

    scim("POST", "Groups", {"schemas": [GROUP], "displayName": "data "})

    ours.refresh_from_db()
    assert (ours.name, ours.source) == ("Data", Team.Source.MANUAL)
    assert Team.objects.exclude(pk=ours.pk).get().name == "data (2)"


@pytest.mark.parametrize(
    "bearer",
    ["", "x", "astro_scim_wrong", new_secret(prefix=SCIM_PREFIX).text, new_secret().text],
    ids=["none", "short", "misshapen", "of nobody", "of another kind"],
)
def test_without_its_token_nothing_is_told(scim: Callable[..., Any], bearer: str) -> None:
    response = scim("GET", "Users", bearer=bearer)

    assert response.status_code == 401
    assert response.json()["status"] == "401"


def test_a_token_is_of_its_organization_alone(
    scim: Callable[..., Any], token: str, charlie: User
) -> None:
    scim("POST", "Users", person())

    elsewhere = Client().get(
        "/scim/elsewhere/v2/Users", headers={"Authorization": f"Bearer {token}"}
    )

    assert elsewhere.status_code == 401


@pytest.mark.parametrize("path", ["Users", "Groups/1", "ServiceProviderConfig", "nothing"])
def test_strangers_do_not_learn_which_organizations_there_are(
    organization: Organization, token: str, path: str
) -> None:
    bearer = {"Authorization": f"Bearer {new_secret(prefix=SCIM_PREFIX).text}"}

    known = Client().get(f"/scim/nordhavn/v2/{path}", headers=bearer)
    unknown = Client().get(f"/scim/no-such-place/v2/{path}", headers=bearer)

    assert known.status_code == unknown.status_code
    assert known.content.replace(b"nordhavn", b"no-such-place") == unknown.content
    assert set(known.headers) == set(unknown.headers)


def test_a_session_is_no_token(client_of: Callable[[User], Client], alice: User) -> None:
    assert client_of(alice).get("/scim/nordhavn/v2/Users").status_code == 401


def test_a_revoked_token_proves_nothing(
    scim: Callable[..., Any], client_of: Callable[[User], Client], alice: User, token: str
) -> None:
    page = reverse("sso:revoke_token", args=["nordhavn", ScimToken.objects.get().pk])

    client_of(alice).post(page)

    assert scim("GET", "Users").status_code == 401


def test_a_token_that_is_revoked_while_a_person_arrives_proves_nothing(
    domain: Domain, alice: User, token: str
) -> None:
    revoke = partial(revoke_scim_token, actor=alice, token=ScimToken.objects.get())

    answer = Client().post(
        "/scim/nordhavn/v2/Users",
        content_type=SCIM,
        headers={"Authorization": f"Bearer {token}"},
        **sent_slowly(json.dumps(person()).encode(), meanwhile=revoke),
    )

    assert answer.status_code == 401
    assert not User.objects.filter(email="dana@nordhavn.test").exists()


def test_the_token_is_shown_once_and_kept_as_a_digest(
    client_of: Callable[[User], Client], alice: User
) -> None:
    client = client_of(alice)
    page = reverse("sso:provisioning", args=["nordhavn"])

    shown = client.post(page, {"name": "Entra"}).content.decode()

    token = shown[shown.index(SCIM_PREFIX) :][: len(new_secret(prefix=SCIM_PREFIX).text)]
    assert is_well_formed(token, prefix=SCIM_PREFIX)
    assert token not in client.get(page).content.decode()
    assert token not in str(list(ScimToken.objects.values()))
    assert token not in str(list(AuditEvent.objects.values("changes")))


@pytest.mark.parametrize("body", ["", "{", "[]", '{"schemas": []}', '"x"'])
def test_garbage_is_a_scim_error(scim: Callable[..., Any], token: str, body: str) -> None:
    response = Client().generic(
        "POST",
        "/scim/nordhavn/v2/Users",
        body,
        content_type=SCIM,
        headers={"Authorization": f"Bearer {token}"},
    )

    assert response.status_code == 400
    assert response["Content-Type"].startswith(SCIM)


def test_a_lookup_before_a_write_costs_no_more_with_many_people(
    scim: Callable[..., Any], organization: Organization, django_assert_max_num_queries: Any
) -> None:
    first = scim("POST", "Users", person()).json()
    ScimRecord.objects.bulk_create(
        ScimRecord(
            organization=organization,
            kind="User",
            key=f"p{number}@nordhavn.test",
            external_id=f"e{number}",
            document={**first, "userName": f"p{number}@nordhavn.test"},
        )
        for number in range(300)
    )
    query = 'Users?filter=userName eq "p7@nordhavn.test"'

    with django_assert_max_num_queries(14):
        found = scim("GET", query).json()
        page = scim("GET", "Users?startIndex=1&count=10").json()

    assert found["totalResults"] == 1
    assert (page["totalResults"], len(page["Resources"])) == (301, 10)


@pytest.mark.parametrize("number", ["9" * 12, "9" * 19, "9" * 40, "-1", "-" + "9" * 30, "0"])
@pytest.mark.parametrize("name", ["startIndex", "count"])
@pytest.mark.parametrize("filtered", ["", '&filter=userName eq "dana@nordhavn.test"', "&cursor="])
def test_any_number_may_be_asked_for(
    scim: Callable[..., Any], number: str, name: str, filtered: str
) -> None:
    scim("POST", "Users", person())

    response = scim("GET", f"Users?{name}={number}{filtered}")

    assert response.status_code in (200, 400, 501), response.content


@pytest.mark.parametrize("name", ["userName", "externalId", "id", "displayName"])
def test_a_filter_with_nul_finds_nothing(scim: Callable[..., Any], name: str) -> None:
    response = scim("GET", f'Users?filter={name} eq "a%00b"')

    assert response.status_code in (200, 400), response.content


def test_what_is_not_kept_is_not_stored_and_cannot_be_guessed(scim: Callable[..., Any]) -> None:
    secrets = {
        "password": "hunter2-hunter2",
        "nickName": "Danny",
        "ims": [{"value": "+45 1234", "type": "xmpp"}],
        "roles": [{"value": "Admin"}],
        f"{ENTERPRISE}": {"employeeNumber": "4711", "manager": {"value": "m1"}},
    }
    made = scim("POST", "Users", person(**secrets))
    assert made.status_code == 201, made.content
    path = f"Users/{made.json()['id']}"
    set_one = {"op": "replace", "path": "password", "value": "hunter3-hunter3"}
    assert scim("PATCH", path, {"schemas": [PATCH], "Operations": [set_one]}).status_code == 204
    assert scim("PUT", path, person(**secrets)).status_code == 200

    kept = ScimRecord.objects.get().document
    assert set(kept) <= {
        "schemas", "id", "externalId", "meta", "userName", "name", "displayName", "active", "emails"
    }  # fmt: skip
    assert "hunter" not in str(kept)
    for asked in (
        'password eq "hunter2-hunter2"',
        'password sw "h"',
        "password pr",
        'ims[value sw "+45"]',
        f'{ENTERPRISE}:employeeNumber eq "4711"',
    ):
        found = scim("GET", f"Users?filter={asked.replace('+', '%2B')}")
        assert found.status_code == 400 or found.json()["totalResults"] == 0, asked


def test_a_person_who_was_deleted_and_made_again_is_another_one(
    scim: Callable[..., Any], organization: Organization, workspace: Workspace, alice: User
) -> None:
    first = scim("POST", "Users", person()).json()
    before = User.objects.get(email="dana@nordhavn.test")
    before.set_password("correct horse battery")
    before.save()
    team = create_team(actor=alice, organization=organization, name="Data")
    add_to_team(actor=alice, team=team, user=before)
    put_role(before, role("workspace", "owner"), workspace)
    SocialAccount.objects.create(provider="nordhavn-saml", uid="u-dana", user=before)
    Authenticator.objects.create(user=before, type=Authenticator.Type.TOTP, data={})

    scim("DELETE", f"Users/{first['id']}")
    assert scim("POST", "Users", person()).status_code == 201

    after = User.objects.get(email="dana@nordhavn.test")
    assert after.pk != before.pk
    assert not after.has_usable_password()
    assert not after.groups.exists()
    assert [str(one.role) for one in all_roles(user=after)] == ["Organization Member"]
    before.refresh_from_db()
    assert not before.is_active
    assert not before.has_usable_password()
    assert not all_roles(user=before)
    assert not before.groups.exists()
    assert not SocialAccount.objects.filter(user=before).exists()
    assert not Authenticator.objects.filter(user=before).exists()


def test_a_person_who_was_deactivated_before_being_deleted_is_another_one_as_well(
    scim: Callable[..., Any],
) -> None:
    first = scim("POST", "Users", person()).json()
    off = {"op": "replace", "value": {"active": False}}
    scim("PATCH", f"Users/{first['id']}", {"schemas": [PATCH], "Operations": [off]})

    assert scim("DELETE", f"Users/{first['id']}").status_code == 204
    scim("POST", "Users", person())

    assert User.objects.filter(name="Dana Berg").count() == 2
    assert User.objects.get(email="dana@nordhavn.test").is_active
