"""Reads about environment objects of a workspace."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, Prefetch, QuerySet

from apps.deployments.models import Deployment, Phase
from apps.environment.objects.models import EnvironmentLink, EnvironmentObject
from apps.organizations.models import Workspace


@dataclass(frozen=True)
class Wanted:
    """A search of the list, as the address has it."""

    text: str = ""
    kind: str = ""
    deployment: str = ""
    linked: str = ""

    @property
    def is_narrow(self) -> bool:
        return any((self.text, self.kind, self.deployment, self.linked))


def objects_of(place: Workspace | Deployment) -> QuerySet[EnvironmentObject]:
    """Return the objects that belong to exactly this place."""
    if isinstance(place, Deployment):
        return EnvironmentObject.objects.filter(deployment=place)
    return EnvironmentObject.objects.filter(workspace=place, deployment=None)


def deployments_in(workspace: Workspace) -> QuerySet[Deployment]:
    """Return the Deployments that objects of a workspace can be linked to."""
    here = Deployment.objects.filter(workspace=workspace, phase=Phase.ACTIVE)
    return here.order_by("name", "pk")


def listed(workspace: Workspace, wanted: Wanted) -> QuerySet[EnvironmentObject]:
    """Return the objects of a workspace that a search finds, by name, with `all_links`."""
    links = EnvironmentLink.objects.select_related("deployment").order_by("deployment__name")
    rows = objects_of(workspace).select_related("updated_by")
    rows = rows.prefetch_related(Prefetch("links", queryset=links, to_attr="all_links"))
    if wanted.kind:
        rows = rows.filter(kind=wanted.kind)
    if wanted.text:
        by_name = rows.filter(name__icontains=wanted.text)
        rows = by_name | rows.filter(plain__type__icontains=wanted.text)
    return _narrowed(rows, wanted).order_by("name", "kind", "pk")


def _narrowed(rows: QuerySet[EnvironmentObject], wanted: Wanted) -> QuerySet[EnvironmentObject]:
    link = EnvironmentLink.objects.filter(source=OuterRef("pk"))
    if wanted.deployment:
        here = link.filter(deployment__ref=wanted.deployment)
        by_all = rows.filter(links_all=True).exclude(Exists(here.filter(is_excluded=True)))
        rows = by_all | rows.filter(Exists(here.filter(is_excluded=False)))
    if wanted.linked == "all":
        rows = rows.filter(links_all=True)
    elif wanted.linked:
        is_some = Exists(link.filter(is_excluded=False))
        rows = rows.filter(is_some if wanted.linked == "some" else ~is_some, links_all=False)
    return rows


def link_words(row: Any, total: int) -> tuple[str, str]:
    """Say where an object of `listed` is linked to: in short, and by name."""
    linked = [link for link in row.all_links if not link.is_excluded]
    excluded = [link for link in row.all_links if link.is_excluded]
    if row.links_all and not excluded:
        return f"All {total} Deployments" if total != 1 else "The one Deployment", ""
    if row.links_all:
        names = _names([link.deployment.name for link in excluded])
        return f"{total - len(excluded)} of {total}", f"all but {names}"
    if not linked:
        return "None", ""
    return f"{len(linked)} of {total}", _names([link.deployment.name for link in linked])


def _names(names: list[str]) -> str:
    if len(names) <= 3:
        return ", ".join(names)
    return f"{', '.join(names[:2])} and {len(names) - 2} more"
