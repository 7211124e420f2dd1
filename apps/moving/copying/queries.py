"""What a copy of a Deployment would get, without any value that is secret."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Q

from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.deployments.configuration.changes import Change, changes
from apps.deployments.models import Deployment
from apps.deploys.models import Deploy
from apps.deploys.promotion.queries import SEE, running_deploy
from apps.environment.delivery.effective import effective_objects
from apps.moving.copying.services import CREATE
from apps.organizations.models import Workspace

LEFT_OUT = (
    "The metadata database: runs, and what was entered in Airflow itself",
    "Backups and their schedule, and the schedules of hibernation",
    "The branch of a git repository that it follows",
    "Roles of people and Teams on it, and its API tokens",
    "Objectives, and alert rules and silences for it alone",
)


def workspaces_to_copy_to(*, user: User, source: Deployment) -> list[Workspace]:
    """List the workspaces of its organization that the user may create Deployments in, its own
    first.
    """
    found = Workspace.objects.allowing(user, CREATE)
    found = found.filter(organization=source.workspace.organization_id).order_by("name", "pk")
    return sorted(
        found.select_related("organization"), key=lambda one: one.pk != source.workspace_id
    )


def clusters_to_copy_to(*, source: Deployment, workspaces: Sequence[Workspace]) -> list[Cluster]:
    """List the clusters that any of these workspaces may use, that of the Deployment first."""
    there = Cluster.objects.there().filter(organization=source.workspace.organization_id)
    usable = Q(is_for_all_workspaces=True) | Q(workspaces__in=workspaces)
    found = there.filter(usable).distinct().order_by("name", "pk")
    return sorted(found, key=lambda one: one.pk != source.cluster_id)


def configuration_in_words(source: Deployment) -> tuple[Change, ...]:
    """Return what the copy is configured with, line by line. Secrets stay hidden."""
    revision = source.applied or source.wanted
    return changes(None, revision.configuration) if revision else ()


def code_to_copy(*, user: User, source: Deployment) -> Deploy | None:
    """Return the deploy that runs, if the user may see it."""
    return running_deploy(source) if user.has_perm(SEE, source) else None


def objects_to_copy(source: Deployment) -> list[dict[str, Any]]:
    """List what reaches the Deployment of connections and variables, by name and kind."""
    return [
        {"name": one.source.name, "kind": one.source.get_kind_display(), "is_own": one.is_own}
        for one in effective_objects(source)
    ]
