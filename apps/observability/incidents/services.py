"""What people do with an incident. It closes by itself, never by hand."""

from datetime import datetime, timedelta

from django.db import transaction

from apps.accounts.models import User
from apps.audit.services import record
from apps.core.errors import Conflict
from apps.observability.incidents.evaluation import count_open
from apps.observability.incidents.models import Incident, IncidentEvent

What = IncidentEvent.What


@transaction.atomic
def acknowledge(*, actor: User, incident_id: int, note: str, now: datetime) -> Incident:
    """Say that a person looks after an open incident. Raises Conflict when it has closed."""
    incident = _locked(incident_id)
    incident.acknowledged_by, incident.acknowledged_at = actor, now
    incident.save(update_fields=["acknowledged_by", "acknowledged_at"])
    _tell(incident, What.ACKNOWLEDGED, actor, note, now)
    return incident


@transaction.atomic
def silence(
    *, actor: User, incident_id: int, lasts: timedelta | None, note: str, now: datetime
) -> Incident:
    """Leave an open incident out of all counts for a time, None until it closes. Raises Conflict
    when it has closed.
    """
    incident = _locked(incident_id)
    incident.silenced_by, incident.silenced_at = actor, now
    incident.silenced_until = now + lasts if lasts else None
    incident.save(update_fields=["silenced_by", "silenced_at", "silenced_until"])
    _tell(incident, What.SILENCED, actor, note, now, until=_until(incident))
    count_open(deployment_ids=[incident.deployment_id], now=now)
    return incident


@transaction.atomic
def end_silence(*, actor: User, incident_id: int, note: str, now: datetime) -> Incident:
    """Count an open incident again. Raises Conflict when it has closed."""
    incident = _locked(incident_id)
    incident.silenced_by = incident.silenced_at = incident.silenced_until = None
    incident.save(update_fields=["silenced_by", "silenced_at", "silenced_until"])
    _tell(incident, What.UNSILENCED, actor, note, now)
    count_open(deployment_ids=[incident.deployment_id], now=now)
    return incident


def _locked(incident_id: int) -> Incident:
    rows = Incident.objects.select_for_update(of=("self",)).select_related("deployment__workspace")
    incident = rows.get(pk=incident_id)
    if not incident.is_open:
        raise Conflict(f"{incident.number} closed in the meantime. There is nothing left to do.")
    return incident


def _until(incident: Incident) -> str:
    until = incident.silenced_until
    return f"until {until:%Y-%m-%d %H:%M} UTC" if until else "until it closes"


def _tell(
    incident: Incident, what: What, actor: User, note: str, now: datetime, *, until: str = ""
) -> None:
    told = f"{until[:1].upper()}{until[1:]}. {note}".strip() if until else note
    IncidentEvent.objects.create(incident=incident, at=now, what=what, actor=actor, note=told[:600])
    deployment = incident.deployment
    changes = {"incident": [None, f"{incident.number}: {incident.title}"]}
    changes |= {"silenced": [None, until]} if until else {}
    changes |= {"note": [None, note]} if note else {}
    record(
        action=f"incident.{what}",
        actor=actor,
        organization_id=deployment.workspace.organization_id,
        target_kind="deployment",
        target_id=deployment.pk,
        target_label=deployment.name,
        changes=changes,
    )
