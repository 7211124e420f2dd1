"""The table of who may do what, written by hand: what each address asks for, and who holds it.

Two halves, so that a wrong permission on a view and a wrong role in the catalogue both show: TABLE
names the permission of each address, HOLDERS the visitors that hold each permission.
"""

from dataclasses import dataclass, replace

from apps.access.roles.catalogue import BUILT_IN_ROLES

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
RUNNERS_OF_DAGS = WORKSPACE_AUTHORS | {"deployment author", "deployment admin"}
DEPLOYMENT_AUTHORS = RUNNERS_OF_DAGS | BY_CUSTOM_ROLE
DEPLOYMENT_OPERATORS = WORKSPACE_OPERATORS | {"deployment admin"}
DEPLOYMENT_MANAGERS = WORKSPACE_OWNERS | {"deployment admin"}
AUTHOR_OF_DRAFT = ORGANIZATION_OWNER

# Tokens hold one role on one object, and nothing above it.
OWNER_TOKEN = frozenset({"organization token"})
HIGH_TOKENS = OWNER_TOKEN | {"workspace token"}

# Who holds each permission on the objects of the stage.
HOLDERS: dict[str, frozenset[str]] = {
    "organization.view": IN_ORGANIZATION | OWNER_TOKEN,
    "organization.update": ORGANIZATION_OWNER | OWNER_TOKEN,
    "organization.members.view": IN_ORGANIZATION | OWNER_TOKEN,
    "organization.members.manage": ORGANIZATION_OWNER | OWNER_TOKEN,
    "organization.teams.manage": ORGANIZATION_OWNER | OWNER_TOKEN,
    "organization.roles.manage": ORGANIZATION_OWNER | OWNER_TOKEN,
    "organization.tokens.manage": ORGANIZATION_OWNER | OWNER_TOKEN,
    "organization.usage.view": ORGANIZATION_OWNER | OWNER_TOKEN | {"organization billing-admin"},
    "organization.audit.view": ORGANIZATION_OWNER | OWNER_TOKEN,
    "organization.sso.manage": ORGANIZATION_OWNER | OWNER_TOKEN,
    "organization.clusters.view": IN_ORGANIZATION | OWNER_TOKEN,
    "organization.clusters.manage": ORGANIZATION_OWNER | OWNER_TOKEN,
    "organization.workspaces.create": ORGANIZATION_OWNER | OWNER_TOKEN,
    "organization.alerts.manage": ORGANIZATION_OWNER | OWNER_TOKEN,
    "organization.webhooks.manage": ORGANIZATION_OWNER | OWNER_TOKEN,
    "organization.status_page.manage": ORGANIZATION_OWNER | OWNER_TOKEN,
    "workspace.view": IN_WORKSPACE | HIGH_TOKENS,
    "workspace.update": WORKSPACE_OWNERS | OWNER_TOKEN,
    "workspace.delete": WORKSPACE_OWNERS | OWNER_TOKEN,
    "workspace.members.view": WORKSPACE_MEMBERS | HIGH_TOKENS,
    "workspace.members.manage": WORKSPACE_OWNERS | OWNER_TOKEN,
    "workspace.tokens.manage": WORKSPACE_OPERATORS | OWNER_TOKEN,
    "workspace.environment.view": WORKSPACE_MEMBERS | HIGH_TOKENS,
    "workspace.environment.manage": WORKSPACE_OPERATORS | OWNER_TOKEN,
    "workspace.git.manage": WORKSPACE_OPERATORS | OWNER_TOKEN,
    "workspace.alerts.manage": WORKSPACE_OPERATORS | OWNER_TOKEN,
    "workspace.webhooks.manage": WORKSPACE_OWNERS | OWNER_TOKEN,
    "workspace.deployments.create": WORKSPACE_OPERATORS | OWNER_TOKEN,
    "deployment.view": ON_DEPLOYMENT | TOKENS,
    "deployment.update": DEPLOYMENT_OPERATORS | OWNER_TOKEN,
    "deployment.delete": DEPLOYMENT_OPERATORS | OWNER_TOKEN,
    "deployment.logs.view": ON_DEPLOYMENT | TOKENS,
    "deployment.deploys.view": ON_DEPLOYMENT | TOKENS,
    "deployment.deploys.create": DEPLOYMENT_AUTHORS | OWNER_TOKEN,
    "deployment.members.view": ON_DEPLOYMENT | TOKENS,
    "deployment.members.manage": DEPLOYMENT_MANAGERS | OWNER_TOKEN,
    "deployment.tokens.manage": DEPLOYMENT_MANAGERS | OWNER_TOKEN,
    "deployment.airflow.view": ON_DEPLOYMENT | TOKENS,
    "deployment.airflow.run": RUNNERS_OF_DAGS | OWNER_TOKEN,
    "deployment.airflow.edit": DEPLOYMENT_OPERATORS | OWNER_TOKEN,
    "deployment.airflow.admin": DEPLOYMENT_MANAGERS | OWNER_TOKEN,
}


@dataclass(frozen=True)
class Row:
    """Who gets through by GET and by POST; None: the method is not allowed to anybody.

    Of those who do not get through, `seen_by` are refused (403) and all others find nothing (404).
    The gates are what the view's stamp must say of each method: a permission, or one of "open",
    "signed-in", "operator" and "token".
    """

    get_gate: str
    post_gate: str
    seen_by: frozenset[str]
    get: frozenset[str] | None
    post: frozenset[str] | None = None
    is_by_token: bool = False

    def allowed(self, method: str) -> frozenset[str] | None:
        return self.get if method == "GET" else self.post


def special(
    gate: str,
    seen_by: frozenset[str],
    get: frozenset[str] | None,
    post: frozenset[str] | None = None,
    *,
    is_by_token: bool = False,
) -> Row:
    """An address about no tenant object, or one that takes no session."""
    return Row(gate, gate, seen_by, get, post, is_by_token)


def by_token(permission: str) -> Row:
    """An address about an object that takes tokens and no session."""
    who = HOLDERS[permission] & TOKENS
    return Row(permission, permission, NOBODY, who, who, is_by_token=True)


def special_both(gate: str, who: frozenset[str]) -> Row:
    return special(gate, who, who, who)


def asks(get: str, post: str, *, only: frozenset[str] | None = None) -> Row:
    """A page about an object: its permission by GET, and by POST. `only`: to all others who hold
    the permission there is nothing all the same.
    """
    seen_by = NOBODY if only else people_with(f"{get.split('.')[0]}.view")
    return Row(get, post, seen_by, only or people_with(get), only or people_with(post))


def both(permission: str, *, only: frozenset[str] | None = None) -> Row:
    return asks(permission, permission, only=only)


def reads(permission: str) -> Row:
    return replace(both(permission), post=None)


def writes(permission: str, *, only: frozenset[str] | None = None) -> Row:
    return replace(both(permission, only=only), get=None)


def of_deployment(permission: str) -> Row:
    """A change of a Deployment that a permission of its workspace allows."""
    return replace(writes(permission), seen_by=people_with("deployment.view"))


def people_with(permission: str) -> frozenset[str]:
    return HOLDERS[permission] - TOKENS


TABLE = {
    "portal:home": special("signed-in", SIGNED_IN, SIGNED_IN),
    "portal:healthz": special("open", EVERYBODY, EVERYBODY),
    "portal:docs": special("open", EVERYBODY, EVERYBODY),
    "portal:documentation": special("open", EVERYBODY, EVERYBODY),
    "portal:setup": special_both("open", EVERYBODY),
    "portal:search": special("signed-in", SIGNED_IN, SIGNED_IN),
    "portal:styleguide": special("operator", NOBODY, OPERATOR),
    "portal:organization": reads("organization.view"),
    "portal:workspace": reads("workspace.view"),
    "portal:pin_workspace": writes("workspace.view"),
    "portal:pin_deployment": writes("deployment.view"),
    "portal:delete_workspace": both("workspace.delete"),
    "accounts:profile": special_both("signed-in", SIGNED_IN),
    "portal:support": special("signed-in", SIGNED_IN, SIGNED_IN),
    "portal:diagnostics": special("signed-in", SIGNED_IN, SIGNED_IN),
    "portal:digest": special_both("signed-in", SIGNED_IN),
    "portal:end_digest": special_both("open", EVERYBODY),
    "accounts:sessions": special("signed-in", SIGNED_IN, SIGNED_IN),
    # Of one's own only: there is none with the number asked for.
    "accounts:end_session": special("signed-in", NOBODY, None, NOBODY),
    "accounts:end_others": special("signed-in", SIGNED_IN, None, SIGNED_IN),
    "accounts:mail": special("operator", NOBODY, OPERATOR),
    "organizations:own_roles": special("signed-in", SIGNED_IN, SIGNED_IN),
    "organizations:invitation": special_both("open", EVERYBODY),
    "organizations:workspaces": reads("organization.view"),
    "organizations:new_workspace": both("organization.workspaces.create"),
    "organizations:members": reads("organization.members.view"),
    "organizations:invite_member": both("organization.members.manage"),
    "organizations:member": asks("organization.members.view", "organization.members.manage"),
    "organizations:member_account": both("organization.members.manage"),
    "organizations:remove_member": both("organization.members.manage"),
    "organizations:resend_invitation": writes("organization.members.manage"),
    "organizations:revoke_invitation": writes("organization.members.manage"),
    "organizations:who": reads("organization.members.view"),
    "organizations:workspace_who": reads("workspace.members.view"),
    "deployments:who": reads("deployment.members.view"),
    "organizations:teams": reads("organization.members.view"),
    "organizations:new_team": both("organization.teams.manage"),
    "organizations:team": asks("organization.members.view", "organization.teams.manage"),
    "organizations:team_settings": both("organization.teams.manage"),
    "organizations:remove_from_team": writes("organization.teams.manage"),
    "organizations:delete_team": both("organization.teams.manage"),
    "organizations:team_roles": asks("organization.members.view", "organization.members.manage"),
    "organizations:take_team_role": writes("organization.members.manage"),
    "organizations:workspace_teams": asks("workspace.members.view", "workspace.members.manage"),
    "organizations:take_workspace_team_role": writes("workspace.members.manage"),
    "organizations:roles": reads("organization.view"),
    "organizations:tokens": reads("organization.tokens.manage"),
    "organizations:new_token": both("organization.tokens.manage"),
    "organizations:rotate_token": both("organization.tokens.manage"),
    "organizations:revoke_token": both("organization.tokens.manage"),
    "organizations:workspace_tokens": reads("workspace.tokens.manage"),
    "organizations:new_workspace_token": both("workspace.tokens.manage"),
    "organizations:rotate_workspace_token": both("workspace.tokens.manage"),
    "organizations:revoke_workspace_token": both("workspace.tokens.manage"),
    "deployments:tokens": reads("deployment.tokens.manage"),
    "deployments:new_token": both("deployment.tokens.manage"),
    "deployments:rotate_token": both("deployment.tokens.manage"),
    "deployments:revoke_token": both("deployment.tokens.manage"),
    # By token alone: a session does not count there.
    "api:metrics": special("token", NOBODY, TOKENS, is_by_token=True),
    # The operations of the API are in test_api_matrix.
    "api:airflow": by_token("deployment.airflow.view"),
    "api:openapi": special("open", EVERYBODY, EVERYBODY),
    "api:reference": special("open", EVERYBODY, EVERYBODY),
    "registry:setup": special("operator", NOBODY, OPERATOR),
    "registry:certificates": special("operator", NOBODY, OPERATOR),
    # It takes no session: a session does not count there.
    "registry:token": special("open", NOBODY, NOBODY, NOBODY, is_by_token=True),
    # It takes PUT alone.
    "api:upload": special("open", NOBODY, None),
    "api:use_cli": special("signed-in", SIGNED_IN, SIGNED_IN),
    "api:cli_config": special("signed-in", SIGNED_IN, SIGNED_IN),
    "api:personal_tokens": special("signed-in", SIGNED_IN, SIGNED_IN),
    "api:new_personal_token": special_both("signed-in", SIGNED_IN),
    # Of one's own alone: there is none with that number.
    "api:remove_personal_token": special("signed-in", NOBODY, None, NOBODY),
    "api:end_program": special("signed-in", NOBODY, None, NOBODY),
    "idp:oidc:auth_config": special("open", EVERYBODY, EVERYBODY),
    "idp:oidc:authorization": special_both("signed-in", SIGNED_IN),
    "idp:oidc:device_authorization": special_both("signed-in", SIGNED_IN),
    "idp:oidc:token": special("open", EVERYBODY, None, EVERYBODY),
    "idp:oidc:revoke": special("open", EVERYBODY, None, EVERYBODY),
    "idp:oidc:device_code": special("open", EVERYBODY, None, EVERYBODY),
    "idp:oidc:userinfo": special("token", NOBODY, TOKENS, is_by_token=True),
    "organizations:role": reads("organization.view"),
    "organizations:new_role": both("organization.roles.manage"),
    "organizations:edit_role": both("organization.roles.manage"),
    "organizations:delete_role": both("organization.roles.manage"),
    "organizations:audit": reads("organization.audit.view"),
    "organizations:export_audit": writes("organization.audit.view"),
    "organizations:verify_audit": writes("organization.audit.view"),
    "organizations:leave": both("organization.view"),
    "organizations:settings": asks("organization.view", "organization.update"),
    "organizations:workspace_members": reads("workspace.members.view"),
    "organizations:add_member": both("workspace.members.manage"),
    "organizations:workspace_member": asks("workspace.members.view", "workspace.members.manage"),
    "organizations:remove_workspace_member": both("workspace.members.manage"),
    "organizations:resend_workspace_invitation": writes("workspace.members.manage"),
    "organizations:revoke_workspace_invitation": writes("workspace.members.manage"),
    "organizations:workspace_settings": asks("workspace.view", "workspace.update"),
    "account_login": special_both("open", EVERYBODY),
    "sso:start": special("open", EVERYBODY, EVERYBODY, EVERYBODY),
    "sso:link": special_both("open", EVERYBODY),
    # It links what waits in the visitor's own session; nothing does here.
    "sso:link_by_mail": special_both("open", EVERYBODY),
    # Of who came that way, of whom there is nobody here.
    "sso:confirm_at": special("signed-in", NOBODY, None, NOBODY),
    "sso:confirm": special("signed-in", SIGNED_IN, SIGNED_IN),
    "sso:acs": special("open", EVERYBODY, None, EVERYBODY),
    "sso:acs_finish": special("open", EVERYBODY, EVERYBODY),
    "sso:callback": special("open", EVERYBODY, EVERYBODY),
    "sso:metadata": special("open", EVERYBODY, EVERYBODY),
    "sso:bypass": special_both("open", EVERYBODY),
    # By a token of its own, which nobody here has.
    "sso:scim": special("open", NOBODY, NOBODY, NOBODY, is_by_token=True),
    "sso:provisioning": both("organization.sso.manage"),
    "sso:revoke_token": both("organization.sso.manage"),
    "sso:overview": both("organization.sso.manage"),
    "sso:make_bypass_link": writes("organization.sso.manage"),
    "sso:check_domain": writes("organization.sso.manage"),
    "sso:change_domain": both("organization.sso.manage"),
    "sso:new_connection": both("organization.sso.manage"),
    "sso:connection": reads("organization.sso.manage"),
    "sso:approve_connection": writes("organization.sso.manage"),
    "sso:people": reads("organization.sso.manage"),
    "sso:unlink": writes("organization.sso.manage"),
    "sso:groups": both("organization.sso.manage"),
    "sso:unmap": writes("organization.sso.manage"),
    "sso:edit_connection": both("organization.sso.manage"),
    "sso:test_connection": writes("organization.sso.manage"),
    "sso:switch_connection": writes("organization.sso.manage"),
    "sso:delete_connection": both("organization.sso.manage"),
    "deployments:portal_settings": special_both("operator", OPERATOR),
    "deployments:organization_settings": asks(
        "organization.clusters.view", "organization.clusters.manage"
    ),
    "deployments:cluster_settings": asks(
        "organization.clusters.view", "organization.clusters.manage"
    ),
    "deployments:workspace_settings": asks("workspace.view", "workspace.update"),
    "deployments:settings": reads("deployment.view"),
    "clusters:list": reads("organization.clusters.view"),
    "clusters:register": both("organization.clusters.manage"),
    "clusters:find": both("organization.clusters.manage"),
    "clusters:reconnect": both("organization.clusters.manage"),
    "clusters:manifest": reads("organization.clusters.view"),
    "clusters:cluster": reads("organization.clusters.view"),
    "clusters:check": writes("organization.clusters.manage"),
    "clusters:storage": asks("organization.clusters.view", "organization.clusters.manage"),
    "clusters:settings": both("organization.clusters.manage"),
    "clusters:workspaces": asks("organization.clusters.view", "organization.clusters.manage"),
    "clusters:credential": both("organization.clusters.manage"),
    "clusters:remove": both("organization.clusters.manage"),
    "deployments:list": reads("workspace.view"),
    "deployments:new": both("workspace.deployments.create"),
    # A draft is its author's: to everybody else it does not exist.
    "deployments:review": both("workspace.view", only=AUTHOR_OF_DRAFT),
    "deployments:edit_draft": both("workspace.view", only=AUTHOR_OF_DRAFT),
    "deployments:rebase": writes("workspace.view", only=AUTHOR_OF_DRAFT),
    "deployments:discard": writes("workspace.view", only=AUTHOR_OF_DRAFT),
    "deployments:overview": reads("deployment.view"),
    "environment:workspace": reads("workspace.environment.view"),
    "environment:deployment": reads("deployment.view"),
    "environment:workspace_import": both("workspace.environment.manage"),
    "environment:import": both("deployment.update"),
    "environment:workspace_import_preview": both("workspace.environment.manage"),
    "environment:import_preview": both("deployment.update"),
    "environment:workspace_export": reads("workspace.environment.view"),
    "environment:export": reads("deployment.view"),
    "environment:workspace_types": reads("workspace.environment.manage"),
    "environment:types": reads("deployment.update"),
    "environment:workspace_new_object": both("workspace.environment.manage"),
    "environment:new_object": both("deployment.update"),
    "environment:workspace_object": both("workspace.environment.manage"),
    "environment:object": both("deployment.update"),
    "environment:workspace_delete_object": both("workspace.environment.manage"),
    "environment:delete_object": both("deployment.update"),
    "environment:test": writes("deployment.deploys.create"),
    "environment:override": both("workspace.environment.manage"),
    "deployments:configure": both("deployment.update"),
    "deployments:revisions": reads("deployment.view"),
    "deployments:revision": reads("deployment.view"),
    "deployments:restore": writes("deployment.update"),
    "deployments:operations": reads("deployment.view"),
    "deployments:operation": reads("deployment.view"),
    "deployments:restart": both("deployment.update"),
    "bulk_actions:choose": reads("organization.view"),
    "bulk_actions:new": both("organization.view"),
    "bulk_actions:workspace_choose": reads("workspace.view"),
    "bulk_actions:workspace_new": both("workspace.view"),
    # One that is not begun is its author's.
    "bulk_actions:action": both("organization.view", only=AUTHOR_OF_DRAFT),
    "bulk_actions:workspace_action": both("workspace.view", only=AUTHOR_OF_DRAFT),
    "moving:rename": both("deployment.update"),
    "moving:copy": both("deployment.update"),
    "moving:transfer": both("deployment.delete"),
    "deployments:try_again": writes("deployment.update"),
    "deployments:put_back": writes("deployment.update"),
    "deployments:access": asks("deployment.members.view", "deployment.members.manage"),
    "deployments:take_role": writes("deployment.members.manage"),
    "deployments:delete": both("deployment.delete"),
    **{
        f"package_indexes:{prefix}{page}": kind(f"{scope}.update")
        for prefix, scope in (
            ("", "organization"),
            ("workspace_", "workspace"),
            ("deployment_", "deployment"),
        )
        for page, kind in (
            ("list", reads),
            ("new", both),
            ("index", both),
            ("test", writes),
            ("remove", writes),
        )
    },
    "upgrades:list": asks("deployment.view", "deployment.update"),
    "upgrades:upgrade": asks("deployment.view", "deployment.update"),
    "upgrades:cancel": writes("deployment.update"),
    "releases:runtimes": reads("organization.view"),
    "releases:report": reads("organization.view"),
    "releases:check": special("operator", NOBODY, None, OPERATOR),
    "releases:try_again": special("operator", NOBODY, None, OPERATOR),
    "hibernation:overview": reads("deployment.view"),
    "hibernation:hibernate": both("deployment.update"),
    "hibernation:wake": both("deployment.update"),
    "hibernation:follow": writes("deployment.update"),
    "hibernation:limits": both("deployment.update"),
    "hibernation:new_schedule": both("deployment.update"),
    "hibernation:schedule": both("deployment.update"),
    "hibernation:remove_schedule": writes("deployment.update"),
    "object_stores:list": reads("organization.update"),
    "object_stores:store": both("organization.update"),
    "object_stores:test": writes("organization.update"),
    "object_stores:remove": writes("organization.update"),
    "airflow_imports:list": reads("workspace.deployments.create"),
    "airflow_imports:new": both("workspace.deployments.create"),
    "airflow_imports:detail": reads("workspace.deployments.create"),
    "airflow_imports:create": writes("workspace.deployments.create"),
    # Also `deployment.airflow.run` on the Deployment, which its own test asks for.
    "airflow_imports:unpause": writes("workspace.deployments.create"),
    "airflow_imports:remove": writes("workspace.deployments.create"),
    "backups:list": asks("deployment.view", "deployment.update"),
    "backups:detail": reads("deployment.view"),
    "backups:schedule": both("deployment.update"),
    "backups:remove_schedule": writes("deployment.update"),
    "backups:restore": writes("deployment.update"),
    # Also `deployment.update`, which its own test asks for.
    "backups:restore_new": of_deployment("workspace.deployments.create"),
    "backups:remove": writes("deployment.delete"),
    "backups:then_delete": both("deployment.delete"),
    "deploys:list": asks("deployment.deploys.view", "deployment.deploys.create"),
    "deploys:detail": reads("deployment.deploys.view"),
    "deploys:download": reads("deployment.deploys.view"),
    "deploys:preview": asks("deployment.deploys.view", "deployment.deploys.create"),
    "deploys:roll_back": writes("deployment.deploys.create"),
    "deploys:cancel": writes("deployment.deploys.create"),
    "deploys:compare": reads("deployment.deploys.view"),
    "deploys:promote": writes("deployment.deploys.create"),
    "deploys:promotion": asks("deployment.deploys.view", "deployment.deploys.create"),
    "deploys:approval": writes("deployment.update"),
    "deploys:approval_default": writes("workspace.update"),
    "deploys:git_source": asks("deployment.deploys.view", "workspace.git.manage"),
    "deploys:git_look": writes("deployment.deploys.create"),
    "deploys:git_disconnect": of_deployment("workspace.git.manage"),
    "deploys:enforcement": writes("deployment.update"),
    "deploys:git_repositories": reads("workspace.git.manage"),
    "deploys:new_git_repository": both("workspace.git.manage"),
    "deploys:enforcement_default": writes("workspace.update"),
    "deploys:git_repository": reads("workspace.git.manage"),
    "deploys:edit_git_repository": both("workspace.git.manage"),
    "deploys:test_git_repository": writes("workspace.git.manage"),
    "deploys:look_at_git_repository": writes("workspace.git.manage"),
    "deploys:make_git_webhook": writes("workspace.git.manage"),
    "deploys:branch_rule": both("workspace.git.manage"),
    "deploys:remove_branch_rule": writes("workspace.git.manage"),
    "deploys:git_state_token": writes("workspace.git.manage"),
    "deploys:trust_git_host": writes("workspace.git.manage"),
    "deploys:remove_git_repository": writes("workspace.git.manage"),
    # The signature of a message is the proof; without a secret there is no such webhook.
    "deploys:git_webhook": special("open", NOBODY, None, NOBODY, is_by_token=True),
    "airflow_access:open_airflow": writes("deployment.airflow.view"),
    "airflow_access:airflow_entry": reads("deployment.airflow.view"),
    # Of the edge alone, by a secret of its own.
    "airflow_access:airflow_role": special("open", NOBODY, None, NOBODY, is_by_token=True),
    "dags:organization": reads("organization.view"),
    "dags:workspace": reads("workspace.view"),
    "dags:deployment": reads("deployment.airflow.view"),
    "dags:dag": reads("deployment.airflow.view"),
    "dags:code": reads("deployment.airflow.view"),
    "dags:grid": reads("deployment.airflow.view"),
    "dags:graph": reads("deployment.airflow.view"),
    "dags:trigger": both("deployment.airflow.run"),
    "dags:pause": writes("deployment.airflow.run"),
    "dags:run": reads("deployment.airflow.view"),
    "dags:act_on_run": both("deployment.airflow.run"),
    "dags:task": reads("deployment.airflow.view"),
    "dags:log_tail": reads("deployment.airflow.view"),
    "dags:log_download": reads("deployment.airflow.view"),
    "dags:act_on_task": both("deployment.airflow.run"),
    "observability:remote_write": both("organization.update"),
    "observability:remove_receiver": writes("organization.update"),
    "observability:analytics": reads("deployment.view"),
    "observability:analytics_points": reads("deployment.view"),
    "observability:analytics_csv": reads("deployment.view"),
    "observability:scaling": reads("deployment.view"),
    "observability:scaling_points": reads("deployment.view"),
    "observability:replay": reads("deployment.view"),
    "observability:replay_points": reads("deployment.view"),
    "observability:logs": reads("deployment.logs.view"),
    "observability:log_tail": reads("deployment.logs.view"),
    "observability:stream": reads("deployment.view"),
    "observability:log_stream": reads("deployment.logs.view"),
    "observability:log_download": reads("deployment.logs.view"),
    "observability:why": reads("deployment.airflow.view"),
    "observability:incidents": reads("deployment.view"),
    "observability:workspace_incidents": reads("workspace.view"),
    "observability:organization_incidents": reads("organization.view"),
    "observability:incident": reads("deployment.view"),
    "status_pages:page": special("open", NOBODY, EVERYBODY),
    "status_pages:file": special("open", NOBODY, EVERYBODY),
    "status_pages:subscribe": special("open", NOBODY, None, EVERYBODY),
    "status_pages:subscribe_receiver": special_both("open", EVERYBODY),
    "status_pages:confirm": special_both("open", EVERYBODY),
    "status_pages:subscription": special_both("open", EVERYBODY),
    "status_pages:overview": reads("organization.view"),
    "status_pages:preview": reads("organization.status_page.manage"),
    "status_pages:switch": writes("organization.status_page.manage"),
    "status_pages:settings": both("organization.status_page.manage"),
    "status_pages:components": reads("organization.status_page.manage"),
    "status_pages:new_component": both("organization.status_page.manage"),
    "status_pages:component": both("organization.status_page.manage"),
    "status_pages:move_component": writes("organization.status_page.manage"),
    "status_pages:delete_component": both("organization.status_page.manage"),
    "status_pages:new_report": both("organization.status_page.manage"),
    "status_pages:report": asks("organization.view", "organization.status_page.manage"),
    "status_pages:postmortem": writes("organization.status_page.manage"),
    "status_pages:discard": writes("organization.status_page.manage"),
    "status_pages:subscribers": reads("organization.status_page.manage"),
    "status_pages:remove_subscriber": writes("organization.status_page.manage"),
    "alerts:overview": reads("organization.view"),
    "alerts:workspace_overview": reads("workspace.view"),
    "alerts:alert": reads("deployment.airflow.view"),
    "alerts:acknowledge": writes("deployment.airflow.run"),
    "alerts:new_rule": reads("organization.alerts.manage"),
    "alerts:workspace_new_rule": reads("workspace.alerts.manage"),
    "alerts:new_rule_of": both("organization.alerts.manage"),
    "alerts:workspace_new_rule_of": both("workspace.alerts.manage"),
    "alerts:rule": both("organization.alerts.manage"),
    "alerts:workspace_rule": both("workspace.alerts.manage"),
    "alerts:switch_rule": writes("organization.alerts.manage"),
    "alerts:workspace_switch_rule": writes("workspace.alerts.manage"),
    "alerts:delete_rule": both("organization.alerts.manage"),
    "alerts:workspace_delete_rule": both("workspace.alerts.manage"),
    "alerts:channels": reads("organization.alerts.manage"),
    "alerts:workspace_channels": reads("workspace.alerts.manage"),
    "alerts:new_channel": both("organization.alerts.manage"),
    "alerts:workspace_new_channel": both("workspace.alerts.manage"),
    "alerts:channel": both("organization.alerts.manage"),
    "alerts:workspace_channel": both("workspace.alerts.manage"),
    "alerts:test_channel": writes("organization.alerts.manage"),
    "alerts:workspace_test_channel": writes("workspace.alerts.manage"),
    "alerts:delete_channel": both("organization.alerts.manage"),
    "alerts:workspace_delete_channel": both("workspace.alerts.manage"),
    "alerts:deliveries": reads("organization.alerts.manage"),
    "alerts:workspace_deliveries": reads("workspace.alerts.manage"),
    "alerts:resend": writes("organization.alerts.manage"),
    "alerts:workspace_resend": writes("workspace.alerts.manage"),
    "alerts:silences": both("organization.alerts.manage"),
    "alerts:workspace_silences": both("workspace.alerts.manage"),
    "alerts:end_silence": writes("organization.alerts.manage"),
    "alerts:workspace_end_silence": writes("workspace.alerts.manage"),
    "objectives:organization": reads("organization.view"),
    "objectives:organization_csv": reads("organization.view"),
    "objectives:list": reads("workspace.view"),
    "objectives:csv": reads("workspace.view"),
    "objectives:new": both("workspace.alerts.manage"),
    "objectives:objective": both("workspace.alerts.manage"),
    "objectives:remove": writes("workspace.alerts.manage"),
    "usage:prices": special("operator", NOBODY, OPERATOR, OPERATOR),
    "usage:remove_price": special("operator", NOBODY, None, OPERATOR),
    "usage:usage": reads("organization.usage.view"),
    "usage:csv": reads("organization.usage.view"),
    "webhooks:list": reads("organization.webhooks.manage"),
    "webhooks:workspace_list": reads("workspace.webhooks.manage"),
    "webhooks:new": both("organization.webhooks.manage"),
    "webhooks:workspace_new": both("workspace.webhooks.manage"),
    "webhooks:webhook": both("organization.webhooks.manage"),
    "webhooks:workspace_webhook": both("workspace.webhooks.manage"),
    "webhooks:test": writes("organization.webhooks.manage"),
    "webhooks:workspace_test": writes("workspace.webhooks.manage"),
    "webhooks:rotate": writes("organization.webhooks.manage"),
    "webhooks:workspace_rotate": writes("workspace.webhooks.manage"),
    "webhooks:end_secret": writes("organization.webhooks.manage"),
    "webhooks:workspace_end_secret": writes("workspace.webhooks.manage"),
    "webhooks:delete": both("organization.webhooks.manage"),
    "webhooks:workspace_delete": both("workspace.webhooks.manage"),
    "webhooks:resend": writes("organization.webhooks.manage"),
    "webhooks:workspace_resend": writes("workspace.webhooks.manage"),
    "observability:respond": writes("deployment.airflow.run"),
}
# Closed for everybody: test_view_guard asks them one by one.
CLOSED = {
    "account_signup",
    "account_email",
    "account_email_verification_sent",
    "account_confirm_email",
}
