"""Which branches of a repository get Deployments of their own."""

from datetime import datetime
from typing import Any

from ninja import Path, Router

from apps.api.git.repositories import AtRepository, repository_found
from apps.api.wire.errors import or_404
from apps.api.wire.forms import check, fields_named
from apps.api.wire.gates import Call, on_workspace
from apps.api.wire.shapes import Profile, Shape, profile_of
from apps.core.public_ids import number_of, public_id
from apps.deployments.models import Deployment, Phase
from apps.deploys.branches.forms import BranchRuleForm
from apps.deploys.branches.services import live_deployments, remove_rule, set_rule
from apps.deploys.git.polling import CONNECT
from apps.deploys.models import BranchDeployment, BranchRule

router = Router(by_alias=True, exclude_none=True, tags=["Git"])
FIELDS = {
    "template": "templateDeploymentId",
    "path": "folder",
    "most": "mostDeployments",
}


class BranchDeploymentShape(Shape):
    branch: str
    deployment_id: str
    deployment_name: str
    ends_at: datetime


class BranchRuleChange(Shape):
    """Branches that match `pattern`, in which `*` stands for anything, get Deployments like the
    template: at most so many at a time, each for at most so many days.
    """

    pattern: str
    template_deployment_id: str
    folder: str = ""
    most_deployments: int = 3
    days: int = 7


class BranchRuleShape(BranchRuleChange):
    set_by: Profile
    last_error: str | None = None
    deployments: list[BranchDeploymentShape]


@router.get(
    "/organizations/{organizationId}/workspaces/{workspaceId}/git-repositories/{repositoryId}"
    "/branch-rule",
    auth=on_workspace(CONNECT),
    response=BranchRuleShape,
    operation_id="GetBranchRule",
    summary="Get which branches get Deployments of their own",
)
def get_rule(request: Call, at: Path[AtRepository]) -> Any:
    """404 where none do."""
    repository = repository_found(request, at.repository_id)
    rules = BranchRule.objects.filter(repository=repository)
    rule = or_404(rules.select_related("set_by", "template").first())
    return _shape(rule, request.caller.user)


@router.post(
    "/organizations/{organizationId}/workspaces/{workspaceId}/git-repositories/{repositoryId}"
    "/branch-rule",
    auth=on_workspace(CONNECT),
    response=BranchRuleShape,
    operation_id="SetBranchRule",
    summary="Give branches Deployments of their own",
)
def change_rule(request: Call, at: Path[AtRepository], body: BranchRuleChange) -> Any:
    user, repository = request.caller.user, repository_found(request, at.repository_id)
    templates = Deployment.objects.visible_to(user).filter(
        workspace=request.found, phase=Phase.ACTIVE, branch_deployment=None
    )
    form = BranchRuleForm(
        {
            "pattern": body.pattern,
            "template": number_of("deployment", body.template_deployment_id),
            "path": body.folder,
            "most": body.most_deployments,
            "days": body.days,
        },
        templates=templates,
        rule=None,
    )
    check(form, FIELDS)
    with fields_named(FIELDS):
        set_rule(actor=user, repository=repository, **form.cleaned_data)
    return get_rule(request, at)


@router.delete(
    "/organizations/{organizationId}/workspaces/{workspaceId}/git-repositories/{repositoryId}"
    "/branch-rule",
    auth=on_workspace(CONNECT),
    response={204: None},
    operation_id="RemoveBranchRule",
    summary="Stop it, and delete the Deployments that branches have",
)
def stop(request: Call, at: Path[AtRepository]) -> None:
    repository = repository_found(request, at.repository_id)
    remove_rule(actor=request.caller.user, repository=repository)


def _shape(rule: BranchRule, user: Any) -> BranchRuleShape:
    # Whoever connects repositories need not see every Deployment of the workspace.
    seen = set(Deployment.objects.visible_to(user).values_list("pk", flat=True))
    live = [one for one in live_deployments(rule) if one.deployment_id in seen]
    return BranchRuleShape(
        pattern=rule.pattern,
        template_deployment_id=public_id("deployment", rule.template_id),
        folder=rule.path,
        most_deployments=rule.most,
        days=rule.days,
        set_by=profile_of(rule.set_by),
        last_error=rule.last_error or None,
        deployments=[_deployment(one) for one in live],
    )


def _deployment(one: BranchDeployment) -> BranchDeploymentShape:
    return BranchDeploymentShape(
        branch=one.branch,
        deployment_id=public_id("deployment", one.deployment_id),
        deployment_name=one.deployment.name,
        ends_at=one.ends_at,
    )
