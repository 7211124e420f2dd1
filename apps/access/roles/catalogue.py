"""Every permission there is, and the built-in roles made of them.

A role of a scope may hold permissions of that scope and of those below it: an organization's owner
holds all, so walking up from a Deployment to its organization finds every permission a person has.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Scope = Literal["organization", "workspace", "deployment"]
SCOPES: tuple[Scope, ...] = ("organization", "workspace", "deployment")

# As messages write them: a Deployment always has its capital letter.
SCOPE_WORDS: dict[str, str] = {
    "organization": "organization",
    "workspace": "workspace",
    "deployment": "Deployment",
}

PERMISSIONS: dict[str, str] = {
    "organization.view": "View the organization",
    "organization.update": "Edit organization settings",
    "organization.members.view": "View members and Teams",
    "organization.members.manage": "Invite and remove members, assign organization roles",
    "organization.teams.manage": "Create, edit and delete Teams, manage their members",
    "organization.roles.manage": "Create, edit and delete custom roles",
    "organization.tokens.manage": "Create, rotate and revoke organization API tokens",
    "organization.usage.view": "View usage",
    "organization.audit.view": "View and export the audit log",
    "organization.sso.manage": "Configure domains, single sign-on and provisioning",
    "organization.clusters.view": "View clusters",
    "organization.clusters.manage": "Register, edit and remove clusters",
    "organization.workspaces.create": "Create workspaces",
    "organization.alerts.manage": "Manage alert rules, channels and silences of the organization",
    "organization.webhooks.manage": "Manage webhooks, which are sent events of the organization",
    "organization.status_page.manage": "Set up the status page, post to it, see its subscribers",
    "workspace.view": "View the workspace",
    "workspace.update": "Edit workspace settings",
    "workspace.delete": "Delete the workspace",
    "workspace.members.view": "View workspace members",
    "workspace.members.manage": "Add and remove workspace members, assign workspace roles",
    "workspace.tokens.manage": "Create, rotate and revoke workspace API tokens",
    "workspace.environment.view": "View connections and variables of the workspace, never secrets",
    "workspace.environment.manage": "Create, edit, link and delete connections and variables",
    "workspace.git.manage": "Connect Git repositories and choose what Deployments take from them",
    "workspace.deployments.create": "Create Deployments",
    "workspace.alerts.manage": "Manage alert rules, channels and silences of the workspace",
    "workspace.webhooks.manage": "Manage webhooks, which are sent events of the workspace",
    "deployment.view": "View the Deployment, its health and configuration",
    "deployment.update": "Edit configuration, worker queues and environment variables",
    "deployment.delete": "Delete the Deployment",
    "deployment.logs.view": "View component logs",
    "deployment.deploys.view": "View deploys",
    "deployment.deploys.create": "Deploy code and roll back",
    "deployment.members.view": "View who has access to the Deployment",
    "deployment.members.manage": "Assign and remove roles on the Deployment",
    "deployment.tokens.manage": "Create, rotate and revoke API tokens of the Deployment",
    "deployment.airflow.view": "View Airflow",
    "deployment.airflow.run": "Trigger, pause and clear DAGs in Airflow",
    "deployment.airflow.edit": "Edit connections, variables and pools in Airflow",
    "deployment.airflow.admin": "Administer Airflow",
}

# What a permission is of no use without. Where nothing is named, it is to see the object itself.
_NEEDS: dict[str, str] = {
    "organization.members.manage": "organization.members.view",
    "organization.teams.manage": "organization.members.view",
    "organization.clusters.manage": "organization.clusters.view",
    # They are sent what the audit log holds.
    "organization.webhooks.manage": "organization.audit.view",
    "workspace.webhooks.manage": "workspace.members.view",
    "workspace.view": "organization.view",
    "workspace.members.manage": "workspace.members.view",
    "deployment.view": "workspace.view",
    "workspace.environment.manage": "workspace.environment.view",
    "deployment.deploys.create": "deployment.deploys.view",
    "deployment.members.manage": "deployment.members.view",
    "deployment.airflow.run": "deployment.airflow.view",
    "deployment.airflow.edit": "deployment.airflow.view",
    "deployment.airflow.admin": "deployment.airflow.view",
}
PREREQUISITES: dict[str, str] = {
    one: _NEEDS.get(one, f"{one.split('.')[0]}.view")
    for one in PERMISSIONS
    if one != "organization.view"
}

# How pages arrange the permissions: by what they are about, in the order of PERMISSIONS.
_GROUPS: dict[str, str] = {
    "organization.": "Organization",
    "organization.members": "Members and roles",
    "organization.teams": "Members and roles",
    "organization.roles": "Members and roles",
    "organization.tokens": "Organization API tokens",
    "organization.usage": "Usage and audit",
    "organization.audit": "Usage and audit",
    "organization.clusters": "Clusters",
    "organization.workspaces": "Organization",
    "organization.alerts": "Alerts",
    "organization.webhooks": "Webhooks",
    "organization.status_page": "Status page",
    "workspace.": "Workspace",
    "workspace.members": "Workspace members",
    "workspace.tokens": "Workspace API tokens",
    "workspace.environment": "Connections and variables",
    "workspace.git": "Workspace",
    "workspace.deployments": "Workspace",
    "workspace.alerts": "Alerts",
    "workspace.webhooks": "Webhooks",
    "deployment.": "Deployment",
    "deployment.deploys": "Code",
    "deployment.members": "Deployment access",
    "deployment.tokens": "Deployment API tokens",
    "deployment.airflow": "Airflow",
}


def grouped(permissions: Iterable[str]) -> dict[str, list[str]]:
    """Arrange permissions under titles, in the order of the catalogue."""
    wanted, groups = frozenset(permissions), dict[str, list[str]]()
    for permission in PERMISSIONS:
        if permission in wanted:
            title = max((one for one in _GROUPS if permission.startswith(one)), key=len)
            groups.setdefault(_GROUPS[title], []).append(permission)
    return groups


def missing_prerequisites(permissions: Iterable[str], scope: Scope) -> list[tuple[str, str]]:
    """Return each permission whose prerequisite is not among them, with that prerequisite.

    Only what a role of the scope can hold is asked for; what lies above is entered by other roles.
    """
    chosen, possible = frozenset(permissions), permissions_of_scope(scope)
    return [
        (one, needed)
        for one, needed in PREREQUISITES.items()
        if one in chosen and needed in possible and needed not in chosen
    ]


def prerequisites_in_words(missing: list[tuple[str, str]]) -> str:
    """Say which permissions need which others, in a sentence that names all of them."""
    needing: dict[str, list[str]] = {}
    for permission, needed in missing:
        needing.setdefault(needed, []).append(f"“{PERMISSIONS[permission]}”")
    return " ".join(
        f"{' and '.join(names)} {'needs' if len(names) == 1 else 'need'} “{PERMISSIONS[needed]}”."
        for needed, names in needing.items()
    )


def permissions_of_scope(scope: Scope) -> frozenset[str]:
    """Return what roles of a scope can hold: permissions of that scope and of those below it."""
    below = SCOPES[SCOPES.index(scope) :]
    return frozenset(one for one in PERMISSIONS if one.split(".")[0] in below)


@dataclass(frozen=True, kw_only=True)
class BuiltInRole:
    """`key` is stable and unique within the scope; `rank` orders roles of a scope from least to
    most.
    """

    scope: Scope
    key: str
    name: str
    description: str
    rank: int
    permissions: frozenset[str]


_ACCESSOR = frozenset({"workspace.view"})
_DEPLOYMENT_VIEWER = frozenset(
    {
        "deployment.view",
        "deployment.logs.view",
        "deployment.deploys.view",
        "deployment.members.view",
        "deployment.airflow.view",
    }
)
_DEPLOYMENT_AUTHOR = _DEPLOYMENT_VIEWER | {"deployment.deploys.create", "deployment.airflow.run"}
_DEPLOYMENT_OPERATOR = _DEPLOYMENT_AUTHOR | {
    "deployment.airflow.edit",
    "deployment.update",
    "deployment.delete",
}
_WORKSPACE_MEMBER = (
    _ACCESSOR | {"workspace.members.view", "workspace.environment.view"} | _DEPLOYMENT_VIEWER
)
_WORKSPACE_AUTHOR = _WORKSPACE_MEMBER | _DEPLOYMENT_AUTHOR
_WORKSPACE_OPERATOR = (
    _WORKSPACE_AUTHOR
    | _DEPLOYMENT_OPERATOR
    | {
        "workspace.deployments.create",
        "workspace.tokens.manage",
        "workspace.environment.manage",
        "workspace.git.manage",
        "workspace.alerts.manage",
    }
)
_WORKSPACE_OWNER = frozenset(p for p in PERMISSIONS if p.startswith(("workspace.", "deployment.")))
_ORGANIZATION_MEMBER = frozenset(
    {"organization.view", "organization.members.view", "organization.clusters.view"}
)

BUILT_IN_ROLES: tuple[BuiltInRole, ...] = (
    BuiltInRole(
        scope="organization",
        key="member",
        name="Organization Member",
        description="Views the organization and its members. Workspace roles are separate.",
        rank=10,
        permissions=_ORGANIZATION_MEMBER,
    ),
    BuiltInRole(
        scope="organization",
        key="billing-admin",
        name="Organization Billing Admin",
        description="A member who can also view usage.",
        rank=20,
        permissions=_ORGANIZATION_MEMBER | {"organization.usage.view"},
    ),
    BuiltInRole(
        scope="organization",
        key="owner",
        name="Organization Owner",
        description="Full access to the organization, including its members and API tokens, every "
        "workspace and every Deployment.",
        rank=90,
        permissions=frozenset(PERMISSIONS),
    ),
    BuiltInRole(
        scope="workspace",
        key="accessor",
        name="Workspace Accessor",
        description="Enters the workspace. Deployment roles are assigned separately.",
        rank=10,
        permissions=_ACCESSOR,
    ),
    BuiltInRole(
        scope="workspace",
        key="member",
        name="Workspace Member",
        description="Views every Deployment, its logs and its Airflow.",
        rank=20,
        permissions=_WORKSPACE_MEMBER,
    ),
    BuiltInRole(
        scope="workspace",
        key="author",
        name="Workspace Author",
        description="Deploys code and runs DAGs.",
        rank=30,
        permissions=_WORKSPACE_AUTHOR,
    ),
    BuiltInRole(
        scope="workspace",
        key="operator",
        name="Workspace Operator",
        description="Creates, configures and deletes Deployments, connects Git repositories, and "
        "makes API tokens.",
        rank=40,
        permissions=_WORKSPACE_OPERATOR,
    ),
    BuiltInRole(
        scope="workspace",
        key="owner",
        name="Workspace Owner",
        description="Full access to the workspace, including its members and API tokens.",
        rank=90,
        permissions=_WORKSPACE_OWNER,
    ),
    BuiltInRole(
        scope="deployment",
        key="viewer",
        name="Deployment Viewer",
        description="Views this Deployment, its logs and its Airflow.",
        rank=10,
        permissions=_DEPLOYMENT_VIEWER,
    ),
    BuiltInRole(
        scope="deployment",
        key="author",
        name="Deployment Author",
        description="Deploys code to this Deployment and runs its DAGs.",
        rank=20,
        permissions=_DEPLOYMENT_AUTHOR,
    ),
    BuiltInRole(
        scope="deployment",
        key="admin",
        name="Deployment Admin",
        description="Full access to this Deployment, including its roles and API tokens.",
        rank=90,
        permissions=_DEPLOYMENT_OPERATOR
        | {
            "deployment.members.manage",
            "deployment.tokens.manage",
            "deployment.airflow.admin",
        },
    ),
)
