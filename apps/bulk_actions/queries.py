"""Which Deployments an action may be about, and how far one has come."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet

from apps.access.queries import ScopedQuerySet
from apps.accounts.models import User
from apps.bulk_actions.models import ActionState, BulkAction, ItemState
from apps.bulk_actions.services import MAY_STOP, Place
from apps.deployments.badge import GROUPS, status_expression
from apps.deployments.models import Deployment, Phase
from apps.organizations.models import Workspace

PARTS = ("wanted", "applied", "cluster", "workspace__organization")


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A filter as lists of Deployments have it in their address. Unknown values are ignored."""

    name: str = ""
    status: str = ""
    runtime: str = ""
    executor: str = ""

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> "Filter":
        status = query.get("status", "")
        return cls(
            name=query.get("q", "").replace("\x00", "").strip()[:100],
            status=status if status in GROUPS else "",
            runtime=query.get("runtime", "").replace("\x00", "")[:60],
            executor=query.get("executor", "").replace("\x00", "")[:20],
        )

    @property
    def is_narrow(self) -> bool:
        return any((self.name, self.status, self.runtime, self.executor))


def candidates(*, user: User, place: Place, wanted: Filter) -> QuerySet[Deployment]:
    """Return the Deployments of a place that the user sees and a filter finds, by name."""
    found: ScopedQuerySet[Deployment] = Deployment.objects.visible_to(user)
    found = found.filter(_here(place), phase=Phase.ACTIVE)
    if wanted.name:
        found = found.filter(name__icontains=wanted.name)
    if wanted.runtime:
        found = found.filter(wanted__config__runtime=wanted.runtime)
    if wanted.executor:
        found = found.filter(wanted__config__executor=wanted.executor)
    if wanted.status:
        of_status = Deployment.objects.alias(status=status_expression())
        found = found.filter(pk__in=of_status.filter(status=wanted.status).values("pk"))
    return found.select_related(*PARTS).order_by("workspace__name", "name", "pk")


def actions_of(*, user: User, place: Place) -> QuerySet[BulkAction]:
    """Return the actions for a place that the user may see, newest first: one's own, and those of
    others for whoever may stop them.
    """
    rows = BulkAction.objects.filter(_place(place)).select_related("actor")
    if not user.has_perm(MAY_STOP[type(place)], place):
        rows = rows.filter(actor=user)
    # A draft is for the eyes of whoever prepared it.
    rows = rows.filter(~Q(state=ActionState.DRAFT) | Q(actor=user))
    return rows.order_by("-pk")


def with_counts(rows: QuerySet[BulkAction]) -> QuerySet[BulkAction]:
    """Add how many Deployments there are, by state: `total`, `done`, `failed` and so on."""
    counts: dict[str, Any] = {
        str(state): Count("items", filter=Q(items__state=state)) for state in ItemState.values
    }
    counts["running_items"] = counts.pop("running")
    return rows.annotate(total=Count("items"), **counts)


def items_of(action: BulkAction, *, user: User) -> QuerySet[Any]:
    """Return the Deployments of an action in their order, as far as the user may see them."""
    rows = action.items.filter(deployment__in=Deployment.objects.visible_to(user))
    return rows.select_related("deployment__workspace", "operation", "upgrade").order_by("position")


def _here(place: Place) -> Q:
    return Q(workspace=place) if isinstance(place, Workspace) else Q(workspace__organization=place)


def _place(place: Place) -> Q:
    if isinstance(place, Workspace):
        return Q(workspace=place)
    return Q(organization=place, workspace=None)
