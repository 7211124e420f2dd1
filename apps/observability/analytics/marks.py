"""The changes that charts mark: revisions that were applied, with their deploys."""

from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse

from apps.deployments.models import Deployment, Revision

MOST = 50


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A change at a time. `kind` is deploy or revision."""

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
    return [_mark(deployment, row) for row in reversed(rows)]


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
