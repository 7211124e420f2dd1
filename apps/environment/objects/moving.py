"""What becomes of connections and variables when a Deployment goes to another workspace: its own go
along, those of the old workspace no longer reach it, and those that the new one links to all do.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.core.errors import Invalid
from apps.deployments.models import Deployment
from apps.environment.objects.models import EnvironmentLink, EnvironmentObject
from apps.environment.objects.queries import objects_of
from apps.environment.objects.services import MOST_OBJECTS, note_delivery
from apps.organizations.models import Workspace


@dataclass(frozen=True, kw_only=True)
class SharedChanges:
    """Objects of workspaces by name and kind. Of `replaced`, the new workspace has one with the
    same name and kind, whose value may differ.
    """

    lost: tuple[EnvironmentObject, ...]
    replaced: tuple[EnvironmentObject, ...]
    gained: tuple[EnvironmentObject, ...]

    @property
    def has_environment(self) -> bool:
        """Whether an environment variable is among them, a change of which restarts processes."""
        every = (*self.lost, *self.replaced, *self.gained)
        return any(one.kind == "environment" for one in every)


def shared_changes(*, deployment: Deployment, workspace: Workspace) -> SharedChanges:
    """Return what the move of a Deployment changes of that which workspaces share. Four queries."""
    own = {(one.kind, one.name) for one in objects_of(deployment)}
    before = _shared(_linked_here(deployment), own)
    after = _shared(objects_of(workspace).filter(links_all=True), own)
    return SharedChanges(
        lost=tuple(one for key, one in before.items() if key not in after),
        replaced=tuple(one for key, one in after.items() if key in before),
        gained=tuple(one for key, one in after.items() if key not in before),
    )


@transaction.atomic
def move_objects(*, actor: User, deployment: Deployment, before: Workspace) -> None:
    """Let the objects of a Deployment, which is in another workspace than `before` now, follow it.
    Both workspaces are locked by the caller. Raises Invalid where there would be too many.
    """
    workspace = deployment.workspace
    own = objects_of(deployment)
    there = EnvironmentObject.objects.filter(workspace=workspace).count()
    if there + own.count() > MOST_OBJECTS:
        raise Invalid(
            f"{workspace} would have more than {MOST_OBJECTS:,} connections and variables."
        )
    own.update(workspace=workspace)
    links = EnvironmentLink.objects.filter(deployment=deployment)
    names = sorted(links.values_list("source__name", flat=True))
    if names:
        links.delete()
        record_on(
            action="environment_object.unlinked",
            actor=actor,
            on=deployment,
            changes={"objects": [", ".join(names[:20]), None], "workspace": [str(before), None]},
        )
    note_delivery([deployment.pk])


def _linked_here(deployment: Deployment) -> Iterable[EnvironmentObject]:
    links = {link.source_id: link for link in deployment.environment_links.all()}
    for one in objects_of(deployment.workspace):
        link = links.get(one.pk)
        if (one.links_all and link is None) or (link is not None and not link.is_excluded):
            yield one


def _shared(
    rows: Iterable[EnvironmentObject], own: set[tuple[str, str]]
) -> dict[tuple[str, str], EnvironmentObject]:
    """Leave out what an object of the Deployment itself stands before."""
    found = {(one.kind, one.name): one for one in rows}
    return {key: found[key] for key in sorted(found) if key not in own}
