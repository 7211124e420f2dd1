"""What an import would do, and doing it: all that is ticked, or nothing."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from django.db import transaction

from apps.accounts.models import User
from apps.core.encryption.crypto import SecretUnreadable
from apps.core.errors import Invalid
from apps.environment.importing.formats import Entry
from apps.environment.objects.connection_types import type_called
from apps.environment.objects.models import EnvironmentObject, Kind
from apps.environment.objects.queries import deployments_in, objects_of
from apps.environment.objects.sealing import whole
from apps.environment.objects.services import ObjectData, Place, create_object, update_object
from apps.environment.objects.values import checked_name, checked_value, names_in, parted
from apps.organizations.models import Workspace

What = Literal["new", "changed", "same", "refused"]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An entry beside what is there. `reason` says why it is refused; `key` names it in a form."""

    entry: Entry
    what: What
    reason: str = ""
    found: EnvironmentObject | None = None

    @property
    def key(self) -> str:
        return f"{self.entry.kind}:{self.entry.name}"

    @property
    def is_offered(self) -> bool:
        return self.what in ("new", "changed")


def preview(*, place: Place, entries: Collection[Entry]) -> list[Candidate]:
    """Compare entries with the objects of exactly this place. One query."""
    there = {(one.kind, one.name): one for one in objects_of(place)}
    return [_candidate(one, there) for one in entries]


@transaction.atomic
def import_objects(
    *,
    actor: User,
    place: Place,
    entries: Collection[Entry],
    chosen: Collection[str],
    is_secret: bool = True,
    links_all: bool = False,
) -> int:
    """Create and change those of the entries that are chosen by their `key`; return how many. What
    is there keeps its links; a new variable is a secret unless `is_secret` is False, and one that
    is there stays what it is. Raises Invalid, and imports nothing then.
    """
    candidates = preview(place=place, entries=entries)
    wanted = [one for one in candidates if one.is_offered and one.key in chosen]
    if not wanted:
        raise Invalid("Tick at least one that is new or changed.", field="chosen")
    for one in wanted:
        try:
            _write(actor, place, one, is_secret=is_secret, links_all=links_all)
        except Invalid as error:
            raise Invalid(f"{one.entry.name}: {error.message}", field="chosen") from error
    return len(wanted)


def _write(actor: User, place: Place, one: Candidate, *, is_secret: bool, links_all: bool) -> None:
    entry, found = one.entry, one.found
    if found is None:
        everyone = frozenset[int]()
        if links_all and isinstance(place, Workspace):
            everyone = frozenset(deployments_in(place).values_list("pk", flat=True))
        data = ObjectData(
            name=entry.name,
            value=entry.value,
            description=entry.description[:500],
            is_secret=is_secret and entry.kind != Kind.CONNECTION,
            links_all=links_all,
            linked=everyone,
        )
        create_object(actor=actor, place=place, kind=entry.kind, data=data)
        return
    data = ObjectData(
        name=found.name,
        value=entry.value,
        description=entry.description[:500] or found.description,
        is_secret=found.is_secret,
        links_all=found.links_all,
        forgotten=frozenset(found.secret_fields) - set(_secret_names(entry)),
    )
    update_object(actor=actor, found=found, data=data)


def _candidate(entry: Entry, there: dict[tuple[str, str], EnvironmentObject]) -> Candidate:
    if entry.problem:
        return Candidate(entry=entry, what="refused", reason=entry.problem)
    try:
        name = checked_name(entry.kind, entry.name)
        value = checked_value(entry.kind, entry.value)
        if entry.kind == Kind.CONNECTION and not value.get("type"):
            raise Invalid("It has no type.")
    except Invalid as error:
        return Candidate(entry=entry, what="refused", reason=error.message)
    found = there.get((entry.kind, name))
    if found is None:
        return Candidate(entry=entry, what="new")
    return Candidate(entry=entry, what="same" if _is_same(found, value) else "changed", found=found)


def _is_same(found: EnvironmentObject, value: dict[str, object]) -> bool:
    try:
        return whole(found) == value
    except SecretUnreadable:
        return False


def _secret_names(entry: Entry) -> list[str]:
    """Name the fields of an entry that are stored as secrets."""
    shown = type_called(str(entry.value.get("type", ""))).shown_extra
    _, secret = parted(entry.kind, entry.value, is_secret=True, shown_extra=shown)
    return names_in(secret)
