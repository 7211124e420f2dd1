"""The changes that charts mark: revisions that were applied, with their deploys, and turns of
hibernation, which explain the gap between them.
"""

from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse

from apps.deployments.models import Deployment, Operation, Revision

MOST = 50
TURNS = {Operation.Kind.HIBERNATE: "Fell asleep", Operation.Kind.WAKE: "Woke up"}


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A change at a time. `kind` is deploy, revision or sleep."""

    at: datetime
    kind: str
    title: str
    detail: str
    url: str


def marks_between(*, deployment: Deployment, begin: datetime, end: datetime) -> list[Mark]:
    """Return the changes that were applied in a span, the oldest first, the last `MOST` of them."""
    rows = (
        Revision.objects.filter(deployment=deployment, applied_at__gte=begin, applied_at__lt=end)
        .select_related("deploy", "created_by")
        .defer("config", "deploy__files")
        .order_by("-applied_at")[:MOST]
    )
    marks = [_mark(deployment, row) for row in rows] + _turns(deployment, begin, end)
    return sorted(marks, key=lambda mark: mark.at)[-MOST:]


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
