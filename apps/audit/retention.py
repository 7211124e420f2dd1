"""Deletes expired events from the beginning of each chain, and leaves the cut in the chain's row:
the rest still verifies. Each cut is explained by an event of the chain itself.
"""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from apps.audit.models import CUT, NO_ORGANIZATION, AuditChain, AuditEvent
from apps.audit.queries import events_in_chain
from apps.audit.services import record

logger = logging.getLogger(__name__)

# Changes of the organization wait while one batch is deleted.
BATCH = 5000


def forget_expired(*, now: datetime) -> int:
    """Delete events older than the retention and return how many; a retention of 0 keeps all."""
    if not settings.AUDIT_RETENTION_DAYS:
        return 0
    n_forgotten = 0
    for chain_id in AuditChain.objects.values_list("organization_id", flat=True):
        while n_batch := _forget(chain_id, now):
            n_forgotten += n_batch
    if n_forgotten:
        logger.info("audit events forgotten", extra={"events": n_forgotten})
    return n_forgotten


@transaction.atomic
def _forget(chain_id: int, now: datetime) -> int:
    chain = AuditChain.objects.select_for_update().get(pk=chain_id)
    cut = _last_expired(chain, now - timedelta(days=settings.AUDIT_RETENTION_DAYS))
    if cut is None or cut.sequence is None:
        return 0
    days = settings.AUDIT_RETENTION_DAYS
    # First the explanation, then the cut: the database refuses one without the other, and to delete
    # what the cut does not cover.
    record(
        action=CUT,
        actor=None,
        organization_id=None if chain.pk == NO_ORGANIZATION else chain.pk,
        target_kind="audit log",
        target_id=chain.pk,
        target_label="Audit log",
        changes={"up_to": cut.sequence, "hash": cut.hash, "retention_days": days},
    )
    chain.retention_days = days
    chain.forgotten_sequence = cut.sequence
    chain.forgotten_hash = cut.hash
    chain.forgotten_at = now
    moved = ["forgotten_sequence", "forgotten_hash", "forgotten_at", "retention_days"]
    chain.save(update_fields=moved)
    n_forgotten, _ = events_in_chain(chain).filter(sequence__lte=cut.sequence).delete()
    return n_forgotten


def _last_expired(chain: AuditChain, before: datetime) -> AuditEvent | None:
    """Find the last event before the first that stays: a chain loses its beginning, never a middle.

    Long transactions commit events out of the order of their times.
    """
    events = events_in_chain(chain).filter(sequence__lte=chain.forgotten_sequence + BATCH)
    first_kept = events.filter(at__gte=before).order_by("sequence").first()
    if first_kept is not None:
        events = events.filter(sequence__lt=first_kept.sequence)
    # Explanations alone would be replaced by new ones for ever.
    if not events.exclude(action=CUT).exists():
        return None
    return events.order_by("-sequence").first()
