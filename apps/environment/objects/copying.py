"""What a new Deployment gets of the objects of another one. Secrets are sealed once more for it,
and never shown.
"""

from django.db import transaction

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.core.errors import Invalid
from apps.deployments.models import Deployment
from apps.environment.objects.models import EnvironmentLink, EnvironmentObject, Kind
from apps.environment.objects.queries import objects_of
from apps.environment.objects.sealing import seal, secret_of
from apps.environment.objects.services import MOST_OBJECTS
from apps.organizations.models import Workspace


@transaction.atomic
def copy_own_objects(*, actor: User, source: Deployment, target: Deployment) -> None:
    """Give a Deployment a copy of each object of another. Raises Invalid, with field "name", where
    its workspace would have too many, and SecretUnreadable.
    """
    workspace = Workspace.objects.select_for_update().get(pk=target.workspace_id)
    rows = list(objects_of(source).order_by("pk"))
    there = EnvironmentObject.objects.filter(workspace=workspace).count()
    if there + len(rows) > MOST_OBJECTS:
        raise Invalid(f"A workspace has at most {MOST_OBJECTS:,} connections and variables.")
    for row in rows:
        copy = EnvironmentObject(
            workspace=workspace,
            deployment=target,
            kind=row.kind,
            name=row.name,
            description=row.description,
            is_secret=row.is_secret,
            plain=row.plain,
            created_by=actor,
            updated_by=actor,
        )
        seal(copy, secret_of(row))
        copy.save(force_insert=True)
        label = Kind(row.kind).label.lower()
        record_on(
            action="environment_object.created",
            actor=actor,
            on=target,
            changes={
                "object": [label, label],
                "name": [None, row.name],
                "copied from": [None, source.name],
            },
        )


@transaction.atomic
def copy_links(*, actor: User, source: Deployment, target: Deployment) -> None:
    """Link a Deployment as another one of its workspace: with the same objects, exclusions and
    overrides. Raises SecretUnreadable.
    """
    Workspace.objects.select_for_update().get(pk=source.workspace_id)
    links = EnvironmentLink.objects.filter(deployment=source).select_related("source")
    for link in links.order_by("pk"):
        copy = EnvironmentLink(
            source=link.source,
            deployment=target,
            is_excluded=link.is_excluded,
            plain=link.plain,
        )
        seal(copy, secret_of(link))
        copy.save(force_insert=True)
    if links:
        names = ", ".join(sorted(link.source.name for link in links)[:20])
        record_on(
            action="environment_object.linked",
            actor=actor,
            on=target,
            changes={"linked as": [None, source.name], "objects": [None, names]},
        )
