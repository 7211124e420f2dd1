"""What a transfer would change, for whoever decides about it. Names of people and of what a
workspace shares are there for those alone who may see them in both workspaces.
"""

from dataclasses import dataclass

from apps.accounts.models import User
from apps.alerts.rules.models import Rule
from apps.deployments.layering.services import changed_by_move
from apps.deployments.models import Deployment
from apps.deploys.deliveries import enforcement
from apps.deploys.promotion import rules
from apps.environment.objects.moving import SharedChanges, shared_changes
from apps.moving.transferring.access import AccessChanges, access_changes
from apps.moving.transferring.refusals import refusals
from apps.moving.transferring.services import CREATE
from apps.organizations.models import Workspace
from apps.package_indexes.models import PackageIndex


@dataclass(frozen=True, kw_only=True)
class Preview:
    """`refusals` are sentences; with one of them nothing is transferred. `settings` are label,
    before and after. `notes` say what else counts afterwards. `shows_people` and `shows_objects`
    are whether the viewer may see those of both workspaces.
    """

    refusals: tuple[str, ...]
    access: AccessChanges
    objects: SharedChanges
    settings: tuple[tuple[str, str, str], ...]
    alert_rules: tuple[str, ...]
    notes: tuple[str, ...]
    shows_people: bool
    shows_objects: bool

    @property
    def restarts(self) -> bool:
        """Whether components are started anew, workers when their tasks have ended."""
        return bool(self.settings) or self.objects.has_environment


def workspaces_to_transfer_to(*, user: User, deployment: Deployment) -> list[Workspace]:
    """List the other workspaces of the organization that the user may create Deployments in; none
    where the user may not do so in that of the Deployment.
    """
    if not user.has_perm(CREATE, deployment.workspace):
        return []
    found = Workspace.objects.allowing(user, CREATE).exclude(pk=deployment.workspace_id)
    found = found.filter(organization=deployment.workspace.organization_id)
    return list(found.select_related("organization").order_by("name", "pk"))


def preview_transfer(*, user: User, deployment: Deployment, workspace: Workspace) -> Preview:
    """Return what the transfer would change. About forty queries, most about people."""
    both = (deployment.workspace, workspace)
    alone = Rule.objects.filter(workspace=deployment.workspace_id, deployment=deployment)
    return Preview(
        refusals=tuple(refusals(deployment=deployment, workspace=workspace)),
        access=access_changes(deployment=deployment, workspace=workspace),
        objects=shared_changes(deployment=deployment, workspace=workspace),
        settings=changed_by_move(deployment=deployment, workspace=workspace),
        alert_rules=tuple(alone.order_by("name").values_list("name", flat=True)),
        notes=tuple(_notes(deployment, workspace)),
        shows_people=all(user.has_perm("workspace.members.view", one) for one in both),
        shows_objects=all(user.has_perm("workspace.environment.view", one) for one in both),
    )


def _notes(deployment: Deployment, workspace: Workspace) -> list[str]:
    notes = [
        f"Alert rules, silences and webhooks of {workspace} hold for it, those of "
        f"{deployment.workspace} no longer."
    ]
    own, default = enforcement.enforcement_of(deployment)
    there = enforcement.default_of(workspace)
    if own is None and default != there:
        notes.append(
            "Only API tokens and git may deploy to it."
            if there
            else "People may deploy to it by hand, too: CI/CD enforcement is off there."
        )
    own, default = rules.approval_of(deployment)
    there = rules.default_approval_of(workspace)
    if own is None and default != there:
        notes.append(f"Promotions to it {'need' if there else 'no longer need'} approval.")
    if PackageIndex.objects.filter(workspace__in=(deployment.workspace, workspace)).exists():
        notes.append(
            f"Packages are looked for in the indexes of {workspace} from the next deploy on, no "
            f"longer in those of {deployment.workspace}."
        )
    return notes
