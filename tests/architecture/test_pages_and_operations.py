"""Whatever a page changes, a program can change, too: or here is the reason why not."""

from tests.architecture.permission_table import TABLE
from tests.architecture.test_api_matrix import TABLE as OPERATIONS

BY_BROWSER = "signs a person in or asks who is there, which takes a browser"
OWN_ACCOUNT = "belongs to a person's own account and sessions"
FOR_EYES = "arranges what a person sees, and nothing else"
SSO = "decides how people prove who they are: only a person who just proved it changes that"
AIRFLOW = "is done by Airflow's own API, which programs call through the portal"
OTHER_API = "is an interface for programs itself"
DRAFT = "is a step on the way to a change that a program makes at once"
VISITOR = "is for visitors, who have no token: their address is the proof"
CLOUD = "lists or names clusters of a cloud with an identity that its owner chooses, on a page"
OPERATOR = "is for the operator, who is at the machine"
WEBHOOK = "webhooks have their own operations"
PERSON_DECIDES = "asks for the eyes of another person"

WITH_OPERATION: dict[str, tuple[str, ...]] = {
    "usage:prices": ("SetWorkerHourPrice",),
    "usage:remove_price": ("RemoveWorkerHourPrice",),
    "alerts:acknowledge": ("AcknowledgeAlert",),
    "alerts:channel": ("UpdateNotificationChannel",),
    "alerts:delete_channel": ("DeleteNotificationChannel",),
    "alerts:delete_rule": ("DeleteAlert",),
    "alerts:end_silence": ("EndSilence",),
    "alerts:new_channel": ("CreateNotificationChannel",),
    "alerts:new_rule_of": ("CreateAlert", "PreviewAlert"),
    "alerts:resend": ("ResendAlertMessage",),
    "alerts:rule": ("UpdateAlert",),
    "alerts:silences": ("CreateSilence",),
    "alerts:switch_rule": ("UpdateAlert",),
    "alerts:test_channel": ("TestNotificationChannel",),
    "clusters:check": ("TestCluster",),
    "clusters:find": ("FindCloudClusters", "CreateCloudClusters"),
    "clusters:register": ("CreateCluster",),
    "clusters:remove": ("DeleteCluster",),
    "clusters:settings": ("UpdateCluster", "UpdateClusterSettings"),
    "clusters:storage": ("TestClusterStorage",),
    "clusters:workspaces": ("UpdateCluster",),
    "deployments:access": ("UpdateUserRoles", "UpdateTeamRoles"),
    "deployments:configure": ("UpdateDeployment",),
    "deployments:delete": ("DeleteDeployment",),
    "deployments:new": ("CreateDeployment",),
    "deployments:new_token": ("CreateApiToken",),
    "deployments:put_back": ("RevertDrift",),
    "deployments:restart": ("RestartDeployment",),
    "hibernation:follow": ("DeleteDeploymentHibernationOverride",),
    "hibernation:hibernate": ("UpdateDeploymentHibernationOverride",),
    "hibernation:new_schedule": ("UpdateDeployment",),
    "hibernation:remove_schedule": ("UpdateDeployment",),
    "hibernation:schedule": ("UpdateDeployment",),
    "hibernation:limits": ("UpdateDeployment",),
    "hibernation:wake": ("UpdateDeploymentHibernationOverride",),
    "deployments:restore": ("RestoreRevision",),
    "deployments:review": ("DiffDeployment", "UpdateDeployment"),
    "deployments:revoke_token": ("DeleteApiToken",),
    "deployments:rotate_token": ("RotateApiToken",),
    "deployments:take_role": ("UpdateUserRoles",),
    "deployments:try_again": ("RetryDeployment",),
    "deploys:approval": ("UpdateDeployRules",),
    "deploys:approval_default": ("UpdateWorkspaceDeployRules",),
    "deploys:branch_rule": ("SetBranchRule",),
    "deploys:cancel": ("CancelDeploy",),
    "deploys:edit_git_repository": ("UpdateGitRepository",),
    "deploys:enforcement": ("UpdateDeployRules",),
    "deploys:enforcement_default": ("UpdateWorkspaceDeployRules",),
    "deploys:git_disconnect": ("DisconnectGitSource",),
    "deploys:git_look": ("LookAtGitSource",),
    "deploys:git_source": ("SetGitSource",),
    "deploys:git_state_token": ("SetGitStateToken",),
    "deploys:list": ("CreateDeploy", "FinalizeDeploy"),
    "deploys:look_at_git_repository": ("LookAtGitRepository",),
    "deploys:make_git_webhook": ("RotateGitWebhook",),
    "deploys:new_git_repository": ("ConnectGitRepository",),
    "deploys:promote": ("CreatePromotion",),
    "deploys:remove_branch_rule": ("RemoveBranchRule",),
    "deploys:remove_git_repository": ("RemoveGitRepository",),
    "deploys:roll_back": ("DeployRollback",),
    "deploys:test_git_repository": ("TestGitRepository",),
    "deploys:trust_git_host": ("TrustGitHost",),
    "observability:remote_write": ("SetRemoteWrite",),
    "observability:remove_receiver": ("RemoveRemoteWrite",),
    "observability:respond": ("RespondToIncident",),
    "organizations:add_member": ("UpdateUserRoles",),
    "organizations:delete_role": ("DeleteCustomRole",),
    "organizations:delete_team": ("DeleteTeam",),
    "organizations:edit_role": ("UpdateCustomRole",),
    "organizations:export_audit": ("GetOrganizationAuditLogs",),
    "organizations:invite_member": ("CreateUserInvite",),
    "organizations:member": ("UpdateUserRoles",),
    "organizations:new_role": ("CreateCustomRole",),
    "organizations:new_team": ("CreateTeam",),
    "organizations:new_token": ("CreateApiToken",),
    "organizations:new_workspace": ("CreateWorkspace",),
    "organizations:new_workspace_token": ("CreateApiToken",),
    "organizations:remove_from_team": ("RemoveTeamMember",),
    "organizations:remove_member": ("RemoveUser",),
    "organizations:remove_workspace_member": ("UpdateUserRoles",),
    "organizations:resend_invitation": ("DeleteUserInvite", "CreateUserInvite"),
    "organizations:resend_workspace_invitation": ("DeleteUserInvite", "CreateUserInvite"),
    "organizations:revoke_invitation": ("DeleteUserInvite",),
    "organizations:revoke_token": ("DeleteApiToken",),
    "organizations:revoke_workspace_invitation": ("DeleteUserInvite",),
    "organizations:revoke_workspace_token": ("DeleteApiToken",),
    "organizations:rotate_token": ("RotateApiToken",),
    "organizations:rotate_workspace_token": ("RotateApiToken",),
    "organizations:settings": ("UpdateOrganization",),
    "organizations:take_team_role": ("UpdateTeamRoles",),
    "organizations:take_workspace_team_role": ("UpdateTeamRoles",),
    "organizations:team": ("AddTeamMembers",),
    "organizations:team_roles": ("UpdateTeamRoles",),
    "organizations:team_settings": ("UpdateTeam",),
    "organizations:workspace_member": ("UpdateUserRoles",),
    "organizations:workspace_settings": ("UpdateWorkspace",),
    "organizations:workspace_teams": ("UpdateTeamRoles",),
    "portal:delete_workspace": ("DeleteWorkspace",),
    **{
        f"environment:{prefix}{page}": (operation,)
        for prefix in ("", "workspace_")
        for page, operation in (
            ("new_object", "CreateEnvironmentObject"),
            ("object", "UpdateEnvironmentObject"),
            ("delete_object", "DeleteEnvironmentObject"),
            ("import", "ImportEnvironmentObjects"),
            ("import_preview", "ImportEnvironmentObjects"),
        )
    },
    "environment:test": ("TestConnection",),
    "environment:override": ("UpdateEnvironmentObject",),
    **{
        f"package_indexes:{prefix}{page}": (f"{verb}PackageIndex",)
        for prefix in ("", "workspace_", "deployment_")
        for page, verb in (
            ("new", "Create"),
            ("index", "Update"),
            ("remove", "Delete"),
            ("test", "Test"),
        )
    },
    "object_stores:store": ("SetBucket",),
    "object_stores:test": ("TestBucket",),
    "object_stores:remove": ("RemoveBucket",),
    "airflow_imports:new": ("CreateImport", "CreateImportOfDump"),
    "airflow_imports:create": ("CreateDeploymentFromImport",),
    "airflow_imports:unpause": ("UnpauseImportedDags",),
    "airflow_imports:remove": ("DeleteImport",),
    "backups:list": ("CreateBackup",),
    "backups:remove": ("DeleteBackup",),
    "backups:remove_schedule": ("RemoveBackupSchedule",),
    "backups:restore": ("RestoreBackup",),
    "backups:restore_new": ("RestoreBackupAsNew",),
    "backups:schedule": ("SetBackupSchedule",),
    "backups:then_delete": ("BackUpAndDeleteDeployment",),
    "deployments:cluster_settings": (
        "PreviewClusterDeploymentSettings",
        "UpdateClusterDeploymentSettings",
    ),
    "deployments:organization_settings": (
        "PreviewOrganizationDeploymentSettings",
        "UpdateOrganizationDeploymentSettings",
    ),
    "deployments:workspace_settings": (
        "PreviewWorkspaceDeploymentSettings",
        "UpdateWorkspaceDeploymentSettings",
    ),
    **{
        f"bulk_actions:{prefix}{page}": (operation,)
        for prefix in ("", "workspace_")
        for page, operation in (("new", "CreateBulkAction"), ("action", "UpdateBulkAction"))
    },
    "moving:copy": ("CopyDeployment",),
    "moving:rename": ("UpdateDeployment",),
    "moving:transfer": ("TransferDeployment",),
    "objectives:new": ("SetObjective",),
    "objectives:objective": ("SetObjective",),
    "objectives:remove": ("RemoveObjective",),
    "status_pages:component": ("UpdateStatusComponent",),
    "status_pages:delete_component": ("DeleteStatusComponent",),
    "status_pages:discard": ("DiscardStatusDraft",),
    "status_pages:move_component": ("MoveStatusComponent",),
    "status_pages:new_component": ("CreateStatusComponent",),
    "status_pages:new_report": ("CreateStatusReport",),
    "status_pages:postmortem": ("SetStatusPostmortem",),
    "status_pages:remove_subscriber": ("RemoveStatusSubscriber",),
    "status_pages:report": ("PostStatusUpdate", "PostStatusDraft"),
    "status_pages:settings": ("UpdateStatusPage",),
    "status_pages:switch": ("SwitchStatusPage",),
    "upgrades:cancel": ("CancelUpgrade",),
    "upgrades:list": ("CheckUpgrade",),
    "upgrades:upgrade": ("ConfirmUpgrade",),
}
WITHOUT: dict[str, str] = {
    **dict.fromkeys(
        (
            "account_login",
            "airflow_access:airflow_role",
            "airflow_access:open_airflow",
            "organizations:invitation",
            "organizations:leave",
            "portal:setup",
            "sso:acs",
            "sso:bypass",
            "sso:confirm_at",
            "sso:link_by_mail",
            "sso:start",
            "idp:oidc:authorization",
            "idp:oidc:device_authorization",
        ),
        BY_BROWSER,
    ),
    **dict.fromkeys(
        (
            "accounts:end_others",
            "accounts:end_session",
            "accounts:profile",
            "api:end_program",
            "api:new_personal_token",
            "api:remove_personal_token",
        ),
        OWN_ACCOUNT,
    ),
    **dict.fromkeys(
        ("portal:digest", "portal:end_digest", "portal:pin_deployment", "portal:pin_workspace"),
        FOR_EYES,
    ),
    **dict.fromkeys(
        (
            "sso:approve_connection",
            "sso:change_domain",
            "sso:check_domain",
            "sso:delete_connection",
            "sso:edit_connection",
            "sso:groups",
            "sso:link",
            "sso:make_bypass_link",
            "sso:new_connection",
            "sso:overview",
            "sso:provisioning",
            "sso:revoke_token",
            "sso:switch_connection",
            "sso:test_connection",
            "sso:unlink",
            "sso:unmap",
            "organizations:member_account",
            # Another address or credential could send all secrets of Deployments elsewhere.
            "clusters:credential",
        ),
        SSO,
    ),
    **dict.fromkeys(("dags:act_on_run", "dags:act_on_task", "dags:pause", "dags:trigger"), AIRFLOW),
    **dict.fromkeys(
        (
            "api:airflow",
            "deploys:git_webhook",
            "registry:token",
            "sso:scim",
            "idp:oidc:device_code",
            "idp:oidc:revoke",
            "idp:oidc:token",
        ),
        OTHER_API,
    ),
    **dict.fromkeys(("deployments:discard", "deployments:edit_draft", "deployments:rebase"), DRAFT),
    **dict.fromkeys(("deploys:preview", "deploys:promotion"), PERSON_DECIDES),
    **dict.fromkeys(
        (
            "status_pages:confirm",
            "status_pages:subscribe",
            "status_pages:subscribe_receiver",
            "status_pages:subscription",
        ),
        VISITOR,
    ),
    **dict.fromkeys(("clusters:reconnect",), CLOUD),
    "clusters:reconnect": CLOUD,
    **dict.fromkeys(
        (
            "deployments:portal_settings",
            "releases:check",
            "releases:try_again",
        ),
        OPERATOR,
    ),
}
WITHOUT["organizations:verify_audit"] = "is a command of the operator, too"
# Whole apps, whose operations come with them.
APPS = {"webhooks": WEBHOOK}


def _changing() -> set[str]:
    """Name the pages that take a POST. Those of a workspace are like those of an organization."""
    posted = {name for name, row in TABLE.items() if row.post is not None}
    return {
        name.replace("alerts:workspace_", "alerts:")
        for name in posted
        if name.partition(":")[0] not in APPS
    }


def test_every_page_that_changes_something_has_an_operation_or_a_reason():
    known = WITH_OPERATION.keys() | WITHOUT.keys()

    missing, stale = sorted(_changing() - known), sorted(known - _changing())

    assert not missing, f"Name the operation, or the reason, for: {', '.join(missing)}"
    assert not stale, f"These pages are gone: {', '.join(stale)}"
    assert not WITH_OPERATION.keys() & WITHOUT.keys()


def test_every_operation_that_is_named_is_there():
    named = {one for operations in WITH_OPERATION.values() for one in operations}

    assert not named - OPERATIONS.keys()
