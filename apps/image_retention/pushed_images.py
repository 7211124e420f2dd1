"""The daily sweep of the portal's own registry: images that were pushed for a Deployment, and that
nothing names.

pushed ─► nothing names it ─► PushedImage ─ the days of the setting ─► manifest deleted

What nothing names any more is noted in a row, because the age that an image claims is whatever its
builder wrote. A Deployment that is deleted takes its repository with it at once. The registry frees
the room when it collects its garbage.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.deployments.models import Deployment, Phase
from apps.deployments.secrets.pulling import repository_of
from apps.image_retention.usage import awaited_tags, named_images
from apps.own_images.repositories import PushedManifest, Repository, RepositoryFailed
from apps.registry.models import PushedImage
from apps.registry.signing import Access, signed_token

logger = logging.getLogger(__name__)

# A registry that was away for longer keeps the images of what was deleted meanwhile.
GONE_LASTS = timedelta(days=30)
# Of one day's work; the next one begins elsewhere.
MOST_SECONDS = 600


@dataclass(frozen=True)
class _Unused:
    """What may go of a repository. `kept` are digests of what is used, also below an index."""

    manifests: dict[str, PushedManifest]
    kept: frozenset[str]


def remove_pushed_images(*, now: datetime) -> int:
    """Remove from the portal's registry what nothing needs. Returns how many images."""
    if not settings.REGISTRY:
        return 0
    ends_at, count = time.monotonic() + MOST_SECONDS, 0
    try:
        for deployment in _with_repositories(now):
            if time.monotonic() > ends_at:
                break
            count += _sweep(deployment, now)
    except RepositoryFailed as error:
        # What hinders one repository hinders the others.
        logger.warning("pushed images not removed: %s", error.message)
    if count:
        logger.info("pushed images removed", extra={"images": count})
    return count


def _with_repositories(now: datetime) -> Iterator[Deployment]:
    gone = Q(phase=Phase.DELETED, deleted_at__gt=now - GONE_LASTS)
    found: QuerySet[Deployment] = Deployment.objects.filter(gone | ~Q(phase=Phase.DELETED))
    return found.order_by("?").iterator()


def _sweep(deployment: Deployment, now: datetime) -> int:
    repository = _repository(deployment)
    unused = _unused(deployment, repository)
    rows = PushedImage.objects.filter(deployment=deployment)
    rows.exclude(digest__in=unused.manifests).delete()
    known = set(rows.values_list("digest", flat=True))
    PushedImage.objects.bulk_create(
        [
            PushedImage(deployment=deployment, digest=digest, unused_since=now)
            for digest in unused.manifests.keys() - known
        ]
    )
    count = 0
    for row in _due(deployment, now):
        count += _remove(row, repository, unused)
    return count


def _unused(deployment: Deployment, repository: Repository) -> _Unused:
    waiting = awaited_tags(deployment)
    found = {tag: repository.manifest(tag) for tag in repository.tags()}
    there = {tag: one for tag, one in found.items() if one is not None}
    named = named_images({digest for one in there.values() for digest in one.digests})
    is_used = {
        tag: tag in waiting or not named.isdisjoint(one.digests) for tag, one in there.items()
    }
    used = {one.digest for tag, one in there.items() if is_used[tag]}
    kept = {digest for one in there.values() if one.digest in used for digest in one.digests}
    manifests = {one.digest: one for one in there.values() if one.digest not in kept}
    return _Unused(manifests=manifests, kept=frozenset(kept | named))


def _due(deployment: Deployment, now: datetime) -> QuerySet[PushedImage]:
    rows = PushedImage.objects.filter(deployment=deployment).order_by("unused_since")
    if deployment.phase == Phase.DELETED:
        return rows
    days = settings.REGISTRY_IMAGE_DAYS
    return rows.filter(unused_since__lte=now - timedelta(days=days)) if days else rows.none()


@transaction.atomic
def _remove(row: PushedImage, repository: Repository, unused: _Unused) -> bool:
    """Remove one image, while no revision of its Deployment can be made that names it."""
    Deployment.objects.select_for_update().get(pk=row.deployment_id)
    manifest = unused.manifests[row.digest]
    if named_images(set(manifest.digests)):
        row.delete()
        return False
    try:
        for digest in manifest.digests:
            if digest not in unused.kept:
                repository.delete(digest)
    except RepositoryFailed as error:
        _note(row, error.message)
        return False
    row.delete()
    return True


def _note(row: PushedImage, message: str) -> None:
    row.removal_error = message[:500]
    row.save(update_fields=["removal_error"])


def _repository(deployment: Deployment) -> Repository:
    path = repository_of(deployment.ref)
    return Repository(path, sign=partial(_token, path))


def _token(path: str) -> str:
    access = [Access(path, ("pull", "delete"))]
    return signed_token(subject="portal", access=access, now=timezone.now())
