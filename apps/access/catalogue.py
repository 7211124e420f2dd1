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
    "organization.view": "See the organization",
    "organization.update": "Change the organization's name and settings",
    "organization.members.view": "See who is in the organization",
    "organization.members.manage": "Invite and remove people, change organization roles",
    "organization.teams.manage": "Make, change and delete Teams, and say who is in them",
    "organization.roles.manage": "Write, change and delete custom roles",
    "organization.tokens.manage": "Make, rotate and revoke API tokens of the organization",
    "organization.usage.view": "See usage of the organization",
    "organization.audit.view": "Read the audit log of the organization",
    "organization.sso.manage": "Set up domains, single sign-on and provisioning",
    "organization.clusters.view": "See clusters",
    "organization.clusters.manage": "Register, change and remove clusters",
    "organization.workspaces.create": "Create workspaces",
    "workspace.view": "See the workspace",
    "workspace.update": "Change the workspace's name and settings",
    "workspace.delete": "Delete the workspace",
    "workspace.members.view": "See who is in the workspace",
    "workspace.members.manage": "Invite and remove people, change workspace roles",
    "workspace.tokens.manage": "Make, rotate and revoke API tokens of the workspace",
    "workspace.deployments.create": "Create Deployments",
    "deployment.view": "See the Deployment, its health and its settings",
    "deployment.update": "Change settings, worker queues and environment variables",
    "deployment.delete": "Delete the Deployment",
    "deployment.logs.view": "Read component logs",
    "deployment.deploys.view": "See code versions",
    "deployment.deploys.create": "Deliver code and go back to an earlier version",
    "deployment.members.view": "See who has access to the Deployment",
    "deployment.members.manage": "Give and take roles on the Deployment",
    "deployment.tokens.manage": "Make, rotate and revoke API tokens of the Deployment",
    "deployment.airflow.view": "Open Airflow and look",
    "deployment.airflow.run": "Trigger, pause and clear DAGs in Airflow",
    "deployment.airflow.edit": "Edit connections, variables and pools in Airflow",
    "deployment.airflow.admin": "Administer Airflow",
}

# How pages arrange the permissions: by what they are about, in the order of PERMISSIONS.
_GROUPS: dict[str, str] = {
    "organization.": "Organization",
    "organization.members": "People of the organization",
    "organization.teams": "People of the organization",
    "organization.roles": "People of the organization",
    "organization.tokens": "API tokens of the organization",
    "organization.usage": "Records",
    "organization.audit": "Records",
    "organization.clusters": "Clusters",
    "organization.workspaces": "Organization",
    "workspace.": "Workspace",
    "workspace.members": "People of the workspace",
    "workspace.tokens": "API tokens of the workspace",
    "workspace.deployments": "Workspace",
    "deployment.": "Deployment",
    "deployment.deploys": "Code",
    "deployment.members": "People with access to a Deployment",
    "deployment.tokens": "API tokens of a Deployment",
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
_WORKSPACE_MEMBER = _ACCESSOR | {"workspace.members.view"} | _DEPLOYMENT_VIEWER
_WORKSPACE_AUTHOR = _WORKSPACE_MEMBER | _DEPLOYMENT_AUTHOR
_WORKSPACE_OPERATOR = (
    _WORKSPACE_AUTHOR
    | _DEPLOYMENT_OPERATOR
    | {"workspace.deployments.create", "workspace.tokens.manage"}
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
        description="Sees the organization and its people. Workspaces are given one by one.",
        rank=10,
        permissions=_ORGANIZATION_MEMBER,
    ),
    BuiltInRole(
        scope="organization",
        key="billing-admin",
        name="Organization Billing Admin",
        description="A member who also sees usage.",
        rank=20,
        permissions=_ORGANIZATION_MEMBER | {"organization.usage.view"},
    ),
    BuiltInRole(
        scope="organization",
        key="owner",
        name="Organization Owner",
        description="May do everything, in every workspace and every Deployment.",
        rank=90,
        permissions=frozenset(PERMISSIONS),
    ),
    BuiltInRole(
        scope="workspace",
        key="accessor",
        name="Workspace Accessor",
        description="Sees that the workspace exists. Deployments are given one by one.",
        rank=10,
        permissions=_ACCESSOR,
    ),
    BuiltInRole(
        scope="workspace",
        key="member",
        name="Workspace Member",
        description="Sees every Deployment, its logs and its Airflow.",
        rank=20,
        permissions=_WORKSPACE_MEMBER,
    ),
    BuiltInRole(
        scope="workspace",
        key="author",
        name="Workspace Author",
        description="Delivers code and runs DAGs.",
        rank=30,
        permissions=_WORKSPACE_AUTHOR,
    ),
    BuiltInRole(
        scope="workspace",
        key="operator",
        name="Workspace Operator",
        description="Creates, changes and deletes Deployments.",
        rank=40,
        permissions=_WORKSPACE_OPERATOR,
    ),
    BuiltInRole(
        scope="workspace",
        key="owner",
        name="Workspace Owner",
        description="May do everything in the workspace, its members included.",
        rank=90,
        permissions=_WORKSPACE_OWNER,
    ),
    BuiltInRole(
        scope="deployment",
        key="viewer",
        name="Deployment Viewer",
        description="Sees this Deployment, its logs and its Airflow.",
        rank=10,
        permissions=_DEPLOYMENT_VIEWER,
    ),
    BuiltInRole(
        scope="deployment",
        key="author",
        name="Deployment Author",
        description="Delivers code to this Deployment and runs its DAGs.",
        rank=20,
        permissions=_DEPLOYMENT_AUTHOR,
    ),
    BuiltInRole(
        scope="deployment",
        key="admin",
        name="Deployment Admin",
        description="Does with this Deployment what a Workspace Operator may; gives roles on it.",
        rank=90,
        permissions=_DEPLOYMENT_OPERATOR
        | {
            "deployment.members.manage",
            "deployment.tokens.manage",
            "deployment.airflow.admin",
        },
    ),
)
