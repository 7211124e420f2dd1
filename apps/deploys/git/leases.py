"""Which repository is looked at when, by one job at a time.

A due repository is reserved for its hint, then claimed by the job that does it. A job that is
killed holds its lease until that ends; a lost hint costs `HINT`. No host is asked by more than
`AT_ONCE_PER_HOST` jobs at a time, and all hosts together by no more than the setting allows: a
worker has few processes, and a server that hangs must not take them all.
"""

import random
import uuid
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Case, F, Q, When
from django.db.models.functions import Now

from apps.deployments.models import Phase
from apps.deploys.models import GitRepository

AT_ONCE_PER_HOST = 2
LEASE, HINT = timedelta(seconds=290), timedelta(seconds=30)
BUSY_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 1800.0
# Any number that no other advisory lock uses.
_LOCK = 7_203_119


@transaction.atomic
def take_due() -> list[int]:
    """Return ids of due repositories, as many as may begin now, and reserve them for a while."""
    busy = GitRepository.objects.filter(lease_until__gt=Now()).count()
    free = settings.GIT_JOBS - busy
    if free <= 0:
        return []
    due = GitRepository.objects.filter(_is_free(), next_poll_at__lte=Now()).order_by("next_poll_at")
    chosen = list(due.select_for_update(skip_locked=True).values_list("pk", flat=True)[:free])
    GitRepository.objects.filter(pk__in=chosen).update(next_poll_at=Now() + HINT)
    return chosen


@transaction.atomic
def claim(repository_id: int) -> GitRepository | None:
    """Take the lease of a repository; None if another job has it, or too many are at work. Then it
    is due again soon.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    row = GitRepository.objects.filter(_is_free(), pk=repository_id).first()
    if row is None:
        return None
    at_work = GitRepository.objects.filter(lease_until__gt=Now())
    is_full = at_work.count() >= settings.GIT_JOBS
    if is_full or at_work.filter(host=row.host).count() >= AT_ONCE_PER_HOST:
        _due_in(row, BUSY_SECONDS)
        return None
    token = uuid.uuid4()
    GitRepository.objects.filter(pk=row.pk).update(
        lease_token=token, lease_until=Now() + LEASE, next_poll_at=Now() + LEASE
    )
    row.lease_token = token
    return row


def release(repository: GitRepository, *, error: str = "", soon: bool = False) -> None:
    """Give the lease back and set when to look again: later after each failure, and a little at
    random, so that not all are due at once. `soon` is for a commit that waits. What was made due
    in the meantime stays so: a push may have come just after the look.
    """
    failures = min(repository.failures + 1, 100) if error else 0
    wait = BUSY_SECONDS * 2 if soon and not error else wait_seconds(failures)
    mine = GitRepository.objects.filter(pk=repository.pk, lease_token=repository.lease_token)
    mine.update(
        lease_token=None,
        lease_until=None,
        polled_at=Now(),
        failures=failures,
        last_error=error[:500],
        next_poll_at=_next(wait) if _is_followed(repository) else None,
    )


def make_due(repository: GitRepository) -> None:
    """Let a repository be looked at now. A failure before does not delay it."""
    GitRepository.objects.filter(pk=repository.pk).update(next_poll_at=Now(), failures=0)


def wait_seconds(failures: int) -> float:
    """Return the seconds until the next look after this many failures in a row: a little less than
    the setting, because the next sweep and the look itself come on top.
    """
    wait = settings.GIT_POLL_SECONDS * 2.0 ** min(failures, 10)
    longest = max(LONGEST_WAIT_SECONDS, settings.GIT_POLL_SECONDS)
    return min(wait, longest) * random.uniform(0.8, 0.9)  # noqa: S311 - spreads load


def _next(wait: float) -> Case:
    is_asked_for = When(next_poll_at__lt=F("lease_until"), then=Now())
    return Case(is_asked_for, default=Now() + timedelta(seconds=wait))


def _is_free() -> Q:
    return Q(lease_until=None) | Q(lease_until__lte=Now())


def _is_followed(repository: GitRepository) -> bool:
    return repository.sources.filter(deployment__phase=Phase.ACTIVE).exists()


def _due_in(repository: GitRepository, seconds: float) -> None:
    rows = GitRepository.objects.filter(pk=repository.pk)
    rows.update(next_poll_at=Now() + timedelta(seconds=seconds))
