"""One of everything that an address can name, and a visitor of each kind.

Visitors: nobody signed in, a disabled person, an outsider (owner of another organization), the
operator of the installation, one person per built-in role who holds just that (and what entry to it
needs), one with a custom role, one with a role through a Team, and tokens.
"""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import AnonymousUser
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.access.grants.services import grant, grant_with_entry
from apps.access.models import Role
from apps.access.roles.catalogue import BUILT_IN_ROLES
from apps.accounts.models import User
from apps.accounts.queries import digest_of
from apps.accounts.services import issue_sign_in_link
from apps.airflow_imports.models import AirflowImport
from apps.alerts.deliveries.models import Delivery
from apps.alerts.evaluation.models import Alert
from apps.alerts.places import fields_of
from apps.alerts.silences.models import Silence
from apps.backups.models import Backup
from apps.bulk_actions.models import BulkAction
from apps.clusters.models import Cluster
from apps.dataplane.hibernation.plans import HibernationPlan, Schedule, plan_to_json
from apps.deployments.models import Deployment, Draft, Operation
from apps.deploys.git.services import connect_repository
from apps.deploys.models import Deploy, Preview, Promotion
from apps.object_stores.models import ObjectStore
from apps.object_stores.services import StoreData, save_store
from apps.organizations.invitations.services import invite
from apps.organizations.models import Invitation, Organization, Workspace
from apps.organizations.roles.services import create_role
from apps.organizations.teams.services import add_to_team, assign_team_role, create_team
from apps.organizations.tokens.services import create_token
from apps.package_indexes.services import IndexData, add_index
from apps.releases.models import Release
from apps.sso.connections.services import make_bypass_link
from apps.sso.groups.services import map_group
from apps.sso.models import Domain, ScimToken, SSOConnection
from apps.sso.scim.tokens import create_scim_token
from apps.status_pages.copies.writing import write_copy
from apps.status_pages.subscriptions.links import confirm_url, subscription_url
from apps.upgrades.models import Upgrade
from apps.usage.models import Price
from apps.webhooks.deliveries.models import WebhookDelivery
from tests.alerts.examples import make_channel, make_rule
from tests.alerts.test_payloads import MESSAGE
from tests.clusters.material import registered
from tests.conftest import make_user, new_deployment, role, signed_in
from tests.environment.examples import make_object
from tests.objectives.examples import make_objective
from tests.observability.incidents import make_incident
from tests.sso.identity_provider import make_signer
from tests.status_pages.examples import make_component, make_page, make_report, make_subscriber
from tests.webhooks.examples import make_webhook


@dataclass
class Stage:
    """`places` are the objects that the visitors' roles are about, by scope; `siblings` lie beside
    them in the same organization, and what is `elsewhere` belongs to the outsider.
    """

    visitors: dict[str, Client]
    users: dict[str, User | AnonymousUser]
    places: dict[str, Any]
    siblings: dict[str, Any]
    elsewhere: dict[str, Any]
    arguments: dict[str, Any]
    tokens: dict[str, str]
    bodies: dict[str, str]
    token_ids: dict[str, int]
    of_workspace: dict[str, Any]
    package_indexes: dict[str, int]

    def path(self, name: str, route: str) -> str:
        wanted = {key: value for key, value in self.arguments.items() if f":{key}>" in route}
        if "<str:token>" in route:
            wanted["token"] = self.tokens[name]
        if "<slug:slug>" in route:
            wanted["slug"] = "nordhavn" if route.startswith("o/") else "warehouse"
        if ":token_id>" in route:
            wanted["token_id"] = self.token_ids[name]
        if name == "api:airflow":
            wanted["path"] = "pools"
        if name == "sso:callback":
            wanted["connection_key"] = self.arguments["oidc_key"]
        if name == "portal:documentation":
            wanted["page_name"] = "install"
        if route.startswith("w/") and ("/alerts/" in route or "/webhooks/" in route):
            wanted |= {key: self.of_workspace[key] for key in wanted if key in self.of_workspace}
        if ":index_id>" in route:
            wanted["index_id"] = self.package_indexes[route[0]]
        if name.endswith("_workspace_invitation"):
            wanted["invitation_id"] = self.arguments["workspace_invitation_id"]
        wanted |= self._in_environment(wanted, route) | self._of_many(wanted, route)
        return reverse(name, kwargs=wanted)

    def _of_many(self, wanted: dict[str, Any], route: str) -> dict[str, Any]:
        if "/many/" not in route:
            return {}
        own = self.of_workspace if route.startswith("w/") else self.arguments
        found = {"action_id": own["action_id"], "kind": "restart"}
        return {key: value for key, value in found.items() if key in wanted}

    def _in_environment(self, wanted: dict[str, Any], route: str) -> dict[str, Any]:
        if "/environment/" not in route:
            return {}
        own = {"object_id": self.of_workspace["object_id"]} if route.startswith("w/") else {}
        return {key: value for key, value in {**own, "kind": "variable"}.items() if key in wanted}


def _draft_of_many(owner: User, place: Any) -> BulkAction:
    is_workspace = isinstance(place, Workspace)
    return BulkAction.objects.create(
        organization=place.organization if is_workspace else place,
        workspace=place if is_workspace else None,
        kind="restart",
        actor=owner,
    )


def build_stage() -> Stage:
    organization = Organization.objects.create(name="Nordhavn Logistics", slug="nordhavn")
    workspace = Workspace.objects.create(
        organization=organization, name="Warehouse", slug="warehouse"
    )
    cluster = Cluster.objects.create(
        organization=organization, kind=Cluster.Kind.LOCAL, name="This machine"
    )
    deployment = new_deployment(
        workspace=workspace, cluster=cluster, name="etl-prod", ref="etl-prod-7f3c"
    )
    nights = Schedule(hibernate_at="0 19 * * *", wake_at="0 7 * * *")
    deployment.hibernation = plan_to_json(HibernationPlan(schedules=(nights,)))
    deployment.save(update_fields=["hibernation"])
    places = {"organization": organization, "workspace": workspace, "deployment": deployment}
    people = {"operator": make_user("Operator", is_operator=True)}
    people |= {f"{one.scope} {one.key}": _holder(one, places) for one in BUILT_IN_ROLES}
    owner = people["organization owner"]
    people |= _by_other_ways(owner, workspace, deployment)
    people["outsider"], elsewhere = _elsewhere()
    people["disabled"] = disabled = make_user("Disabled")
    grant(actor=None, user=disabled, role=role("organization", "owner"), on=organization)
    visitors = {name: signed_in(person) for name, person in people.items()}
    visitors["anonymous"] = Client()
    things = _things(people, organization, workspace, deployment)
    siblings = _siblings(organization, cluster)
    made = _tokens(owner, organization, workspace, deployment)
    users = people | {name: token.user for name, (token, _) in made.items()}
    # It holds what it held: its secret is refused instead.
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
    return Stage(
        visitors=visitors,
        users={"anonymous": AnonymousUser(), **users},
        places=places,
        siblings=siblings,
        elsewhere=elsewhere,
        token_ids=_token_ids(made),
        **things,
    )


def _holder(built_in: Any, places: dict[str, Any]) -> User:
    user = make_user(f"{built_in.scope}-{built_in.key}")
    held = role(built_in.scope, built_in.key)
    grant_with_entry(actor=None, user=user, role=held, on=places[built_in.scope])
    return user


def _elsewhere() -> tuple[User, dict[str, Any]]:
    """Make another organization with its owner, and one of everything that roles are about."""
    owner = make_user("Charlie")
    organization = Organization.objects.create(name="Elsewhere", slug="elsewhere")
    workspace = Workspace.objects.create(organization=organization, name="Other", slug="other")
    grant(actor=None, user=owner, role=role("organization", "owner"), on=organization)
    cluster = Cluster.objects.create(
        organization=organization, kind=Cluster.Kind.LOCAL, name="That machine"
    )
    SSOConnection.objects.create(
        organization=organization,
        key="key-elsewhere",
        protocol=SSOConnection.Protocol.SAML,
        name="Elsewhere",
        config={},
    )
    Domain.objects.create(organization=organization, name="elsewhere.test", token="t")
    deployment = new_deployment(workspace=workspace, cluster=cluster)
    make_incident(deployment)
    return owner, {
        "organization": organization,
        "workspace": workspace,
        "deployment": deployment,
    }


def _siblings(organization: Organization, cluster: Cluster) -> dict[str, Any]:
    workspace = Workspace.objects.create(
        organization=organization, name="Back office", slug="back-office"
    )
    deployment: Deployment = new_deployment(workspace=workspace, cluster=cluster)
    make_incident(deployment)
    return {"workspace": workspace, "deployment": deployment}


def _token_ids(made: dict[str, Any]) -> dict[str, int]:
    names = {
        "organizations:{}_token": "organization",
        "organizations:{}_workspace_token": "workspace",
        "deployments:{}_token": "deployment",
    }
    return {"api:remove_personal_token": 0} | {
        name.format(verb): made[f"{scope} token"][0].pk
        for name, scope in names.items()
        for verb in ("rotate", "revoke")
    }


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
    invite(actor=owner, organization=organization, email="guest@example.org")
    # Tests have a mail server, so no one is shown the link.
    Invitation.objects.update(token_digest=digest_of("link-of-the-guest"))
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
    Upgrade.objects.create(
        deployment=deployment, number=1, source="3.2.2-1", target="3.3.2-1", base=1
    )
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
    Preview.objects.create(
        deployment=deployment, number=1, file_name="x.zip", digest=digest, size_bytes=2
    )
    Promotion.objects.create(
        deployment=deployment, number=1, source_name="dev", expires_at=timezone.now()
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
            # Of no program that is signed in.
            "login_id": "0" * 32,
            "organization_slug": "nordhavn",
            "mapping_id": map_group(actor=owner, connection=saml, group="data", team=mirrored).pk,
            "link_id": SocialAccount.objects.create(
                provider=saml.key, uid="1", user=make_user("Linked")
            ).pk,
            "path": "Users",
            "scim_token_id": ScimToken.objects.get().pk,
            "cluster_id": registered(organization).pk,
            "backup_id": Backup.objects.create(deployment=deployment, reason="manual").pk,
            "version": Release.objects.create(
                airflow_version="3.9.0", published_at=timezone.now()
            ).airflow_version,
            "cloud": "google",
            "incident_id": make_incident(deployment).pk,
            "object_id": make_object(deployment, owner).pk,
            "objective_id": make_objective(deployment).pk,
            "price_id": Price.objects.create(
                valid_from=timezone.now().date(), amount=1, currency="EUR"
            ).pk,
            **_alerts(owner, organization, deployment),
            **_webhooks(owner, organization),
            "action_id": _draft_of_many(owner, organization).pk,
            "number": 1,
            "dag_id": "orders_daily",
            "run_id": "manual__1",
            "task_id": "load",
            "verb": "clear",
            "repository_id": connect_repository(
                actor=owner, workspace=workspace, url="https://127.0.0.1:9/dags.git"
            ).pk,
            "key": "no-such-repository",
            "digest_key": uuid.UUID(int=7),
            **_status_page(organization, deployment),
            "use": _bucket(owner, organization),
            "import_id": _import(owner, workspace),
        },
        "package_indexes": _package_indexes(owner, organization, workspace, deployment),
        "of_workspace": _alerts(owner, workspace, deployment)
        | _webhooks(owner, workspace)
        | {
            "object_id": make_object(workspace, owner).pk,
            "action_id": _draft_of_many(owner, workspace).pk,
        },
        "bodies": {"deployments:take_role": f"person={deployment.grants.all()[0].pk}"},
        "tokens": {
            "portal:setup": issue_sign_in_link(user=people["workspace member"]),
            "organizations:invitation": "link-of-the-guest",
            "sso:link_by_mail": "no-confirmation-was-mailed",
            **_status_links(organization),
            "sso:bypass": make_bypass_link(actor=owner, organization=organization),
        },
    }


def _status_page(organization, deployment) -> dict[str, Any]:
    """Make a public page with a copy, and what its pages name."""
    page = make_page(organization)
    component = make_component(page, deployment)
    report = make_report(page, component)
    write_copy(page=page, now=timezone.now())
    return {
        "address": page.address,
        "name": "history.html",
        "component_id": component.pk,
        "report_id": report.pk,
        "report_kind": "incident",
        "subscriber_id": make_subscriber(page).pk,
    }


def _status_links(organization) -> dict[str, str]:
    subscriber = make_subscriber(organization.status_page, "link@example.org")
    return {
        "status_pages:confirm": confirm_url(subscriber).split("/")[-2],
        "status_pages:subscription": subscription_url(subscriber).split("/")[-2],
    }


def _bucket(owner, organization) -> str:
    """Name a bucket that is nowhere."""
    data = StoreData(
        endpoint="https://127.0.0.1:9", bucket="lake", access_key_id="AKIA1", secret="s"
    )
    use = ObjectStore.Use.BACKUPS
    return save_store(actor=owner, organization=organization, use=use, data=data).use


def _import(owner, workspace) -> uuid.UUID:
    return AirflowImport.objects.create(
        workspace=workspace,
        name="airflow at 127.0.0.1",
        host="127.0.0.1",
        state="failed",
        failure="Nothing accepts connections at 127.0.0.1:9.",
        created_by=owner,
    ).pk


def _alerts(owner, place, deployment) -> dict[str, Any]:
    """Make what the pages of alerts of a place name. The channel sends mail, which stays here."""
    channel = make_channel(place, owner)
    rule = make_rule(place, channels=[channel])
    now = timezone.now()
    alert = Alert.objects.create(
        rule=rule, deployment=deployment, happened_at=now, opened_at=now, last_at=now
    )
    delivery = Delivery.objects.create(
        channel=channel,
        alert=alert,
        event="opened",
        message=MESSAGE.as_json(),
        state="failed",
        give_up_at=now,
    )
    silence = Silence.objects.create(
        **fields_of(place), begins_at=now, ends_at=now + timedelta(hours=1)
    )
    return {
        "channel_id": channel.pk,
        "rule_id": rule.pk,
        "alert_id": alert.pk,
        "delivery_id": delivery.pk,
        "silence_id": silence.pk,
        "kind": "slack",
        "rule_kind": "dag-failed",
    }


def _package_indexes(owner, *places) -> dict[str, int]:
    """Name an index that answers nothing on each, by the first letter of their addresses."""
    data = IndexData(name="acme", url="https://127.0.0.1:9/simple", username="u", password="p")
    return {
        type(place).access_scope[0]: add_index(actor=owner, place=place, data=data).pk
        for place in places
    }


def _webhooks(owner, place) -> dict[str, Any]:
    """Make a webhook that leads nowhere, with delivery 1."""
    webhook = make_webhook(place, owner, url="https://127.0.0.1:9/x")
    WebhookDelivery.objects.create(
        webhook=webhook,
        sequence=1,
        event="evt_1",
        type="deploy.failed",
        body={},
        state="failed",
        give_up_at=timezone.now(),
    )
    return {"webhook_id": webhook.pk}


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
