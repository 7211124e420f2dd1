"""Who may do what, address by address, asked of the running views.

The table is written by hand, so that a wrong permission on a view or a wrong role in the catalogue
shows here. Visitors: nobody signed in, a disabled person, an outsider (owner of another
organization), the operator of the installation, one person per built-in role who holds just that
(and what entry to it needs), one with a custom role, and one with a role through a Team.
"""

import logging
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.http import HttpResponseBase
from django.template.backends.django import Template
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from apps.access.catalogue import BUILT_IN_ROLES
from apps.access.models import Role
from apps.access.scoped import PermissionMissing
from apps.access.services import grant, grant_with_entry
from apps.accounts.services import issue_sign_in_link
from apps.api import gates
from apps.deployments.models import Draft, Operation
from apps.deploys.models import Deploy
from apps.organizations.audit_log import views as records
from apps.organizations.invitations.services import invite
from apps.organizations.models import Invitation
from apps.organizations.roles.services import create_role
from apps.organizations.teams.services import add_to_team, assign_team_role, create_team
from apps.organizations.tokens.services import create_token
from apps.sso.connections.services import make_bypass_link
from apps.sso.groups.services import map_group
from apps.sso.models import Domain, ScimToken, SSOConnection
from apps.sso.scim.tokens import create_scim_token
from tests.architecture.test_view_guard import WITHOUT_STAMP
from tests.architecture.urls import addresses
from tests.clusters.material import registered
from tests.conftest import make_user, role
from tests.sso.identity_provider import make_signer

# A custom role that sees a Deployment and delivers code, and a role that is held through a Team.
BY_CUSTOM_ROLE, BY_TEAM = frozenset({"custom deployer"}), frozenset({"operator by team"})
BUILT_IN = frozenset(f"{role.scope} {role.key}" for role in BUILT_IN_ROLES)
ROLES = BUILT_IN | BY_CUSTOM_ROLE | BY_TEAM
STRANGERS = frozenset({"anonymous", "disabled", "outsider", "operator"})
SIGNED_IN = ROLES | {"outsider", "operator"}
# A token on each kind of object, and one whose maker is disabled. Pages take no token.
TOKENS = frozenset({"organization token", "workspace token", "deployment token"})
BY_TOKEN = TOKENS | {"token of somebody disabled"}
EVERYBODY = ROLES | STRANGERS | BY_TOKEN
OPERATOR = frozenset({"operator"})
NOBODY: frozenset[str] = frozenset()

ORGANIZATION_OWNER = frozenset({"organization owner"})
IN_ORGANIZATION = ROLES
WORKSPACE_OWNERS = ORGANIZATION_OWNER | {"workspace owner"}
WORKSPACE_OPERATORS = WORKSPACE_OWNERS | {"workspace operator"} | BY_TEAM
WORKSPACE_AUTHORS = WORKSPACE_OPERATORS | {"workspace author"}
WORKSPACE_MEMBERS = WORKSPACE_AUTHORS | {"workspace member"}
ON_DEPLOYMENT = (
    WORKSPACE_MEMBERS
    | {"deployment viewer", "deployment author", "deployment admin"}
    | BY_CUSTOM_ROLE
)
IN_WORKSPACE = ON_DEPLOYMENT | {"workspace accessor"}
DEPLOYMENT_AUTHORS = WORKSPACE_AUTHORS | {"deployment author", "deployment admin"} | BY_CUSTOM_ROLE
DEPLOYMENT_OPERATORS = WORKSPACE_OPERATORS | {"deployment admin"}
DEPLOYMENT_MANAGERS = WORKSPACE_OWNERS | {"deployment admin"}


@dataclass(frozen=True)
class Row:
    """Who gets through by GET and by POST; None: the method is not allowed to anybody.

    Of those who do not get through, `seen_by` are refused (403) and all others find nothing (404).
    """

    seen_by: frozenset[str]
    get: frozenset[str] | None
    post: frozenset[str] | None = None
    is_by_token: bool = False


def _all(who: frozenset[str]) -> Row:
    return Row(who, who, who)


def _organization(get: Any, post: Any = None) -> Row:
    return Row(IN_ORGANIZATION, get, post)


def _workspace(get: Any, post: Any = None) -> Row:
    return Row(IN_WORKSPACE, get, post)


def _deployment(get: Any, post: Any = None) -> Row:
    return Row(ON_DEPLOYMENT, get, post)


AUTHOR_OF_DRAFT = ORGANIZATION_OWNER
TABLE = {
    "portal:home": Row(SIGNED_IN, SIGNED_IN),
    "portal:healthz": Row(EVERYBODY, EVERYBODY),
    "portal:setup": _all(EVERYBODY),
    "portal:search": Row(SIGNED_IN, SIGNED_IN),
    "portal:styleguide": Row(NOBODY, OPERATOR),
    "portal:organization": _organization(IN_ORGANIZATION),
    "portal:workspace": _workspace(IN_WORKSPACE),
    "portal:delete_workspace": _workspace(WORKSPACE_OWNERS, WORKSPACE_OWNERS),
    "accounts:profile": _all(SIGNED_IN),
    "accounts:sessions": Row(SIGNED_IN, SIGNED_IN),
    # Of one's own only: there is none with the number asked for.
    "accounts:end_session": Row(NOBODY, None, NOBODY),
    "accounts:end_others": Row(SIGNED_IN, None, SIGNED_IN),
    "accounts:mail": Row(NOBODY, OPERATOR),
    "organizations:own_roles": Row(SIGNED_IN, SIGNED_IN),
    "organizations:invitation": _all(EVERYBODY),
    "organizations:workspaces": _organization(IN_ORGANIZATION),
    "organizations:new_workspace": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "organizations:members": _organization(IN_ORGANIZATION),
    "organizations:invite_member": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "organizations:member": _organization(IN_ORGANIZATION, ORGANIZATION_OWNER),
    "organizations:member_account": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "organizations:remove_member": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "organizations:resend_invitation": _organization(None, ORGANIZATION_OWNER),
    "organizations:revoke_invitation": _organization(None, ORGANIZATION_OWNER),
    "organizations:who": _organization(IN_ORGANIZATION),
    "organizations:workspace_who": _workspace(WORKSPACE_MEMBERS),
    "deployments:who": _deployment(ON_DEPLOYMENT),
    "organizations:teams": _organization(IN_ORGANIZATION),
    "organizations:new_team": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "organizations:team": _organization(IN_ORGANIZATION, ORGANIZATION_OWNER),
    "organizations:team_settings": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "organizations:remove_from_team": _organization(None, ORGANIZATION_OWNER),
    "organizations:delete_team": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "organizations:team_roles": _organization(IN_ORGANIZATION, ORGANIZATION_OWNER),
    "organizations:take_team_role": _organization(None, ORGANIZATION_OWNER),
    "organizations:workspace_teams": _workspace(WORKSPACE_MEMBERS, WORKSPACE_OWNERS),
    "organizations:take_workspace_team_role": _workspace(None, WORKSPACE_OWNERS),
    "organizations:roles": _organization(IN_ORGANIZATION),
    "organizations:tokens": _organization(ORGANIZATION_OWNER),
    "organizations:new_token": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "organizations:rotate_token": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "organizations:revoke_token": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "organizations:workspace_tokens": _workspace(WORKSPACE_OPERATORS),
    "organizations:new_workspace_token": _workspace(WORKSPACE_OPERATORS, WORKSPACE_OPERATORS),
    "organizations:rotate_workspace_token": _workspace(WORKSPACE_OPERATORS, WORKSPACE_OPERATORS),
    "organizations:revoke_workspace_token": _workspace(WORKSPACE_OPERATORS, WORKSPACE_OPERATORS),
    "deployments:tokens": _deployment(DEPLOYMENT_MANAGERS),
    "deployments:new_token": _deployment(DEPLOYMENT_MANAGERS, DEPLOYMENT_MANAGERS),
    "deployments:rotate_token": _deployment(DEPLOYMENT_MANAGERS, DEPLOYMENT_MANAGERS),
    "deployments:revoke_token": _deployment(DEPLOYMENT_MANAGERS, DEPLOYMENT_MANAGERS),
    # By token alone: whoever is signed in is nobody there.
    "api:whoami": Row(NOBODY, TOKENS, is_by_token=True),
    "api:deployments": Row(NOBODY, TOKENS, is_by_token=True),
    "api:deployment": Row(NOBODY, TOKENS, is_by_token=True),
    "organizations:role": _organization(IN_ORGANIZATION),
    "organizations:new_role": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "organizations:edit_role": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "organizations:delete_role": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "organizations:audit": _organization(ORGANIZATION_OWNER),
    "organizations:export_audit": _organization(None, ORGANIZATION_OWNER),
    "organizations:verify_audit": _organization(None, ORGANIZATION_OWNER),
    "organizations:leave": _organization(IN_ORGANIZATION, IN_ORGANIZATION),
    "organizations:settings": _organization(IN_ORGANIZATION, ORGANIZATION_OWNER),
    "organizations:workspace_members": _workspace(WORKSPACE_MEMBERS),
    "organizations:add_member": _workspace(WORKSPACE_OWNERS, WORKSPACE_OWNERS),
    "organizations:workspace_member": _workspace(WORKSPACE_MEMBERS, WORKSPACE_OWNERS),
    "organizations:remove_workspace_member": _workspace(WORKSPACE_OWNERS, WORKSPACE_OWNERS),
    "organizations:resend_workspace_invitation": _workspace(None, WORKSPACE_OWNERS),
    "organizations:revoke_workspace_invitation": _workspace(None, WORKSPACE_OWNERS),
    "organizations:workspace_settings": _workspace(IN_WORKSPACE, WORKSPACE_OWNERS),
    "account_login": _all(EVERYBODY),
    "sso:start": Row(EVERYBODY, None, EVERYBODY),
    # Of who came that way, of whom there is nobody here.
    "sso:confirm_at": Row(NOBODY, None, NOBODY),
    "sso:confirm": Row(SIGNED_IN, SIGNED_IN),
    "sso:acs": Row(EVERYBODY, None, EVERYBODY),
    "sso:acs_finish": Row(EVERYBODY, EVERYBODY),
    "sso:callback": Row(EVERYBODY, EVERYBODY),
    "sso:metadata": Row(EVERYBODY, EVERYBODY),
    "sso:bypass": _all(EVERYBODY),
    # By a token of its own, which nobody here has.
    "sso:scim": Row(NOBODY, NOBODY, NOBODY, is_by_token=True),
    "sso:provisioning": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "sso:revoke_token": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "sso:overview": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "sso:make_bypass_link": _organization(None, ORGANIZATION_OWNER),
    "sso:check_domain": _organization(None, ORGANIZATION_OWNER),
    "sso:change_domain": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "sso:new_connection": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "sso:connection": _organization(ORGANIZATION_OWNER),
    "sso:groups": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "sso:unmap": _organization(None, ORGANIZATION_OWNER),
    "sso:edit_connection": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "sso:test_connection": _organization(None, ORGANIZATION_OWNER),
    "sso:switch_connection": _organization(None, ORGANIZATION_OWNER),
    "sso:delete_connection": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "clusters:list": _organization(IN_ORGANIZATION),
    "clusters:register": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "clusters:manifest": _organization(IN_ORGANIZATION),
    "clusters:cluster": _organization(IN_ORGANIZATION),
    "clusters:check": _organization(None, ORGANIZATION_OWNER),
    "clusters:settings": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "clusters:workspaces": _organization(IN_ORGANIZATION, ORGANIZATION_OWNER),
    "clusters:credential": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "clusters:remove": _organization(ORGANIZATION_OWNER, ORGANIZATION_OWNER),
    "deployments:list": _workspace(IN_WORKSPACE),
    "deployments:new": _workspace(WORKSPACE_OPERATORS, WORKSPACE_OPERATORS),
    # A draft is its author's: to everybody else it does not exist.
    "deployments:review": Row(NOBODY, AUTHOR_OF_DRAFT, AUTHOR_OF_DRAFT),
    "deployments:edit_draft": Row(NOBODY, AUTHOR_OF_DRAFT, AUTHOR_OF_DRAFT),
    "deployments:rebase": Row(NOBODY, None, AUTHOR_OF_DRAFT),
    "deployments:discard": Row(NOBODY, None, AUTHOR_OF_DRAFT),
    "deployments:overview": _deployment(ON_DEPLOYMENT),
    "deployments:environment": _deployment(ON_DEPLOYMENT),
    "deployments:configure": _deployment(DEPLOYMENT_OPERATORS, DEPLOYMENT_OPERATORS),
    "deployments:revisions": _deployment(ON_DEPLOYMENT),
    "deployments:revision": _deployment(ON_DEPLOYMENT),
    "deployments:restore": _deployment(None, DEPLOYMENT_OPERATORS),
    "deployments:operations": _deployment(ON_DEPLOYMENT),
    "deployments:operation": _deployment(ON_DEPLOYMENT),
    "deployments:try_again": _deployment(None, DEPLOYMENT_OPERATORS),
    "deployments:put_back": _deployment(None, DEPLOYMENT_OPERATORS),
    "deployments:access": _deployment(ON_DEPLOYMENT, DEPLOYMENT_MANAGERS),
    "deployments:take_role": _deployment(None, DEPLOYMENT_MANAGERS),
    "deployments:delete": _deployment(DEPLOYMENT_OPERATORS, DEPLOYMENT_OPERATORS),
    "deploys:list": _deployment(ON_DEPLOYMENT, DEPLOYMENT_AUTHORS),
    "deploys:detail": _deployment(ON_DEPLOYMENT),
    "deploys:download": _deployment(ON_DEPLOYMENT),
    "deploys:roll_back": _deployment(None, DEPLOYMENT_AUTHORS),
    "airflow_access:open_airflow": _deployment(None, ON_DEPLOYMENT),
    "airflow_access:airflow_entry": _deployment(ON_DEPLOYMENT),
    # Of the edge alone, by a secret of its own.
    "airflow_access:airflow_role": Row(NOBODY, None, NOBODY, is_by_token=True),
    "observability:logs": _deployment(ON_DEPLOYMENT),
    "observability:log_tail": _deployment(ON_DEPLOYMENT),
    "observability:log_download": _deployment(ON_DEPLOYMENT),
}
# Closed for everybody: test_view_guard asks them one by one.
CLOSED = {
    "account_signup",
    "account_email",
    "account_email_verification_sent",
    "account_confirm_email",
}


@dataclass
class Stage:
    visitors: dict[str, Client]
    arguments: dict[str, Any]
    tokens: dict[str, str]
    bodies: dict[str, str]
    token_ids: dict[str, int]

    def path(self, name: str, route: str) -> str:
        wanted = {key: value for key, value in self.arguments.items() if f":{key}>" in route}
        if "<str:token>" in route:
            wanted["token"] = self.tokens[name]
        if "<slug:slug>" in route:
            wanted["slug"] = "nordhavn" if route.startswith("o/") else "warehouse"
        if ":token_id>" in route:
            wanted["token_id"] = self.token_ids[name]
        if name == "sso:callback":
            wanted["connection_key"] = self.arguments["oidc_key"]
        if name.endswith("_workspace_invitation"):
            wanted["invitation_id"] = self.arguments["workspace_invitation_id"]
        return reverse(name, kwargs=wanted)


@pytest.fixture
def stage(organization, workspace, deployment, charlie, client_of, settings) -> Stage:
    people = {"outsider": charlie, "operator": make_user("Operator", is_operator=True)}
    targets = {"organization": organization, "workspace": workspace, "deployment": deployment}
    for built_in in BUILT_IN_ROLES:
        name = f"{built_in.scope} {built_in.key}"
        people[name] = make_user(name.replace(" ", "-"))
        grant_with_entry(
            actor=None,
            user=people[name],
            role=role(built_in.scope, built_in.key),
            on=targets[built_in.scope],
        )
    people |= _by_other_ways(people["organization owner"], workspace, deployment)
    disabled = make_user("Disabled")
    grant(actor=None, user=disabled, role=role("organization", "owner"), on=organization)
    visitors = {name: client_of(person) for name, person in people.items()}
    visitors |= {"anonymous": Client(), "disabled": client_of(disabled)}
    things = _things(people, organization, workspace, deployment)
    made = _tokens(people["organization owner"], organization, workspace, deployment)
    made["token of somebody disabled"] = create_token(
        actor=disabled,
        on=organization,
        name="Dead",
        role=role("organization", "member"),
        expires_at=None,
    )
    visitors |= {
        name: Client(headers={"Authorization": f"Bearer {secret}"})
        for name, (_, secret) in made.items()
    }
    disabled.is_active = False
    disabled.save(update_fields=["is_active"])
    for client in visitors.values():
        client.raise_request_exception = False
    names = {
        "organizations:{}_token": "organization",
        "organizations:{}_workspace_token": "workspace",
    }
    names["deployments:{}_token"] = "deployment"
    token_ids = {
        name.format(verb): made[f"{scope} token"][0].pk
        for name, scope in names.items()
        for verb in ("rotate", "revoke")
    }
    return Stage(visitors=visitors, token_ids=token_ids, **things)


def _tokens(owner, *places) -> dict[str, Any]:
    """Make a token on each place, with the least role that sees the Deployment."""
    roles = [
        role("organization", "owner"),
        role("workspace", "member"),
        role("deployment", "viewer"),
    ]
    return {
        f"{one.scope} token": create_token(
            actor=owner, on=place, name="CI", role=one, expires_at=None
        )
        for one, place in zip(roles, places, strict=True)
    }


def _by_other_ways(owner, workspace, deployment) -> dict[str, Any]:
    """Make the person who holds a custom role, and the one who has a role through a Team."""
    organization = workspace.organization
    deployer, member = make_user("custom-deployer"), make_user("operator-by-team")
    custom = create_role(
        actor=owner,
        organization=organization,
        scope="deployment",
        name="Deployer",
        description="",
        permissions=[*role("deployment", "viewer").permissions, "deployment.deploys.create"],
        is_limited=True,
        workspaces=[workspace],
    )
    grant_with_entry(actor=owner, user=deployer, role=custom, on=deployment)
    grant(actor=None, user=member, role=role("organization", "member"), on=organization)
    team = create_team(actor=owner, organization=organization, name="Operators")
    add_to_team(actor=owner, team=team, user=member)
    assign_team_role(actor=owner, team=team, role=role("workspace", "operator"), on=workspace)
    return {"custom deployer": deployer, "operator by team": member}


def _things(people, organization, workspace, deployment) -> dict[str, Any]:
    """Make one of everything that an address can name."""
    owner = people["organization owner"]
    link = invite(actor=owner, organization=organization, email="guest@example.org")
    invite(
        actor=owner,
        organization=organization,
        email="other@example.org",
        workspace=workspace,
        workspace_role="member",
    )
    draft = Draft.objects.create(
        workspace=workspace,
        cluster=deployment.cluster,
        name="new",
        author=owner,
        config=deployment.wanted.config,
    )
    Operation.objects.create(
        deployment=deployment,
        number=1,
        kind=Operation.Kind.CREATE,
        title="Create",
        state="succeeded",
        revision=deployment.wanted,
    )
    saml, oidc = (_connection(organization, protocol) for protocol in SSOConnection.Protocol)
    domain = Domain.objects.create(organization=organization, name="nordhavn.test", token="t")
    create_scim_token(actor=owner, organization=organization, name="Okta")
    team = create_team(actor=owner, organization=organization, name="Data")
    add_to_team(actor=owner, team=team, user=people["workspace member"])
    mirrored = create_team(actor=owner, organization=organization, name="Mirrored")
    digest = "0" * 64
    default_storage.save(f"code/{digest}.zip", ContentFile(b"PK"))
    Deploy.objects.create(
        deployment=deployment,
        number=1,
        revision=deployment.wanted,
        digest=digest,
        file_name="x.zip",
        size_bytes=2,
        n_files=0,
    )
    return {
        "arguments": {
            "session_id": 0,
            "ref": deployment.ref,
            "person_id": people["workspace member"].pk,
            "invitation_id": Invitation.objects.get(workspace=None).pk,
            "workspace_invitation_id": Invitation.objects.get(workspace=workspace).pk,
            "team_id": team.pk,
            "role_id": Role.objects.get(name="Deployer").pk,
            "scope": "deployment",
            "draft_id": draft.pk,
            "connection_key": saml.key,
            "oidc_key": oidc.key,
            "domain_id": domain.pk,
            "organization_slug": "nordhavn",
            "mapping_id": map_group(actor=owner, connection=saml, group="data", team=mirrored).pk,
            "path": "Users",
            "scim_token_id": ScimToken.objects.get().pk,
            "cluster_id": registered(organization).pk,
            "number": 1,
        },
        "bodies": {"deployments:take_role": f"person={deployment.grants.all()[0].pk}"},
        "tokens": {
            "portal:setup": issue_sign_in_link(user=people["workspace member"]),
            "organizations:invitation": link.rstrip("/").rsplit("/", 1)[1],
            "sso:bypass": make_bypass_link(actor=owner, organization=organization),
        },
    }


def _connection(organization, protocol) -> SSOConnection:
    return SSOConnection.objects.create(
        organization=organization,
        key=f"key-{protocol}".replace("_", "-"),
        protocol=protocol,
        name=protocol,
        config={
            "issuer": "https://127.0.0.1:9",
            "entity_id": "https://idp.test",
            "sso_url": "https://idp.test/sso",
            "certificates": [make_signer().certificate],
        },
        is_enabled=True,
        tested_at=timezone.now(),
    )


def outcome(response: HttpResponseBase) -> str:
    if response.streaming:
        b"".join(response.streaming_content)
    if response.status_code == 302 and response["Location"].startswith("/accounts/login/?"):
        return "sign in"
    words = {403: "refused", 404: "nothing", 405: "no such method"}
    if response.status_code == 401:
        return "sign in"
    if response.status_code >= 500 and response.status_code != 503:
        return f"broken ({response.status_code})"
    return words.get(response.status_code, "through")


def expected(row: Row, method: str, visitor: str) -> set[str]:
    allowed = row.get if method == "GET" else row.post
    if allowed is None:
        # Whether the gate or the method speaks first does not matter: nothing gets through.
        return {"sign in", "refused", "nothing", "no such method"}
    if visitor in allowed:
        return {"through"}
    if row.is_by_token or visitor in {"anonymous", "disabled"} | BY_TOKEN:
        return {"sign in"}
    return {"refused"} if visitor in row.seen_by else {"nothing"}


def test_every_address_has_a_row():
    found = {address.name for address in addresses()} - WITHOUT_STAMP.keys() - CLOSED

    missing, stale = sorted(found - TABLE.keys()), sorted(TABLE.keys() - found)

    assert not missing, f"Add a row to TABLE, saying who gets through, for: {', '.join(missing)}"
    assert not stale, f"Take the rows out of TABLE, the addresses are gone: {', '.join(stale)}"


@pytest.fixture
def _bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Answer without pages and without a trace per refusal: there are two thousand answers."""
    monkeypatch.setattr(Template, "render", lambda self, context=None, request=None: SafeString(""))
    monkeypatch.setattr(PermissionMissing, "denial", lambda self: None)
    monkeypatch.setattr(gates, "BAD_TOKENS", 1_000_000)
    # It reads in a transaction of its own, and here is one around each request.
    monkeypatch.setattr(records, "verify_all", lambda organization_id: [])
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_view_lets_through_whom_the_table_says(stage, method):
    wrong = []
    for address in addresses():
        row = TABLE.get(address.name)
        if row is None:
            continue
        path = stage.path(address.name, address.route)
        for visitor, client in stage.visitors.items():
            found = ask(client, method, path, stage.bodies.get(address.name, ""))
            if found not in expected(row, method, visitor):
                wanted = " or ".join(sorted(expected(row, method, visitor)))
                wrong.append(f"{method} {path} as {visitor}: {found}, not {wanted}")

    assert not wrong, "\n".join(wrong)


def ask(client: Client, method: str, path: str, body: str) -> str:
    """Send one request and undo what it did."""
    if method == "GET":
        return outcome(client.get(path))
    cookies = copy(client.cookies)
    with transaction.atomic():
        response = client.generic(method, path, body, "application/x-www-form-urlencoded")
        transaction.set_rollback(True)
    client.cookies = cookies  # a link that signs its holder in gave other ones
    return outcome(response)
