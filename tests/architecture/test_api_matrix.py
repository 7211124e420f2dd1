"""Who may call what: every operation of the API, every method, every role.

The table is written by hand. Each visitor of the stage calls with a personal token, and the tokens
of the stage with their own.
"""

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from apps.access.roles.catalogue import PERMISSIONS
from apps.access.scoped import PermissionMissing
from apps.accounts.models import User
from apps.api.service import api
from apps.api.wire import gates
from apps.backups.models import BackupSchedule
from apps.bulk_actions.models import BulkAction
from apps.core.public_ids import public_id
from apps.deploys.models import BranchRule, GitRepository, GitSource, Upload
from apps.observability.remote_write.models import Receiver
from apps.organizations.tokens.personal import create_personal_token
from apps.status_pages.reports.models import Report
from apps.status_pages.setup.models import Component
from tests.architecture.permission_table import HOLDERS, ROLES, TOKENS
from tests.architecture.stage import Stage
from tests.architecture.urls import API, every_address

# The gate asks for nothing but a token: the operation filters, or asks once it has read the body.
ANY = "any token"
# Operators of this installation alone; no one of the stage with a token is one.
OPERATORS = "operators"
TABLE: dict[str, str] = {
    "ListOrganizations": ANY,
    "GetSelfUser": ANY,
    "GetOrganization": ANY,
    "UpdateOrganization": "organization.update",
    "ListWorkspaces": ANY,
    "CreateWorkspace": "organization.workspaces.create",
    "GetWorkspace": "workspace.view",
    "UpdateWorkspace": "workspace.update",
    "DeleteWorkspace": "workspace.delete",
    "ListClusters": ANY,
    "GetCluster": ANY,
    "GetOrganizationDeploymentSettings": "organization.clusters.view",
    "UpdateOrganizationDeploymentSettings": "organization.clusters.manage",
    "PreviewOrganizationDeploymentSettings": "organization.clusters.manage",
    "GetClusterDeploymentSettings": "organization.clusters.view",
    "UpdateClusterDeploymentSettings": "organization.clusters.manage",
    "PreviewClusterDeploymentSettings": "organization.clusters.manage",
    "GetWorkspaceDeploymentSettings": "workspace.view",
    "UpdateWorkspaceDeploymentSettings": "workspace.update",
    "PreviewWorkspaceDeploymentSettings": "workspace.update",
    "GetDeploymentSettings": "deployment.view",
    "GetDeploymentOptions": ANY,
    "GetClusterOptions": ANY,
    "ListDeployments": ANY,
    "CreateDeployment": ANY,
    "GetDeployment": "deployment.view",
    "UpdateDeployment": "deployment.update",
    "DeleteDeployment": "deployment.delete",
    "CopyDeployment": "deployment.update",
    "PreviewDeploymentTransfer": "deployment.delete",
    "TransferDeployment": "deployment.delete",
    "ListBulkActions": ANY,
    "CreateBulkAction": ANY,
    "GetBulkAction": ANY,
    "UpdateBulkAction": ANY,
    "EndBulkAction": ANY,
    "DiffDeployment": "deployment.update",
    "ListDeploys": "deployment.deploys.view",
    "CreateDeploy": "deployment.deploys.create",
    "GetDeploy": "deployment.deploys.view",
    "ListPromotions": "deployment.deploys.view",
    "CreatePromotion": "deployment.deploys.create",
    "GetPromotion": "deployment.deploys.view",
    "ListBackups": "deployment.view",
    "CreateBackup": "deployment.update",
    "GetBackup": "deployment.view",
    "DeleteBackup": "deployment.delete",
    "RestoreBackup": "deployment.update",
    "RestoreBackupAsNew": "workspace.deployments.create",
    "GetBackupSchedule": "deployment.view",
    "SetBackupSchedule": "deployment.update",
    "RemoveBackupSchedule": "deployment.update",
    "BackUpAndDeleteDeployment": "deployment.delete",
    **{f"{verb}Bucket": "organization.update" for verb in ("Set", "Test", "Remove")},
    "ListBuckets": "organization.update",
    **dict.fromkeys(
        (
            "ListImports",
            "CreateImport",
            "CreateImportOfDump",
            "GetImport",
            "CreateDeploymentFromImport",
            "UnpauseImportedDags",
            "DeleteImport",
        ),
        "workspace.deployments.create",
    ),
    "ListUpgrades": "deployment.view",
    "TestConnection": "deployment.deploys.create",
    "CheckUpgrade": "deployment.update",
    "GetUpgrade": "deployment.view",
    "ConfirmUpgrade": "deployment.update",
    "CancelUpgrade": "deployment.update",
    "ListEnvironmentObjects": ANY,
    "CreateEnvironmentObject": ANY,
    "GetEnvironmentObject": ANY,
    "UpdateEnvironmentObject": ANY,
    "DeleteEnvironmentObject": ANY,
    "ExcludeLinkingEnvironmentObject": ANY,
    "ImportEnvironmentObjects": ANY,
    "ExportEnvironmentObjects": ANY,
    "FinalizeDeploy": "deployment.deploys.create",
    "DeployRollback": "deployment.deploys.create",
    "CancelDeploy": "deployment.deploys.create",
    "GetDeploymentLogs": "deployment.logs.view",
    "GetOrganizationAuditLogs": "organization.audit.view",
    "ListUsers": ANY,
    "GetUser": ANY,
    "UpdateUserRoles": ANY,
    "RemoveUser": "organization.members.manage",
    "CreateUserInvite": "organization.members.manage",
    "DeleteUserInvite": "organization.members.manage",
    "ListTeams": ANY,
    "ListUserTeams": "organization.members.view",
    "CreateTeam": "organization.teams.manage",
    "GetTeam": "organization.members.view",
    "UpdateTeam": "organization.teams.manage",
    "DeleteTeam": "organization.teams.manage",
    "ListTeamMembers": "organization.members.view",
    "AddTeamMembers": "organization.teams.manage",
    "RemoveTeamMember": "organization.teams.manage",
    "UpdateTeamRoles": "organization.members.view",
    "ListRoles": ANY,
    "GetCustomRole": ANY,
    "ListApiTokens": ANY,
    "CreateApiToken": ANY,
    "GetApiToken": ANY,
    "UpdateApiToken": ANY,
    "UpdateApiTokenRoles": ANY,
    "RotateApiToken": ANY,
    "DeleteApiToken": ANY,
    "ListPackageIndexes": ANY,
    "CreatePackageIndex": ANY,
    **{f"{verb}PackageIndex": ANY for verb in ("Get", "Update", "Test", "Delete")},
    "CreateCustomRole": "organization.roles.manage",
    "UpdateCustomRole": "organization.roles.manage",
    "DeleteCustomRole": "organization.roles.manage",
    "ListRoleTemplates": ANY,
    "ListPermissionGroups": ANY,
    "GetWorkspaceDeployRules": "workspace.view",
    "UpdateWorkspaceDeployRules": "workspace.update",
    "GetRemoteWrite": "organization.update",
    "SetRemoteWrite": "organization.update",
    "RemoveRemoteWrite": "organization.update",
    "CreateCluster": "organization.clusters.manage",
    "GetAwsTrust": "organization.clusters.manage",
    "FindCloudClusters": "organization.clusters.manage",
    "CreateCloudClusters": "organization.clusters.manage",
    "UpdateCluster": "organization.clusters.manage",
    "DeleteCluster": "organization.clusters.manage",
    "GetClusterHealth": "organization.clusters.view",
    "TestCluster": "organization.clusters.manage",
    "TestClusterStorage": "organization.clusters.manage",
    "GetClusterSettings": "organization.clusters.manage",
    "UpdateClusterSettings": "organization.clusters.manage",
    "ListOperations": "deployment.view",
    "GetOperation": "deployment.view",
    "RetryDeployment": "deployment.update",
    "RestartDeployment": "deployment.update",
    "UpdateDeploymentHibernationOverride": "deployment.update",
    "DeleteDeploymentHibernationOverride": "deployment.update",
    "ListRevisions": "deployment.view",
    "GetRevision": "deployment.view",
    "RestoreRevision": "deployment.update",
    "GetDeploymentDrift": "deployment.view",
    "RevertDrift": "deployment.update",
    "ListGitRepositories": "workspace.git.manage",
    "ConnectGitRepository": "workspace.git.manage",
    "GetGitRepository": "workspace.git.manage",
    "UpdateGitRepository": "workspace.git.manage",
    "RemoveGitRepository": "workspace.git.manage",
    "TestGitRepository": "workspace.git.manage",
    "LookAtGitRepository": "workspace.git.manage",
    "RotateGitWebhook": "workspace.git.manage",
    "SetGitStateToken": "workspace.git.manage",
    "TrustGitHost": "workspace.git.manage",
    "GetBranchRule": "workspace.git.manage",
    "SetBranchRule": "workspace.git.manage",
    "RemoveBranchRule": "workspace.git.manage",
    "GetGitSource": "deployment.deploys.view",
    "SetGitSource": "workspace.git.manage",
    "DisconnectGitSource": "workspace.git.manage",
    "LookAtGitSource": "deployment.deploys.create",
    "GetDeployRules": "deployment.deploys.view",
    "UpdateDeployRules": "deployment.update",
    "GetDeploymentHistory": "deployment.view",
    "GetWorkerQueueHistory": "deployment.view",
    "ListScalingDecisions": "deployment.view",
    "GetScalingRecommendation": "deployment.view",
    "ListDags": ANY,
    "ListDagRuns": "deployment.airflow.view",
    "ListWaitingTasks": "deployment.airflow.view",
    "ExplainWaitingTask": "deployment.airflow.view",
    "ListIncidents": ANY,
    "GetIncident": "deployment.view",
    "RespondToIncident": "deployment.airflow.run",
    "ListAlerts": ANY,
    "CreateAlert": ANY,
    "PreviewAlert": ANY,
    "GetAlert": ANY,
    "UpdateAlert": ANY,
    "DeleteAlert": ANY,
    "LabsCreateAlerts": ANY,
    "LabsUpdateAlerts": ANY,
    "LabsDeleteAlerts": ANY,
    "ListNotificationChannels": ANY,
    "CreateNotificationChannel": ANY,
    "GetNotificationChannel": ANY,
    "UpdateNotificationChannel": ANY,
    "DeleteNotificationChannel": ANY,
    "TestNotificationChannel": ANY,
    "ListSilences": ANY,
    "CreateSilence": ANY,
    "EndSilence": ANY,
    "ListAlertMessages": ANY,
    "ResendAlertMessage": ANY,
    "ListDeploymentAlerts": "deployment.airflow.view",
    "GetDeploymentAlert": "deployment.airflow.view",
    "AcknowledgeAlert": "deployment.airflow.run",
    "ListWebhooks": ANY,
    "CreateWebhook": ANY,
    "UpdateWebhook": ANY,
    "RotateWebhookSecret": ANY,
    "DeleteWebhook": ANY,
    "GetStatusPage": "organization.view",
    "ListStatusReports": "organization.view",
    "GetStatusReport": "organization.view",
    **dict.fromkeys(
        (
            "UpdateStatusPage",
            "SwitchStatusPage",
            "ListStatusComponents",
            "CreateStatusComponent",
            "UpdateStatusComponent",
            "MoveStatusComponent",
            "DeleteStatusComponent",
            "CreateStatusReport",
            "PostStatusDraft",
            "PostStatusUpdate",
            "SetStatusPostmortem",
            "DiscardStatusDraft",
            "ListStatusSubscribers",
            "RemoveStatusSubscriber",
        ),
        "organization.status_page.manage",
    ),
    "ListUsage": "organization.usage.view",
    **dict.fromkeys(
        ("ListWorkerHourPrices", "SetWorkerHourPrice", "RemoveWorkerHourPrice"), OPERATORS
    ),
    "ListObjectives": ANY,
    "SetObjective": "workspace.alerts.manage",
    "RemoveObjective": "workspace.alerts.manage",
}
# What operations ask themselves, once they have read what a call is about (see `_bodies`): the
# permission, and what those hold who learn that it is missing. Others find nothing.
INSIDE_OPERATION: dict[str, tuple[str, str]] = {
    "CreateDeployment": ("workspace.deployments.create", "workspace.view"),
    "ListUsers": ("organization.members.view", ANY),
    "GetUser": ("workspace.members.view", ""),
    "UpdateUserRoles": ("organization.members.manage", "workspace.members.view"),
    "ListTeams": ("organization.members.view", ANY),
    "UpdateTeamRoles": ("organization.members.manage", ANY),
    "ListApiTokens": ("organization.tokens.manage", ANY),
    "CreateApiToken": ("organization.tokens.manage", ANY),
    **{
        f"{verb}ApiToken": ("workspace.tokens.manage", "workspace.view")
        for verb in ("Get", "Update", "Rotate", "Delete")
    },
    "UpdateApiTokenRoles": ("workspace.tokens.manage", "workspace.view"),
    "ListPackageIndexes": ("organization.update", ANY),
    "CreatePackageIndex": ("organization.update", ANY),
    **{
        f"{verb}PackageIndex": ("workspace.update", "workspace.view")
        for verb in ("Get", "Update", "Test", "Delete")
    },
    "GetAlert": ("workspace.view", "workspace.view"),
    **dict.fromkeys(
        (
            "CreateAlert",
            "PreviewAlert",
            "UpdateAlert",
            "DeleteAlert",
            "LabsCreateAlerts",
            "LabsUpdateAlerts",
            "LabsDeleteAlerts",
            "CreateNotificationChannel",
            "GetNotificationChannel",
            "UpdateNotificationChannel",
            "DeleteNotificationChannel",
            "TestNotificationChannel",
            "CreateSilence",
            "EndSilence",
            "ResendAlertMessage",
        ),
        ("workspace.alerts.manage", "workspace.view"),
    ),
    "ListWebhooks": ("organization.webhooks.manage", ANY),
    **{
        f"{verb}Webhook{rest}": ("organization.webhooks.manage", ANY)
        for verb, rest in (("Create", ""), ("Update", ""), ("Rotate", "Secret"), ("Delete", ""))
    },
    # Those of others are there for owners alone, who may stop them.
    "GetBulkAction": ("workspace.update", ""),
    "UpdateBulkAction": ("workspace.update", ""),
    "EndBulkAction": ("workspace.update", ""),
    "GetEnvironmentObject": ("workspace.environment.view", "workspace.view"),
    **{
        f"{verb}EnvironmentObject": ("workspace.environment.manage", "workspace.view")
        for verb in ("Create", "Update", "Delete", "ExcludeLinking")
    },
    "ImportEnvironmentObjects": ("workspace.environment.manage", "workspace.view"),
    "ExportEnvironmentObjects": ("workspace.environment.view", "workspace.view"),
}
# They ask for a permission of the workspace of a Deployment, which one has to see first.
OF_A_DEPLOYMENT = {"SetGitSource", "DisconnectGitSource", "RestoreBackupAsNew"}
OF_EVERY_ORGANIZATION = {"ListOrganizations", "GetSelfUser", "ListPermissionGroups"}
INSIDE = ROLES | TOKENS


class Operation:
    """One method of one address, with its gate."""

    def __init__(self, route: str, operation: Any) -> None:
        self.route, self.id = route, operation.operation_id
        self.method = operation.methods[0]
        self.gates = [one for one in operation.auth_callbacks if isinstance(one, gates.Gate)]


def operations() -> list[Operation]:
    bound = [one for router in api._get_bound_routers() for one in router.path_operations.items()]
    return [Operation(path, one) for path, view in bound for one in view.operations]


ALL = {one.id: one for one in operations()}


def test_every_operation_has_a_row():
    assert ALL.keys() == TABLE.keys()


def test_every_address_of_the_api_is_an_operation():
    """Nothing is reached below it that no gate stands before."""
    routes = [one.route for one in every_address() if one.route.startswith(API)]

    known = [f"v1{one.route}".replace("{", "<").replace("}", ">") for one in ALL.values()]
    assert sorted(routes) == sorted(known)


@pytest.mark.parametrize("name", ALL)
def test_every_operation_asks_for_what_its_row_says(name: str):
    (gate,) = ALL[name].gates

    asked = OPERATORS if gate.of_operators else gate.permission or ANY
    assert asked == TABLE[name]
    assert asked in (ANY, OPERATORS) or asked in PERMISSIONS
    # What the address names must be what the gate finds.
    assert ("deploymentId" in ALL[name].route) == (gate.by == "deploymentId")
    assert ("workspaceId" in ALL[name].route) == (gate.by == "workspaceId")


@pytest.fixture
def programs(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Client]]:
    monkeypatch.setattr(gates, "BAD_TOKENS", 1_000_000)
    monkeypatch.setattr(PermissionMissing, "denial", lambda self: None)
    logging.disable(logging.CRITICAL)
    yield {name: _program(stage, name, user) for name, user in stage.users.items()}
    logging.disable(logging.NOTSET)


def _program(stage: Stage, name: str, user: Any) -> Client:
    if name in TOKENS or not isinstance(user, User):
        return stage.visitors[name]
    where = stage.elsewhere if name == "outsider" else stage.places
    _, secret = create_personal_token(
        user=user, organization=where["organization"], name="CLI", days=1
    )
    return Client(headers={"Authorization": f"Bearer {secret}"}, raise_request_exception=False)


def test_every_operation_lets_through_whom_its_permission_does(
    stage: Stage, programs: dict[str, Client]
):
    """Ask about the edge: the weakest who is let in, the strongest who are not, strangers."""
    wrong = list(_wrong(stage, programs, edge))

    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_every_operation_lets_through_whom_its_permission_does_of_all_others(
    stage: Stage, programs: dict[str, Client]
):
    wrong = list(_wrong(stage, programs, lambda name: programs.keys() - edge(name)))

    assert not wrong, "\n".join(wrong)


GARBAGE: tuple[Any, ...] = (
    [],
    "text",
    None,
    {"name": "x" * 100_000, "description": "\u0000"},
    {"name": {"a": [1]}, "roles": "x", "workerQueues": [None], "memberIds": [1]},
    {"name": "\ud800", "limit": 10**30, "tokenExpiryPeriodInDays": 10**30},
    {"name": "ok", "workspaceId": "c" + "f" * 24, "roles": [], "type": "DAG_ONLY"},
)


@pytest.mark.slow
def test_no_body_and_no_query_breaks_an_operation(stage: Stage, programs: dict[str, Client]):
    """Whatever is sent by whoever may do all: a refusal in the shape of refusals, or an answer."""
    ids, program = ids_on(stage), programs["organization owner"]
    wrong = []
    for name, operation in ALL.items():
        path = "/v1" + operation.route.format_map(ids)
        queries = (
            "?limit=1e9",
            "?offset=-1&sorts=x",
            "?workspaceId=%F0&startDate=0000-99-99",
            "?limit=3",
        )
        bodies = GARBAGE if operation.method == "POST" else ({},)
        for body in bodies:
            for query in queries if operation.method == "GET" else ("",):
                with transaction.atomic():
                    answer = program.generic(
                        operation.method, path + query, json.dumps(body), "application/json"
                    )
                    if not answer.streaming and answer.status_code >= 400:
                        said = json.loads(answer.content)
                        if said.get("statusCode") != answer.status_code or not said["message"]:
                            wrong.append(f"{name}: {answer.content[:200]!r}")
                    transaction.set_rollback(True)
                if answer.status_code >= 500 and answer.status_code not in (501, 503):
                    wrong.append(f"{name} {query} {str(body)[:80]}: {answer.status_code}")

    assert not wrong, "\n".join(wrong)


def _wrong(stage: Stage, programs: dict[str, Client], whom: Any) -> Iterator[str]:
    ids = ids_on(stage)
    bodies = _bodies(ids)
    for name, operation in ALL.items():
        path = "/v1" + operation.route.format_map(ids)
        for visitor in whom(name):
            found = _ask(programs[visitor], operation.method, path, bodies.get(name, {}))
            if found != expected(name, visitor):
                yield f"{name} as {visitor}: {found}, not {expected(name, visitor)}"


def expected(name: str, visitor: str) -> str:
    if visitor in ("anonymous", "disabled", "operator"):
        return "sign in"
    if name in OF_EVERY_ORGANIZATION:
        return "through"
    if visitor not in INSIDE or TABLE[name] == OPERATORS:
        return "nothing"
    if visitor in let_in(name):
        return "through"
    permission = TABLE[name]
    scope = "deployment" if name in OF_A_DEPLOYMENT else permission.partition(".")[0]
    # Whoever calls from inside knows of the organization.
    sees = INSIDE if permission == ANY or scope == "organization" else HOLDERS[f"{scope}.view"]
    if name in INSIDE_OPERATION:
        known = INSIDE_OPERATION[name][1]
        sees &= INSIDE if known == ANY else _seeing(known)
    return "refused" if visitor in sees else "nothing"


def let_in(name: str) -> frozenset[str]:
    found = INSIDE if TABLE[name] == ANY else HOLDERS[TABLE[name]]
    return found & _seeing(INSIDE_OPERATION[name][0]) if name in INSIDE_OPERATION else found


def _seeing(permission: str) -> frozenset[str]:
    """Who may see members of a workspace also sees them where they see those of all."""
    above = (
        HOLDERS["organization.members.view"] if permission == "workspace.members.view" else set()
    )
    return HOLDERS.get(permission, frozenset()) | above


def edge(name: str) -> set[str]:
    if TABLE[name] == OPERATORS:
        return {"anonymous", "outsider", "organization owner"}
    allowed = let_in(name)
    chosen = {"anonymous", "outsider", min(sorted(allowed), key=_strength)}
    for kind in (ROLES, TOKENS):
        chosen.update(sorted(kind - allowed, key=_strength)[-1:])
    return chosen


def _strength(visitor: str) -> int:
    return sum(visitor in holders for holders in HOLDERS.values())


def ids_on(stage: Stage) -> dict[str, str]:
    places = {f"{scope}Id": public_id(scope, on.pk) for scope, on in stage.places.items()}
    cluster = stage.places["deployment"].cluster
    deploy = stage.places["deployment"].deploys.get()
    repository = GitRepository.objects.get(pk=stage.arguments["repository_id"])
    GitSource.objects.create(deployment=deploy.deployment, repository=repository, branch="main")
    BranchRule.objects.create(
        repository=repository, template=deploy.deployment, pattern="x", most=1, days=1
    )
    # Where secrets are planted there is one already.
    unused = {"host": "x", "sealed": b""}
    organization = stage.places["organization"]
    BackupSchedule.objects.create(
        deployment=deploy.deployment,
        at="02:00",
        time_zone="UTC",
        keep_days=7,
        next_at=timezone.now() + timedelta(days=1),
    )
    Receiver.objects.get_or_create(organization=organization, defaults=unused)
    upload = Upload.objects.create(deployment=deploy.deployment, deploy=deploy)
    return {
        **places,
        "clusterId": public_id("cluster", cluster.pk),
        "deployId": public_id("upload", upload.pk),
        "promotionNumber": "1",
        "upgradeNumber": "1",
        "backupId": str(stage.arguments["backup_id"]),
        "importId": str(stage.arguments["import_id"]),
        "use": "backups",
        "validFrom": "2026-01-01",
        "userId": public_id("user", stage.arguments["person_id"]),
        "memberId": public_id("user", stage.arguments["person_id"]),
        "inviteId": public_id("invitation", stage.arguments["invitation_id"]),
        "environmentObjectId": public_id("environment_object", stage.of_workspace["object_id"]),
        "teamId": public_id("team", stage.arguments["team_id"]),
        "roleId": public_id("role", stage.arguments["role_id"]),
        "packageIndexId": public_id("package-index", stage.package_indexes["w"]),
        "alertId": public_id("alert", stage.of_workspace["rule_id"]),
        "notificationChannelId": public_id("channel", stage.of_workspace["channel_id"]),
        "silenceId": public_id("silence", stage.of_workspace["silence_id"]),
        "messageId": public_id("message", stage.of_workspace["delivery_id"]),
        "alertNumber": str(stage.of_workspace["alert_id"]),
        "incidentNumber": str(stage.arguments["incident_id"]),
        "operationNumber": "1",
        "revisionNumber": "1",
        "queueName": "default",
        "dagId": "orders",
        "repositoryId": public_id("repository", stage.arguments["repository_id"]),
        "componentId": Component.objects.get(pk=stage.arguments["component_id"]).key,
        "reportId": Report.objects.get(pk=stage.arguments["report_id"]).key,
        "subscriberId": public_id("subscriber", stage.arguments["subscriber_id"]),
        "bulkActionId": public_id("bulk-action", _stopped(stage).pk),
        "webhookId": public_id("webhook", stage.arguments["webhook_id"]),
        "objectiveId": public_id("objective", stage.arguments["objective_id"]),
        "tokenId": public_id("token", stage.token_ids["organizations:rotate_workspace_token"]),
    }


def _stopped(stage: Stage) -> BulkAction:
    workspace = stage.places["workspace"]
    return BulkAction.objects.create(
        organization=workspace.organization,
        workspace=workspace,
        kind="restart",
        state="stopped",
        actor=stage.users["organization owner"],
    )


def _bodies(ids: dict[str, str]) -> dict[str, Any]:
    """Return bodies without which an operation would refuse before it asks who calls."""
    token = {"name": "New", "role": "ORGANIZATION_MEMBER", "scope": "ORGANIZATION"}
    kept = [{"entityId": ids["workspaceId"], "entityType": "WORKSPACE", "role": "WORKSPACE_MEMBER"}]
    webhook = {"name": "New", "url": "https://example.org/in", "topics": ["deploys"]}
    return {
        "UpdateBulkAction": {"step": "STOP"},
        "CreateWebhook": webhook,
        "UpdateWebhook": webhook,
        "SetObjective": {
            "deploymentId": ids["deploymentId"],
            "dagId": "orders",
            "targetPercent": 99,
        },
        "CreateDeployment": {"name": "new", "workspaceId": ids["workspaceId"]},
        "UpdateUserRoles": {"organizationRole": "ORGANIZATION_BILLING_ADMIN"},
        "UpdateTeamRoles": {"organizationRole": "ORGANIZATION_BILLING_ADMIN"},
        "SetBackupSchedule": {"at": "02:00"},
        "RestoreBackupAsNew": {"name": "new"},
        "SetBucket": {"endpoint": "https://127.0.0.1:9", "bucket": "new", "accessKeyId": "a"},
        "CreateImport": {"host": "127.0.0.1", "database": "airflow", "user": "airflow"},
        "CreateDeploymentFromImport": {"name": "new", "runtimeVersion": "3.3.2-1"},
        "CreatePackageIndex": {"name": "new", "url": "https://packages.example.org/simple"},
        "UpdatePackageIndex": {"name": "new", "url": "https://packages.example.org/simple"},
        "CreateApiToken": token,
        "CreateEnvironmentObject": {
            "objectKey": "new",
            "objectType": "CONNECTION",
            "scope": "WORKSPACE",
            "scopeEntityId": ids["workspaceId"],
            "connection": {"type": "http"},
        },
        "ImportEnvironmentObjects": {
            "scope": "WORKSPACE",
            "scopeEntityId": ids["workspaceId"],
            "text": "A=1",
        },
        "ExportEnvironmentObjects": {
            "scope": "WORKSPACE",
            "scopeEntityId": ids["workspaceId"],
        },
        "ExcludeLinkingEnvironmentObject": {"scopeEntityId": ids["deploymentId"]},
        "UpdateApiToken": {"name": "CI"},
        "UpdateApiTokenRoles": {"roles": kept},
        "CreateAlert": _rule(ids),
        "PreviewAlert": _rule(ids),
        "LabsCreateAlerts": {"alerts": [_rule(ids)]},
        "LabsUpdateAlerts": {"alerts": [{"alertId": ids["alertId"], "name": "New"}]},
        "LabsDeleteAlerts": {"alertIds": [ids["alertId"]]},
        "CreateNotificationChannel": {
            "name": "New",
            "type": "EMAIL",
            "entityType": "WORKSPACE",
            "entityId": ids["workspaceId"],
            "definition": {"recipients": ["a@example.org"]},
        },
        "CreateSilence": {"entityType": "WORKSPACE", "entityId": ids["workspaceId"]},
        "ConnectGitRepository": {"url": "https://127.0.0.1:9/others.git"},
        "SetGitSource": {"repositoryId": ids["repositoryId"]},
        "SetBranchRule": {"pattern": "x", "templateDeploymentId": ids["deploymentId"]},
        "RespondToIncident": {"act": "acknowledge"},
        "CreateCluster": {"name": "New"},
        "FindCloudClusters": {"provider": "ORACLE"},
        "CreateCloudClusters": {"provider": "ORACLE", "keys": ["x"]},
    }


def _rule(ids: dict[str, str]) -> dict[str, Any]:
    return {
        "name": "New",
        "type": "DAG_FAILURE",
        "entityType": "WORKSPACE",
        "entityId": ids["workspaceId"],
        "notificationChannelIds": [ids["notificationChannelId"]],
    }


def _ask(client: Client, method: str, path: str, body: Any) -> str:
    """Call once, and undo what it did."""
    with transaction.atomic():
        response = client.generic(method, path, json.dumps(body), "application/json")
        transaction.set_rollback(True)
    words = {401: "sign in", 403: "refused", 404: "nothing"}
    # An Airflow that does not answer is no failure of the portal.
    if response.status_code >= 500 and response.status_code != 503:
        return f"broken ({response.status_code})"
    return words.get(response.status_code, "through")
