"""What charts mark: revisions that were applied, with their deploys, turns of hibernation, which
explain the gap between them, and incidents.
"""

from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse

from apps.core.words import duration_in_words
from apps.deployments.models import Deployment, Operation, Revision
from apps.observability.incidents.models import Incident

MOST, MOST_INCIDENTS = 50, 30
TURNS = {Operation.Kind.HIBERNATE: "Fell asleep", Operation.Kind.WAKE: "Woke up"}
ICONS = {"deploy": "deploy", "revision": "back", "sleep": "sleep", "incident": "incidents"}


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What happened at a time. `kind` is deploy, revision, sleep or incident."""

    at: datetime
    kind: str
    title: str
    detail: str
    url: str

    @property
    def icon(self) -> str:
        return ICONS[self.kind]


def marks_between(*, deployment: Deployment, begin: datetime, end: datetime) -> list[Mark]:
    """Return what happened in a span, the oldest first: the last `MOST` changes that were applied
    and the last `MOST_INCIDENTS` incidents that opened.
    """
    rows = (
        Revision.objects.filter(deployment=deployment, applied_at__gte=begin, applied_at__lt=end)
        .select_related("deploy", "created_by")
        .defer("config", "deploy__files")
        .order_by("-applied_at")[:MOST]
    )
    marks = [_mark(deployment, row) for row in rows] + _turns(deployment, begin, end)
    changes = sorted(marks, key=lambda mark: mark.at)[-MOST:]
    return sorted(changes + _incidents(deployment, begin, end), key=lambda mark: mark.at)


def _turns(deployment: Deployment, begin: datetime, end: datetime) -> list[Mark]:
    rows = deployment.operations.filter(
        kind__in=TURNS, started_at__gte=begin, started_at__lt=end
    ).select_related("actor")
    return [
        Mark(
            at=row.started_at,
            kind="sleep",
            title=TURNS[Operation.Kind(row.kind)],
            detail=str(row.actor) if row.actor else "the portal",
            url=reverse("deployments:operation", args=[deployment.ref, row.number]),
        )
        for row in rows.order_by("-started_at")[:MOST]
    ]


def _incidents(deployment: Deployment, begin: datetime, end: datetime) -> list[Mark]:
    rows = Incident.objects.filter(
        deployment=deployment, opened_at__gte=begin, opened_at__lt=end
    ).only("kind", "severity", "title", "opened_at", "closed_at")
    return [
        Mark(
            at=row.opened_at,
            kind="incident",
            title=row.title,
            detail=f"{row.get_severity_display()} · {_duration(row)}",
            url=reverse("observability:incident", args=[deployment.ref, row.pk]),
        )
        for row in rows.order_by("-opened_at")[:MOST_INCIDENTS]
        if row.opened_at
    ]


def _duration(incident: Incident) -> str:
    if incident.closed_at is None or incident.opened_at is None:
        return "open"
    lasted = (incident.closed_at - incident.opened_at).total_seconds()
    return f"closed after {duration_in_words(int(lasted))}"


def _mark(deployment: Deployment, revision: Revision) -> Mark:
    deploy = getattr(revision, "deploy", None)
    author = str(revision.created_by) if revision.created_by else "the portal"
    assert revision.applied_at is not None  # noqa: S101 - the query asks for it
    return Mark(
        at=revision.applied_at,
        kind="deploy" if deploy else "revision",
        title=f"Deploy {deploy.number}" if deploy else f"Revision {revision.number}",
        detail=f"{revision.summary} · {author}",
        url=reverse("deployments:revision", args=[deployment.ref, revision.number]),
    )
