"""What each built-in role may do, written down a second time: row by row from Astro's tables."""

import pytest

from apps.access.roles.catalogue import (
    BUILT_IN_ROLES,
    PERMISSIONS,
    PREREQUISITES,
    SCOPES,
    BuiltInRole,
    missing_prerequisites,
    permissions_of_scope,
)

Row = tuple[str, set[str], set[str]]

ALL_OF_ORGANIZATIONS = {"member", "billing-admin", "owner"}
# The action, who has it, what it is called here.
ORGANIZATION: tuple[Row, ...] = (
    (
        "view the organization, its members and clusters",
        ALL_OF_ORGANIZATIONS,
        {"organization.view", "organization.members.view", "organization.clusters.view"},
    ),
    ("usage", {"billing-admin", "owner"}, {"organization.usage.view"}),
    ("create workspaces", {"owner"}, {"organization.workspaces.create"}),
    ("alerts of the organization", {"owner"}, {"organization.alerts.manage"}),
    ("webhooks of the organization", {"owner"}, {"organization.webhooks.manage"}),
    ("the status page", {"owner"}, {"organization.status_page.manage"}),
    ("create, update, delete clusters", {"owner"}, {"organization.clusters.manage"}),
    (
        "Workspace Owner in every workspace",
        {"owner"},
        {one for one in PERMISSIONS if not one.startswith("organization.")},
    ),
    ("invite and remove users, change roles", {"owner"}, {"organization.members.manage"}),
    (
        "organization API tokens, Teams, custom roles",
        {"owner"},
        {"organization.tokens.manage", "organization.teams.manage", "organization.roles.manage"},
    ),
    (
        "single sign-on, bypass link, domains, audit export",
        {"owner"},
        {"organization.sso.manage", "organization.audit.view"},
    ),
    # Astro's table has no row for it.
    ("change the organization", {"owner"}, {"organization.update"}),
)

FROM_OPERATOR = {"operator", "owner"}
FROM_AUTHOR = {"author", *FROM_OPERATOR}
FROM_MEMBER = {"member", *FROM_AUTHOR}
LOOKING = {
    "deployment.view",
    "deployment.logs.view",
    "deployment.deploys.view",
    "deployment.members.view",
    "deployment.airflow.view",
}
RUNNING = {"deployment.airflow.run", "deployment.deploys.create"}
OPERATING = {"deployment.airflow.edit", "deployment.update", "deployment.delete"}
WORKSPACE: tuple[Row, ...] = (
    ("see the workspace exists", {"accessor", *FROM_MEMBER}, {"workspace.view"}),
    ("view all Deployments, users, DAGs, logs", FROM_MEMBER, LOOKING | {"workspace.members.view"}),
    ("trigger, pause, clear; push code", FROM_AUTHOR, RUNNING),
    ("edit Airflow connections, variables, pools", FROM_OPERATOR, {"deployment.airflow.edit"}),
    (
        "create, update, delete Deployments",
        FROM_OPERATOR,
        {"workspace.deployments.create", "deployment.update", "deployment.delete"},
    ),
    ("workspace API tokens", FROM_OPERATOR, {"workspace.tokens.manage"}),
    ("connections and variables without secrets", FROM_MEMBER, {"workspace.environment.view"}),
    ("manage connections and variables", FROM_OPERATOR, {"workspace.environment.manage"}),
    ("map repositories to Deployments", FROM_OPERATOR, {"workspace.git.manage"}),
    ("alerts of the workspace", FROM_OPERATOR, {"workspace.alerts.manage"}),
    ("Deployment API tokens", {"owner"}, {"deployment.tokens.manage"}),
    (
        "invite users, change roles, add and remove Teams",
        {"owner"},
        {"workspace.members.manage", "deployment.members.manage"},
    ),
    # Astro's table has no rows for them.
    ("change and delete the workspace", {"owner"}, {"workspace.update", "workspace.delete"}),
    ("webhooks of the workspace", {"owner"}, {"workspace.webhooks.manage"}),
    ("Airflow's Admin", {"owner"}, {"deployment.airflow.admin"}),
)

DEPLOYMENT: tuple[Row, ...] = (
    ("the template Viewer", {"viewer", "author", "admin"}, LOOKING),
    ("the template Author", {"author", "admin"}, RUNNING),
    ("Workspace Operator restricted to one Deployment", {"admin"}, OPERATING),
    ("assign roles of the Deployment", {"admin"}, {"deployment.members.manage"}),
    # Astro's table does not say it.
    (
        "its API tokens and Airflow's Admin",
        {"admin"},
        {"deployment.tokens.manage", "deployment.airflow.admin"},
    ),
)
TABLES = {"organization": ORGANIZATION, "workspace": WORKSPACE, "deployment": DEPLOYMENT}


@pytest.mark.parametrize("built_in", BUILT_IN_ROLES, ids=lambda one: f"{one.scope} {one.key}")
def test_a_built_in_role_has_exactly_the_actions_of_its_column(built_in):
    told = [what for _, having, what in TABLES[built_in.scope] if built_in.key in having]

    assert built_in.permissions == set().union(*told)


@pytest.mark.parametrize("scope", TABLES)
def test_the_tables_name_every_role_and_every_permission(scope):
    keys = set().union(*(having for _, having, _ in TABLES[scope]))
    told = set().union(*(what for _, _, what in TABLES[scope]))

    assert keys == {one.key for one in BUILT_IN_ROLES if one.scope == scope}
    assert told == permissions_of_scope(scope)


@pytest.mark.parametrize("built_in", BUILT_IN_ROLES, ids=lambda one: f"{one.scope} {one.key}")
def test_a_built_in_role_has_what_its_permissions_need(built_in):
    assert missing_prerequisites(built_in.permissions, built_in.scope) == []


def test_every_permission_leads_to_the_view_of_its_scope():
    for permission in PERMISSIONS:
        scope = permission.split(".")[0]
        needed = permission
        while needed.split(".")[0] == scope and needed in PREREQUISITES:
            before, needed = needed, PREREQUISITES[needed]
        top = needed if needed.split(".")[0] == scope else before

        assert top == f"{scope}.view"
        assert SCOPES.index(needed.split(".")[0]) <= SCOPES.index(scope)


@pytest.mark.parametrize(
    ("scope", "chosen", "missing"),
    [
        ("deployment", {"deployment.view"}, []),
        ("workspace", {"deployment.view"}, [("deployment.view", "workspace.view")]),
        ("organization", {"workspace.view"}, [("workspace.view", "organization.view")]),
        (
            "deployment",
            {"deployment.update"},
            [("deployment.update", "deployment.view")],
        ),
    ],
)
def test_what_lies_above_a_role_is_not_asked_of_it(scope, chosen, missing):
    assert missing_prerequisites(chosen, scope) == missing


@pytest.mark.parametrize("role", BUILT_IN_ROLES, ids=lambda role: role.name)
def test_a_role_says_whether_it_manages_api_tokens(role: BuiltInRole) -> None:
    own = f"{role.scope}.tokens.manage"

    assert ("API tokens" in role.description) is (own in role.permissions)
