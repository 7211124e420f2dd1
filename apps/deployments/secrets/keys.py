"""The encryption keys of all sealed rows: which are needed, and moving to the current one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter, methodcaller
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Func

from apps.accounts.two_factor import adapter as second_factors
from apps.clusters.models import SEALED, Cluster, FormerDatabaseServer, KeptSecret
from apps.core.encryption.crypto import KeyRing, SecretUnreadable, key_id_of
from apps.core.encryption.keys import key_ring
from apps.deployments.models import Deployment, SecretValue
from apps.deployments.secrets import sealed
from apps.sso.models import SSOConnection

BATCH = 500
# A sealed value begins with its version, the length of its key id and the key id.
_HEADER = "substring(%(expressions)s from 1 for 2 + get_byte(%(expressions)s, 1))"


@dataclass(frozen=True)
class SealedColumn:
    """A column of sealed values, and what each is bound to: `identity` of its row, which is read
    from `needs`, besides the primary key.
    """

    model: Any
    field: str
    identity: Callable[[Any], str]
    needs: tuple[str, ...] = ()

    def rows(self) -> models.QuerySet[Any]:
        rows: models.QuerySet[Any] = self.model.objects.exclude(**{self.field: None})
        for name in self.needs:
            if "__" in name:
                rows = rows.select_related(name.partition("__")[0])
        return rows.only("pk", self.field, *self.needs).order_by("pk")


def sealed_in(model: Any, field: str, *needs: str) -> SealedColumn:
    """Return a column whose rows have an `identity` for each of their sealed fields."""
    return SealedColumn(model, field, methodcaller("identity", field), needs)


# Apps above this one add theirs when they are ready.
SEALED_COLUMNS = [
    SealedColumn(SecretValue, "sealed", attrgetter("identity")),
    SealedColumn(Deployment, "airflow_secrets", lambda row: sealed.airflow_identity(row.pk)),
    *(sealed_in(Cluster, field, "portal_id") for field in SEALED),
    *(sealed_in(SSOConnection, field, "key") for field in ("client_secret", "encryption_key")),
    SealedColumn(
        FormerDatabaseServer,
        "password",
        attrgetter("identity"),
        ("host", "port", "cluster__portal_id"),
    ),
    SealedColumn(KeptSecret, "sealed", attrgetter("identity")),
]


def key_problems() -> list[str]:
    """Return messages about sealed values that the key ring cannot open. One per key is tried."""
    ring: KeyRing | None = settings.ENCRYPTION_KEYS
    if ring is None:
        return [
            "PORTAL_ENCRYPTION_KEYS is not set: secrets can be neither read nor written without it."
        ]
    found = [problem for column in SEALED_COLUMNS for problem in _problems_of(column, ring)]
    unreadable = second_factors.unreadable_key_ids(ring=ring)
    return found + [_problem(key_id, ring) for key_id in unreadable]


def rewrap_all() -> int:
    """Seal every data key with the current key and return how many rows that took.

    Safe to repeat and to interrupt: what is done stays done. Raises SecretUnreadable.
    """
    ring = key_ring()
    return sum(_rewrap(column, ring) for column in SEALED_COLUMNS) + second_factors.rewrap(
        ring=ring
    )


def _problems_of(column: SealedColumn, ring: KeyRing) -> Iterator[str]:
    header = Func(F(column.field), template=_HEADER, output_field=models.BinaryField())
    rows = column.rows().annotate(header=header)
    for found in rows.order_by().values_list("header", flat=True).distinct():
        row = rows.filter(header=found).last()
        if row is None:
            continue
        value = bytes(getattr(row, column.field))
        try:
            ring.open(sealed=value, identity=column.identity(row))
        except SecretUnreadable:
            yield _problem(key_id_of(value), ring)


def _problem(key_id: str, ring: KeyRing) -> str:
    if key_id not in ring.keys:
        return f"Secrets need the encryption key “{key_id}”, which is not in the key ring."
    return (
        f"The encryption key “{key_id}” in the key ring is not the one that the secrets were "
        "encrypted with."
    )


def _rewrap(column: SealedColumn, ring: KeyRing) -> int:
    """Go through the rows by key, a batch at a time, so that no lock is held for long."""
    n_rewrapped, last = 0, None
    while True:
        rows = column.rows() if last is None else column.rows().filter(pk__gt=last)
        batch = list(rows[:BATCH])
        if not batch:
            return n_rewrapped
        n_rewrapped += sum(_rewrap_row(column, row, ring) for row in batch)
        last = batch[-1].pk


def _rewrap_row(column: SealedColumn, row: Any, ring: KeyRing) -> int:
    before = bytes(getattr(row, column.field))
    after = ring.rewrap(sealed=before, identity=column.identity(row))
    if after == before:
        return 0
    # A row that was deleted or written in the meantime is left alone.
    unchanged = column.model.objects.filter(pk=row.pk, **{column.field: before})
    return int(unchanged.update(**{column.field: after}))
