"""Reads a chain from its cut to its end and reports the events that differ from what was written.

A rewrite of every event of a chain and of the chain's row cannot be detected: compare with an
export that is stored elsewhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings
from django.db import connection, transaction

from apps.audit.digests import digest_of, link_of
from apps.audit.models import CUT, NO_ORGANIZATION, AuditChain, AuditEvent
from apps.audit.queries import events_in_chain

CHUNK = 2000


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: `kind` is changed, removed, inserted or unexplained."""

    kind: str
    message: str


@dataclass(frozen=True)
class Verdict:
    organization_id: int | None
    chain: AuditChain
    findings: tuple[Finding, ...]


def verify_all(*, organization_id: int | None = None) -> list[Verdict]:
    """Verify every chain, or the one of an organization, as of one moment.

    Must be called outside a transaction; writers are not held up.
    """
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return [_verdict(chain) for chain in _chains(organization_id)]


def _chains(organization_id: int | None) -> list[AuditChain]:
    chains = {chain.pk: chain for chain in AuditChain.objects.order_by("pk")}
    # A chain without a row is one whose row was deleted.
    for found in AuditEvent.objects.values_list("organization_id", flat=True).distinct():
        key = NO_ORGANIZATION if found is None else found
        chains.setdefault(key, AuditChain(organization_id=key))
    return [chain for key, chain in sorted(chains.items()) if organization_id in (None, key)]


def _verdict(chain: AuditChain) -> Verdict:
    return Verdict(
        organization_id=None if chain.pk == NO_ORGANIZATION else chain.pk,
        chain=chain,
        findings=tuple(_findings(chain)),
    )


def _findings(chain: AuditChain) -> Iterator[Finding]:
    yield from _strangers(chain)
    yield from _unexplained_cuts(chain)
    expected, previous = chain.forgotten_sequence + 1, chain.forgotten_hash
    events = events_in_chain(chain).filter(
        sequence__gte=expected, sequence__lte=chain.last_sequence
    )
    for event in events.order_by("sequence").iterator(chunk_size=CHUNK):
        sequence = event.sequence or 0
        if sequence > expected:
            yield _removed(expected, sequence - 1)
        elif event.previous_hash != previous:
            yield _rewritten(sequence - 1, chain)
        if not _is_as_written(event):
            yield Finding("changed", f"Event {sequence} ({event.action}) was changed.")
        expected, previous = sequence + 1, event.hash
    if expected <= chain.last_sequence:
        yield _removed(expected, chain.last_sequence)
    elif previous != chain.last_hash:
        yield _rewritten(chain.last_sequence, chain)


def _unexplained_cuts(chain: AuditChain) -> Iterator[Finding]:
    """Find cuts without an event about them, and those shorter than the configured retention.

    All events of cuts that are still there are read: a later cut does not cover up an earlier one.
    """
    cuts = events_in_chain(chain).filter(action=CUT, sequence__gt=chain.forgotten_sequence)
    is_explained = chain.forgotten_sequence == 0
    for event in cuts.order_by("sequence"):
        up_to, days = event.changes.get("up_to"), event.changes.get("retention_days")
        if (up_to, event.changes.get("hash")) == (chain.forgotten_sequence, chain.forgotten_hash):
            is_explained = True
        if not _is_retention(days):
            yield Finding(
                "unexplained",
                f"Event {event.sequence} says that events up to {up_to} were deleted after {days} "
                f"days, but AUDIT_RETENTION_DAYS is {settings.AUDIT_RETENTION_DAYS} now. This is "
                "expected only if the retention was shorter then.",
            )
    if not is_explained:
        yield Finding(
            "unexplained",
            f"Events up to {chain.forgotten_sequence} were deleted, and no event explains it.",
        )


def _is_retention(days: object) -> bool:
    configured = settings.AUDIT_RETENTION_DAYS
    return isinstance(days, int) and 0 < configured <= days


def _strangers(chain: AuditChain) -> Iterator[Finding]:
    """Find events outside the chain, which cannot be written through the portal."""
    inside = {
        "sequence__gt": chain.forgotten_sequence,
        "sequence__lte": chain.last_sequence,
    }
    for event in events_in_chain(chain).exclude(sequence__isnull=False, **inside).order_by("pk"):
        name = "without a number" if event.sequence is None else str(event.sequence)
        yield Finding("inserted", f"Event {name} ({event.action}, row {event.pk}) was inserted.")


def _is_as_written(event: AuditEvent) -> bool:
    digest = digest_of(event)
    link = link_of(
        previous_hash=event.previous_hash, sequence=event.sequence or 0, digest=event.digest
    )
    return digest == event.digest and link == event.hash


def _removed(first: int, last: int) -> Finding:
    events = f"Event {first} was" if first == last else f"Events {first} to {last} were"
    return Finding("removed", f"{events} removed.")


def _rewritten(sequence: int, chain: AuditChain) -> Finding:
    """Attribute a broken link to the event before: the one after it holds the hash that it had."""
    if sequence == chain.forgotten_sequence:
        return Finding("changed", f"Event {sequence + 1} does not follow the cut of the chain.")
    return Finding("changed", f"Event {sequence} was replaced by another.")
