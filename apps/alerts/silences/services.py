"""Beginning and ending silences."""

from datetime import datetime

from django.db import transaction

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.alerts.silences.models import Silence


@transaction.atomic
def begin_silence(*, actor: User, silence: Silence) -> Silence:
    """Create a silence."""
    silence.created_by = actor
    silence.save()
    words = f"{silence.begins_at:%Y-%m-%d %H:%M} to {silence.ends_at:%Y-%m-%d %H:%M} UTC"
    changes = {"silence": [None, words], "reason": [None, silence.reason]}
    record_on(action="alert_silence.created", actor=actor, on=silence.place, changes=changes)
    return silence


@transaction.atomic
def end_silence(*, actor: User, silence: Silence, now: datetime) -> None:
    """End a silence now; one that never began is gone, too."""
    silence.ended_at = now
    silence.save(update_fields=["ended_at"])
    changes = {"silence": [silence.reason or "no reason", "ended"]}
    record_on(action="alert_silence.ended", actor=actor, on=silence.place, changes=changes)
