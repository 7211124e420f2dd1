"""Daily cleanup of code archives that no Deployment can roll back to."""

import logging
from datetime import datetime, timedelta

from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.db.models import Q

from apps.deployments.models import Phase, Revision
from apps.deployments.reconciling.compiler import CODE_FOLDER, code_name
from apps.deploys.models import Deploy

logger = logging.getLogger(__name__)

# An archive is stored before its deploy is recorded.
ARCHIVES_LAST = timedelta(days=1)
# Any number that no other advisory lock uses.
_LOCK = 7_203_118


def remove_unused_archives(*, now: datetime) -> int:
    """Remove old archives that no existing Deployment refers to. Returns how many."""
    if not default_storage.exists(CODE_FOLDER):
        return 0
    _, files = default_storage.listdir(CODE_FOLDER)
    names = [f"{CODE_FOLDER}/{file}" for file in files]
    old = [name for name in names if _is_old(name, now)]
    n_removed = _remove_unused(old) if old else 0
    if n_removed:
        logger.info("unused code removed", extra={"archives": n_removed})
    return n_removed


def hold_archives() -> None:
    """Block the removal of archives until the transaction ends, which will refer to one."""
    _lock("pg_advisory_xact_lock_shared")


@transaction.atomic
def _remove_unused(names: list[str]) -> int:
    _lock("pg_advisory_xact_lock")
    gone = Q(deployment__phase=Phase.DELETED)
    digests = {
        *Deploy.objects.exclude(gone).values_list("digest", flat=True).distinct(),
        *Revision.objects.exclude(gone).values_list("code_digest", flat=True).distinct(),
    }
    unused = set(names) - {code_name(digest) for digest in digests}
    for name in unused:
        default_storage.delete(name)
    return len(unused)


def _is_old(name: str, now: datetime) -> bool:
    try:
        return default_storage.get_modified_time(name) < now - ARCHIVES_LAST
    except FileNotFoundError:
        return False


def _lock(function: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [_LOCK])
