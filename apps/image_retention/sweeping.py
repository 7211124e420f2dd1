"""The daily sweep: note what nothing names any more, and remove what was so for a week.

named ◀──▶ unused_since ── a week ──▶ removed from the registry ──▶ its row is deleted

A removal holds the lock of the row until the registry has answered, and a check that wants the
image waits for it (`hold_project_image`): then it finds none, and builds it again.
"""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import transaction

from apps.clusters.connections.planes import plane_for
from apps.clusters.models import Cluster, ProjectImage
from apps.dataplane.base import SupportsImageRemoval
from apps.dataplane.errors import DataPlaneError
from apps.image_retention.usage import named_locks

logger = logging.getLogger(__name__)

UNUSED_LASTS = timedelta(days=7)


def remove_unused_images(*, now: datetime) -> int:
    """Remove from the registries of clusters what nothing needs. Returns how many images."""
    clusters = Cluster.objects.filter(kind=Cluster.Kind.KUBERNETES, removed_at=None)
    used = clusters.exclude(project_images=None).distinct()
    return sum(_sweep(cluster, now) for cluster in used)


def _sweep(cluster: Cluster, now: datetime) -> int:
    _note_usage(cluster, now)
    count = 0
    for image_id in list(_due(cluster, now)):
        if not _remove(cluster, image_id, now):
            # What hinders one hinders the others of this registry.
            break
        count += 1
    if count:
        logger.info("unused images removed", extra={"cluster": cluster.pk, "images": count})
    return count


def _note_usage(cluster: Cluster, now: datetime) -> None:
    rows, named = ProjectImage.objects.filter(cluster=cluster), named_locks(cluster)
    used = rows.filter(packages_digest__in=named)
    used.exclude(unused_since=None).update(unused_since=None, removal_error="")
    rows.exclude(packages_digest__in=named).filter(unused_since=None).update(unused_since=now)


def _due(cluster: Cluster, now: datetime) -> Iterator[int]:
    rows = ProjectImage.objects.filter(cluster=cluster, unused_since__lt=now - UNUSED_LASTS)
    return rows.order_by("unused_since").values_list("pk", flat=True).iterator()


@transaction.atomic
def _remove(cluster: Cluster, image_id: int, now: datetime) -> bool:
    """Remove one image; False where the registry did not. One that is used again stays."""
    rows = ProjectImage.objects.select_for_update()
    row = rows.filter(pk=image_id, unused_since__lt=now - UNUSED_LASTS).first()
    if row is None or row.packages_digest in named_locks(cluster):
        return True
    try:
        _remove_from_registry(cluster, row)
    except DataPlaneError as error:
        row.removal_error = error.message[:500]
        row.save(update_fields=["removal_error"])
        return False
    row.delete()
    return True


def _remove_from_registry(cluster: Cluster, row: ProjectImage) -> None:
    """Leave what another cluster has from the same registry, and what is in an earlier one."""
    repository = row.image.partition("@")[0]
    is_shared = ProjectImage.objects.filter(image=row.image).exclude(pk=row.pk).exists()
    plane = plane_for(cluster)
    if is_shared or repository != cluster.registry_repository:
        return
    if isinstance(plane, SupportsImageRemoval):
        plane.remove_image(image=row.image)
