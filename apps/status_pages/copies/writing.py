"""Writing copies: when something changed, and every minute, into rows and into a folder.

One process writes, by an advisory lock. A page that cannot be written must not keep the others from
being written. A page for members is never written into the folder, which others serve.
"""

import logging
import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q

from apps.status_pages.copies.content import content_of
from apps.status_pages.copies.files import File, files_of, packed
from apps.status_pages.copies.models import Copy
from apps.status_pages.setup.models import StatusPage

logger = logging.getLogger(__name__)

EVERY = timedelta(minutes=1)
MARKER = ".written-by-astro-portal"
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('portal.status-copies'))"


def write_due(*, now: datetime) -> int:
    """Write the copies of pages that changed or are a minute old; return how many."""
    due = StatusPage.objects.filter(
        Q(copy=None) | Q(copy__built_at__lte=now - EVERY) | Q(copy__built_at__lt=F("changed_at")),
        is_on=True,
    )
    count = 0
    for page in due.order_by("pk"):
        try:
            count += write_copy(page=page, now=now)
        except (ArithmeticError, LookupError, OSError, TypeError, ValueError):
            logger.exception("status page not written", extra={"status_page": page.pk})
    return count


@transaction.atomic
def write_copy(*, page: StatusPage, now: datetime) -> bool:
    """Write the copy of a page; return False when another process is at it."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK)
        row = cursor.fetchone()
    if not row or not row[0]:
        return False
    content = content_of(page, now=now)
    files = files_of(content, takes_subscriptions=True)
    Copy.objects.update_or_create(page=page, defaults={"built_at": now, "packed": packed(files)})
    if page.is_public:
        write_folder(page.address, files)
    return True


def forget_copies(**_now: datetime) -> None:
    """Delete the copies of pages that are off, and the folders of those that are not public."""
    Copy.objects.filter(page__is_on=False).delete()
    root = folder()
    if root is None or not root.is_dir():
        return
    public = StatusPage.objects.filter(is_on=True, audience=StatusPage.Audience.PUBLIC)
    kept = set(public.values_list("address", flat=True))
    for path in root.iterdir():
        # What others put there is not touched.
        if path.name not in kept and (path / MARKER).exists():
            shutil.rmtree(path, ignore_errors=True)


def folder() -> Path | None:
    """Return where copies are written for another server, None where the operator wants none."""
    return Path(settings.STATUS_FOLDER) if settings.STATUS_FOLDER else None


def write_folder(address: str, files: Mapping[str, File]) -> None:
    """Write files below the folder, each by a rename, so that a reader never finds half of one."""
    root = folder()
    if root is None:
        return
    place = root / address
    for name, file in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.new")
        beside.write_text(file.text, encoding="utf-8", newline="")
        beside.replace(path)
    with suppress(FileExistsError):
        (place / MARKER).touch(exist_ok=False)
