"""Renew the tokens of service accounts before they end: one new token for a cluster, whatever the
number of processes, because it is stored as the one before it was.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from django.db.models import Q

from apps.clusters.connections.planes import allowed_networks, plane_for
from apps.clusters.connections.sealed import opened_connection, seal_credential
from apps.clusters.models import Cluster
from apps.dataplane.base import DataPlane
from apps.dataplane.errors import DataPlaneError, Unreachable
from apps.dataplane.kubernetes.api.errors import CredentialRefused
from apps.dataplane.kubernetes.registration.token_renewal import account_token

logger = logging.getLogger(__name__)
MOST_AT_ONCE = 100
THREADS = 8
SHORTEST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)


@runtime_checkable
class RenewsToken(Protocol):
    """A data plane that can ask for the next token of its own account."""

    def renewed_token(self) -> str: ...


def renew_tokens(*, now: datetime) -> int:
    """Renew every token that is due, and return how many were.

    While that fails, the page of the cluster, the morning page and an incident tell when the
    credential ends, as of one that nothing renews. Clusters that are away are asked later.
    """
    due = Cluster.objects.there().filter(
        Q(blind_until=None) | Q(blind_until__lte=now), renew_token_at__lte=now
    )
    rows = list(due.order_by("renew_token_at")[:MOST_AT_ONCE])
    planes = [(row, plane) for row in rows if (plane := _plane(row)) is not None]
    with ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="token-renewal") as pool:
        answers = list(pool.map(_ask, (plane for _, plane in planes)))
    pairs = zip((row for row, _ in planes), answers, strict=True)
    return sum(_store(row, answer, now=now) for row, answer in pairs)


def renewal_of(token: str, *, now: datetime) -> dict[str, Any]:
    """Return the columns of a row with a new token: it is renewed at once, to see if it can be."""
    found = account_token(token) if token else None
    return {
        "token_ends_at": found.ends_at if found else None,
        "renew_token_at": now if found else None,
    }


def _plane(row: Cluster) -> RenewsToken | None:
    try:
        plane: DataPlane = plane_for(row)
    except DataPlaneError:
        return None
    return plane if isinstance(plane, RenewsToken) else None


def _ask(plane: RenewsToken) -> str | DataPlaneError:
    try:
        return plane.renewed_token()
    except DataPlaneError as error:
        return error


def _store(row: Cluster, answer: str | DataPlaneError, *, now: datetime) -> bool:
    # A credential that a person replaced meanwhile stays.
    same = Cluster.objects.there().filter(pk=row.pk, connection_version=row.connection_version)
    if isinstance(answer, DataPlaneError):
        same.update(**_failed(row, answer, now=now))
        logger.warning("token not renewed", extra={"cluster": row.pk, "reason": answer.message})
        return False
    new = account_token(answer)
    if new is None:
        return False
    connection = opened_connection(row, networks=allowed_networks())
    seal_credential(row, connection.with_token(answer))
    is_stored = same.update(
        credential=row.credential,
        credential_expires_at=None,
        token_ends_at=new.ends_at,
        renew_token_at=max(new.renew_at, now + SHORTEST_PAUSE),
        connection_version=row.connection_version + 1,
    )
    if is_stored:
        logger.info("token renewed", extra={"cluster": row.pk})
    return bool(is_stored)


def _failed(row: Cluster, error: DataPlaneError, *, now: datetime) -> dict[str, Any]:
    ends_at = row.token_ends_at or now
    pause = min(max((ends_at - now) / 6, SHORTEST_PAUSE), LONGEST_PAUSE)
    columns: dict[str, Any] = {"renew_token_at": now + (LONGEST_PAUSE if ends_at <= now else pause)}
    is_away = isinstance(error, Unreachable) and not isinstance(error, CredentialRefused)
    if not is_away or ends_at - now <= LONGEST_PAUSE:
        columns["credential_expires_at"] = ends_at
    return columns
