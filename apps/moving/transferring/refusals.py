"""Why a Deployment cannot go to a workspace as things are. Each sentence says what to do first."""

from collections.abc import Iterator

from apps.clusters.queries import clusters_for
from apps.deployments.configuration.requested import over_quota
from apps.deployments.editing.revisions import UNSETTLED
from apps.deployments.models import Deployment, OperationState, Phase
from apps.deploys.models import BranchDeployment, BranchRule, GitSource
from apps.organizations.models import Workspace


def refusals(*, deployment: Deployment, workspace: Workspace) -> list[str]:
    """Return what stands in the way; empty where nothing does. Needs `wanted` and `cluster`."""
    return [*_of_state(deployment), *_of_place(deployment, workspace), *_of_git(deployment)]


def _of_state(deployment: Deployment) -> Iterator[str]:
    name, wanted = deployment.name, deployment.wanted
    if deployment.phase != Phase.ACTIVE:
        yield f"{name} is being deleted."
    is_running = deployment.operations.filter(state=OperationState.RUNNING).exists()
    if is_running or (wanted is not None and wanted.state in UNSETTLED):
        yield f"A change of {name} is being applied. Transfer it when that has ended."


def _of_place(deployment: Deployment, workspace: Workspace) -> Iterator[str]:
    name = deployment.name
    if workspace.pk == deployment.workspace_id:
        yield f"{name} is in {workspace} already. Choose another workspace."
        return
    if not clusters_for(workspace=workspace).filter(pk=deployment.cluster_id).exists():
        yield (
            f"{workspace} may not use the cluster {deployment.cluster}, on which {name} runs and "
            "stays. Someone who manages clusters can allow it."
        )
    if passed := over_quota(workspace, joining=deployment):
        yield passed[1]
    here = Deployment.objects.filter(workspace=workspace).exclude(phase=Phase.DELETED)
    if here.filter(name__iexact=name).exists():
        yield f"{workspace} already has a Deployment called {name}. Rename one of them first."


def _of_git(deployment: Deployment) -> Iterator[str]:
    name = deployment.name
    source = GitSource.objects.filter(deployment=deployment).select_related("repository").first()
    preview = BranchDeployment.objects.filter(deployment=deployment).first()
    if preview is not None:
        yield f"{name} is the preview of the branch {preview.branch} and ends with it."
    elif source is not None:
        yield (
            f"{name} follows the branch {source.branch} of {source.repository}, which "
            f"{deployment.workspace} has connected. Disconnect it first, and connect the "
            "repository in the other workspace."
        )
    rule = BranchRule.objects.filter(template=deployment).select_related("repository").first()
    if rule is not None:
        yield (
            f"Previews of the branches {rule.pattern} of {rule.repository} are made after {name}. "
            "Give them another template first."
        )
