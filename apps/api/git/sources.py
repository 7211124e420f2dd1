"""What a Deployment takes from git, and who else may deploy to it."""

from datetime import datetime
from typing import Any

from django.db import transaction
from ninja import Path, Router

from apps.api.deployments.shapes import AtDeployment
from apps.api.wire.errors import or_404
from apps.api.wire.forms import check, fields_named
from apps.api.wire.gates import Call, on_deployment, on_workspace
from apps.api.wire.shapes import AtWorkspace, Profile, Shape, profile_of
from apps.core.public_ids import number_of, public_id
from apps.deployments.models import Deployment
from apps.deploys.deliveries import enforcement
from apps.deploys.git import services, tasks
from apps.deploys.git.pages.forms import SourceForm
from apps.deploys.git.polling import CONNECT, DELIVER
from apps.deploys.git.queries import repositories_of, source_of
from apps.deploys.models import GitSource
from apps.deploys.promotion import rules
from apps.organizations.models import Workspace

router = Router(by_alias=True, exclude_none=True, tags=["Git"])
SEE = "deployment.deploys.view"
FIELDS = {"repository": "repositoryId", "path": "folder"}


class SourceShape(Shape):
    """`commit` is the one that was judged last; `notice` says what became of it, `lastError` what
    went wrong.
    """

    repository_id: str
    repository_url: str
    branch: str
    folder: str
    commit: str | None = None
    notice: str | None = None
    last_error: str | None = None
    set_by: Profile
    set_at: datetime


class SourceChange(Shape):
    """An empty `folder` is all of the repository."""

    repository_id: str
    branch: str = "main"
    folder: str = ""


class DeployRules(Shape):
    """True or false as decided for the Deployment; null where its workspace decides, which
    `isCicdEnforcedDefault` and `needsApprovalDefault` say.
    """

    is_cicd_enforced: bool | None = None
    needs_approval: bool | None = None


class WorkspaceDeployRules(Shape):
    is_cicd_enforced: bool
    needs_approval: bool


class DeployRulesShape(DeployRules):
    is_cicd_enforced_default: bool
    needs_approval_default: bool


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/git-source",
    auth=on_deployment(SEE),
    response=SourceShape,
    operation_id="GetGitSource",
    summary="Get the branch that a Deployment follows",
)
def get_source(request: Call, at: Path[AtDeployment]) -> Any:
    """404 where it follows none."""
    found = or_404(source_of(request.found))
    return _shape(found)


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/git-source",
    auth=on_deployment(CONNECT),
    response=SourceShape,
    operation_id="SetGitSource",
    summary="Let a Deployment follow a branch",
)
def set_source(request: Call, at: Path[AtDeployment], body: SourceChange) -> Any:
    """The newest commit is deployed at once, and each later one that changes the folder."""
    deployment: Deployment = request.found
    form = SourceForm(
        {
            "repository": number_of("repository", body.repository_id),
            "branch": body.branch,
            "path": body.folder,
        },
        repositories=repositories_of(workspace=deployment.workspace),
        source=None,
    )
    check(form, FIELDS)
    with fields_named(FIELDS):
        services.set_source(actor=request.caller.user, deployment=deployment, **form.cleaned_data)
    return get_source(request, at)


@router.delete(
    "/organizations/{organizationId}/deployments/{deploymentId}/git-source",
    auth=on_deployment(CONNECT),
    response={204: None},
    operation_id="DisconnectGitSource",
    summary="Let a Deployment no longer follow a branch. What runs stays",
)
def remove_source(request: Call, at: Path[AtDeployment]) -> None:
    services.disconnect(actor=request.caller.user, deployment=request.found)


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/git-source/look",
    auth=on_deployment(DELIVER),
    response={204: None},
    operation_id="LookAtGitSource",
    summary="Look for new commits of the branch now",
)
def look(request: Call, at: Path[AtDeployment]) -> None:
    found = or_404(source_of(request.found))
    tasks.look_now(found.repository)


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/deploy-rules",
    auth=on_deployment(SEE),
    response=DeployRulesShape,
    operation_id="GetDeployRules",
    summary="Get whether people may deploy, and whether promotions need approval",
)
def get_rules(request: Call, at: Path[AtDeployment]) -> Any:
    return _rules(request.found)


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/deploy-rules",
    auth=on_deployment("deployment.update"),
    response=DeployRulesShape,
    operation_id="UpdateDeployRules",
    summary="Decide whether people may deploy, and whether promotions need approval",
)
def change_rules(request: Call, at: Path[AtDeployment], body: DeployRules) -> Any:
    """What is left out stays as it is; null lets the workspace decide."""
    told: dict[str, Any] = {"actor": request.caller.user, "deployment": request.found}
    with transaction.atomic():
        if "is_cicd_enforced" in body.model_fields_set:
            enforcement.set_for_deployment(**told, is_on=body.is_cicd_enforced)
        if "needs_approval" in body.model_fields_set:
            rules.set_approval(**told, is_on=body.needs_approval)
    return _rules(request.found)


@router.get(
    "/organizations/{organizationId}/workspaces/{workspaceId}/deploy-rules",
    auth=on_workspace("workspace.view"),
    response=WorkspaceDeployRules,
    operation_id="GetWorkspaceDeployRules",
    summary="Get the deploy rules of Deployments that have none of their own",
)
def get_defaults(request: Call, at: Path[AtWorkspace]) -> Any:
    workspace: Workspace = request.found
    return WorkspaceDeployRules(
        is_cicd_enforced=enforcement.default_of(workspace),
        needs_approval=rules.default_approval_of(workspace),
    )


@router.post(
    "/organizations/{organizationId}/workspaces/{workspaceId}/deploy-rules",
    auth=on_workspace("workspace.update"),
    response=WorkspaceDeployRules,
    operation_id="UpdateWorkspaceDeployRules",
    summary="Change the deploy rules of Deployments that have none of their own",
)
def change_defaults(request: Call, at: Path[AtWorkspace], body: WorkspaceDeployRules) -> Any:
    told: dict[str, Any] = {"actor": request.caller.user, "workspace": request.found}
    with transaction.atomic():
        enforcement.set_default(**told, is_on=body.is_cicd_enforced)
        rules.set_default_approval(**told, is_on=body.needs_approval)
    return get_defaults(request, at)


def _rules(deployment: Deployment) -> DeployRulesShape:
    is_enforced, enforced_default = enforcement.enforcement_of(deployment)
    needs, needs_default = rules.approval_of(deployment)
    return DeployRulesShape(
        is_cicd_enforced=is_enforced,
        is_cicd_enforced_default=enforced_default,
        needs_approval=needs,
        needs_approval_default=needs_default,
    )


def _shape(source: GitSource) -> SourceShape:
    return SourceShape(
        repository_id=public_id("repository", source.repository_id),
        repository_url=source.repository.url,
        branch=source.branch,
        folder=source.path,
        commit=source.commit or None,
        notice=source.notice or None,
        last_error=source.last_error or None,
        set_by=profile_of(source.set_by),
        set_at=source.set_at,
    )
