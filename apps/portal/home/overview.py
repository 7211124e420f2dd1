"""Reads of Home and of an organization's overview: the same, of everything a person may see or of
one organization. Each function is one query, however many rows there are.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, Count, IntegerField, Min, Q, QuerySet, When

from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.deployments.badge import GROUPS, DisplayStatus, display_status, status_expression
from apps.deployments.models import Deployment, Operation, OperationState, Phase
from apps.organizations.models import Organization, Workspace
from apps.portal.models import Pin

CALM = ("progress", "healthy", "hibernating")
HAS_DRIFT = Q(observation__drift__0__isnull=False)
OPERATION_TONES = {
    OperationState.RUNNING: "move",
    OperationState.SUCCEEDED: "good",
    OperationState.FAILED: "bad",
    OperationState.SUPERSEDED: "idle",
}


@dataclass(frozen=True, kw_only=True)
class DeploymentRow:
    """A Deployment with its badge, and how many of its objects were changed outside the portal."""

    deployment: Deployment
    status: DisplayStatus
    drift_count: int

    @property
    def ref(self) -> str:
        return self.deployment.ref


@dataclass(frozen=True, kw_only=True)
class WorkspaceRow:
    workspace: Workspace
    deployment_count: int
    attention_count: int


@dataclass(frozen=True, kw_only=True)
class Change:
    """An operation with its tone."""

    operation: Operation
    tone: str


def deployments_seen(*, user: User, organization: Organization | None) -> QuerySet[Any]:
    """List the Deployments a person may see, of one organization or of all, each with the `group`
    of its status.
    """
    seen: QuerySet[Any] = Deployment.objects.visible_to(user).exclude(phase=Phase.DELETED)
    if organization is not None:
        seen = seen.filter(workspace__organization=organization)
    with_group: QuerySet[Any] = seen.annotate(group=status_expression())
    return with_group


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many Deployments there are, by the group of their status and by their runtime, and the
    ref of one that has it.
    """

    by_status: dict[str, int]
    by_runtime: dict[str, tuple[int, str]]


def tally_of(seen: QuerySet[Any]) -> Tally:
    """Count Deployments. One query."""
    rows = seen.order_by().values_list("group", "applied__config__runtime")
    by_status: dict[str, int] = defaultdict(int)
    by_runtime: dict[str, tuple[int, str]] = {}
    for group, runtime, count, ref in rows.annotate(count=Count("pk"), first=Min("ref")):
        by_status[group] += count
        if runtime:
            known, first = by_runtime.get(runtime, (0, ref))
            by_runtime[runtime] = (known + count, min(first, ref))
    return Tally(by_status=dict(by_status), by_runtime=by_runtime)


def in_order_of_attention(seen: QuerySet[Any]) -> QuerySet[Any]:
    """Order Deployments as the list of a workspace does, with what their rows show."""
    place = Case(
        *(When(group=group, then=number) for number, group in enumerate(GROUPS)),
        output_field=IntegerField(),
    )
    related = ("workspace__organization", "cluster", "wanted__created_by", "applied")
    return seen.select_related(*related).order_by(place, "name", "pk")


def needing_attention(seen: QuerySet[Any]) -> QuerySet[Any]:
    """Keep what failed, is not healthy, cannot be seen, has incidents that are not silenced, or was
    changed outside the portal.
    """
    return seen.filter(~Q(group__in=CALM) | HAS_DRIFT | Q(open_incidents__gt=0))


def rows_of(deployments: Iterable[Deployment]) -> list[DeploymentRow]:
    """Give each Deployment its badge. No query."""
    return [
        DeploymentRow(
            deployment=one,
            status=display_status(one),
            drift_count=len(one.observation.get("drift") or ()),
        )
        for one in deployments
    ]


def recent_changes(*, user: User, organization: Organization | None, limit: int) -> list[Change]:
    """List the last operations on Deployments a person may see: each revision, deploy, rollback
    and deletion is one.
    """
    # Of Deployments that were deleted, too: that is a change as well.
    seen = Deployment.objects.visible_to(user)
    if organization is not None:
        seen = seen.filter(workspace__organization=organization)
    found = Operation.objects.filter(deployment__in=seen.values("pk"))
    found = found.select_related("actor", "deployment__workspace").order_by("-pk")[:limit]
    return [Change(operation=one, tone=OPERATION_TONES[OperationState(one.state)]) for one in found]


def workspace_rows(workspaces: Sequence[Workspace], *, seen: QuerySet[Any]) -> list[WorkspaceRow]:
    """Count the Deployments of some workspaces, among those that are seen."""
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    found = seen.filter(workspace__in=workspaces).order_by().values_list("workspace", "group")
    for pk, group, count in found.annotate(count=Count("pk")):
        counts[pk][group] = count
    return [
        WorkspaceRow(
            workspace=one,
            deployment_count=sum(counts[one.pk].values()),
            attention_count=sum(
                count for group, count in counts[one.pk].items() if group not in CALM
            ),
        )
        for one in workspaces
    ]


def recent_deployments(ids: Sequence[int], *, seen: QuerySet[Any]) -> list[DeploymentRow]:
    """Return the Deployments with these ids that are still seen, in this order."""
    found = {one.pk: one for one in in_order_of_attention(seen.filter(pk__in=ids))}
    return rows_of(found[pk] for pk in ids if pk in found)


@dataclass(frozen=True, kw_only=True)
class Pins:
    """What a person pinned and may still see, in the order of pinning."""

    deployments: list[DeploymentRow]
    workspaces: list[Workspace]

    @property
    def deployment_ids(self) -> set[int]:
        return {row.deployment.pk for row in self.deployments}

    @property
    def workspace_ids(self) -> set[int]:
        return {one.pk for one in self.workspaces}


def pins_of(*, user: User, limit: int) -> Pins:
    """Return what a person pinned."""
    deployments = Deployment.objects.visible_to(user).exclude(phase=Phase.DELETED)
    workspaces = Workspace.objects.visible_to(user)
    pins = Pin.objects.filter(
        Q(deployment__in=deployments.values("pk")) | Q(workspace__in=workspaces.values("pk")),
        user=user,
    ).select_related(
        "workspace__organization",
        "deployment__workspace__organization",
        "deployment__cluster",
        "deployment__wanted",
        "deployment__applied",
    )
    found = list(pins.order_by("created_at", "pk")[:limit])
    return Pins(
        deployments=rows_of(pin.deployment for pin in found if pin.deployment is not None),
        workspaces=[pin.workspace for pin in found if pin.workspace is not None],
    )


def clusters_seen(*, user: User, organization: Organization | None) -> QuerySet[Any]:
    """List the clusters a person may see, those that do not answer first."""
    seen = Cluster.objects.there().allowing(user, "organization.clusters.view")
    if organization is not None:
        seen = seen.filter(organization=organization)
    return seen.select_related("organization").order_by("unreachable_since", "name")
