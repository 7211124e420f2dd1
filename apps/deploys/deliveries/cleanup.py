"""Daily cleanup of code archives and locks of packages that no Deployment can roll back to."""

import logging
from datetime import datetime, timedelta

from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.db.models import Q, QuerySet

from apps.deployments.models import Phase, Revision
from apps.deployments.reconciling.compiler import (
    CODE_FOLDER,
    PACKAGES_FOLDER,
    code_name,
    lock_name,
)
from apps.deploys.models import UNDER_WAY, Deploy, Preview, PreviewState, Promotion

logger = logging.getLogger(__name__)

# An archive is stored before its deploy is recorded.
ARCHIVES_LAST = timedelta(days=1)
WAITING = (PreviewState.CHECKING, PreviewState.READY, PreviewState.FAILED)
# Any number that no other advisory lock uses.
_LOCK = 7_203_118


def remove_unused_archives(*, now: datetime) -> int:
    """Remove old archives that no existing Deployment refers to. Returns how many."""
    names = [*_stored(CODE_FOLDER), *_stored(PACKAGES_FOLDER)]
    old = [name for name in names if _is_old(name, now)]
    n_removed = _remove_unused(old) if old else 0
    if n_removed:
        logger.info("unused code removed", extra={"archives": n_removed})
    return n_removed


def _stored(folder: str) -> list[str]:
    if not default_storage.exists(folder):
        return []
    _, files = default_storage.listdir(folder)
    return [f"{folder}/{file}" for file in files]


def hold_archives() -> None:
    """Block the removal of archives until the transaction ends, which will refer to one."""
    _lock("pg_advisory_xact_lock_shared")


@transaction.atomic
def _remove_unused(names: list[str]) -> int:
    _lock("pg_advisory_xact_lock")
    gone = Q(deployment__phase=Phase.DELETED)
    used = set()
    for rows, code in (
        # What waits for approval stays, although the Deployment that ran it is deleted.
        (Deploy.objects.filter(pk__in=_asked_for()), "digest"),
        (Deploy.objects.exclude(gone), "digest"),
        (Revision.objects.exclude(gone), "code_digest"),
        (Preview.objects.exclude(gone).filter(state__in=WAITING), "digest"),
    ):
        for digest, packages in rows.values_list(code, "packages_digest").distinct():
            used |= {code_name(digest), lock_name(packages)}
    unused = set(names) - used
    for name in unused:
        default_storage.delete(name)
    return len(unused)


def _asked_for() -> QuerySet[Promotion, int | None]:
    promotions = Promotion.objects.filter(state__in=UNDER_WAY)
    return promotions.exclude(deployment__phase=Phase.DELETED).values_list("source", flat=True)


def _is_old(name: str, now: datetime) -> bool:
    try:
        return default_storage.get_modified_time(name) < now - ARCHIVES_LAST
    except FileNotFoundError:
        return False


def _lock(function: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [_LOCK])
