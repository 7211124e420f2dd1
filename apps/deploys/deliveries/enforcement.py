"""CI/CD enforcement: where it is on, code comes from API tokens and git alone, not from people.

Rolling back stays possible: it brings nothing new. The rule is asked where code is delivered, so it
holds for every page and every API.
"""

from collections.abc import Iterable

from django.db import transaction
from django.db.models import Q

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User, UserKind
from apps.core.errors import Refused
from apps.deployments.models import Deployment
from apps.deploys.models import Enforcement
from apps.organizations.models import Workspace


class DeployedByAutomation(Refused):
    """People may not deliver code to this Deployment."""


def is_enforced(deployment: Deployment) -> bool:
    """Return whether people may not deliver code: what the Deployment has, else its workspace."""
    own, default = enforcement_of(deployment)
    return default if own is None else own


def enforcement_of(deployment: Deployment) -> tuple[bool | None, bool]:
    """Return what was decided for the Deployment, None where nothing was, and the default of its
    workspace. One query.
    """
    here = Q(deployment=deployment) | Q(workspace=deployment.workspace_id)
    rows: dict[int | None, bool] = dict(
        Enforcement.objects.filter(here).values_list("deployment", "is_on")
    )
    return rows.get(deployment.pk), rows.get(None, False)


def default_of(workspace: Workspace) -> bool:
    """Return whether the Deployments of a workspace are enforced, unless they say otherwise."""
    return Enforcement.objects.filter(workspace=workspace, is_on=True).exists()


def enforced_by_default(workspaces: Iterable[Workspace]) -> set[int]:
    """Return the ids of those workspaces whose Deployments are enforced, in one query."""
    rows = Enforcement.objects.filter(workspace__in=list(workspaces), is_on=True)
    return set(rows.values_list("workspace", flat=True))


def ensure_may_deliver(*, actor: User | None, deployment: Deployment) -> None:
    """Raise DeployedByAutomation for a person where enforcement is on; no actor means git."""
    is_person = actor is not None and actor.kind == UserKind.PERSON
    if is_person and is_enforced(deployment):
        raise DeployedByAutomation(
            f"Only API tokens and git may deploy to {deployment.name}, because CI/CD enforcement "
            "is on. Push to its branch, or let a pipeline deploy with an API token."
        )


@transaction.atomic
def set_default(*, actor: User, workspace: Workspace, is_on: bool) -> None:
    """Set the default of a workspace; it counts at once wherever nothing else was decided."""
    before = default_of(workspace)
    if before == is_on:
        return
    Enforcement.objects.update_or_create(workspace=workspace, defaults={"is_on": is_on})
    _record(actor, workspace, before, is_on)


@transaction.atomic
def set_for_deployment(*, actor: User, deployment: Deployment, is_on: bool | None) -> None:
    """Decide for one Deployment; None returns to the default of its workspace."""
    before, _ = enforcement_of(deployment)
    if before == is_on:
        return
    if is_on is None:
        Enforcement.objects.filter(deployment=deployment).delete()
    else:
        Enforcement.objects.update_or_create(deployment=deployment, defaults={"is_on": is_on})
    _record(actor, deployment, before, is_on)


def _record(
    actor: User, on: Workspace | Deployment, before: bool | None, after: bool | None
) -> None:
    words = {True: "on", False: "off", None: "default of the workspace"}
    changes = {"CI/CD enforcement": [words[before], words[after]]}
    action = f"{type(on).access_scope}.enforcement_changed"
    record_on(action=action, actor=actor, on=on, changes=changes)
