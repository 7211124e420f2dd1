"""The text of a digest: only what its person may see, at the moment it is sent."""

from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from apps.portal.models import Digest
from apps.portal.morning import morning_of
from apps.portal.overview import (
    clusters_seen,
    counts_by_status,
    deployments_seen,
    in_order_of_attention,
    needing_attention,
    recent_changes,
    rows_of,
)

MOST_ROWS = 10


def mail_of(digest: Digest, *, now: datetime) -> EmailMessage | None:
    """Write the mail of a digest, None for a person who sees no Deployment."""
    user = digest.user
    seen = deployments_seen(user=user, organization=None)
    counts = counts_by_status(seen)
    if not counts:
        return None
    with timezone.override(user.time_zone):
        body = render_to_string("portal/digests/mail.txt", _context(digest, seen, counts, now))
    end_url = f"{settings.PORTAL_URL}{reverse('portal:end_digest', args=[digest.key])}"
    mail = EmailMessage(f"Astro Portal, {_title(digest)}", body, to=[user.email])
    # RFC 8058: one request ends it, without a page. RFC 3834: no vacation notice in answer.
    mail.extra_headers = {
        "List-Unsubscribe": f"<{end_url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Auto-Submitted": "auto-generated",
    }
    return mail


def _context(
    digest: Digest, seen: object, counts: dict[str, int], now: datetime
) -> dict[str, object]:
    user, since = digest.user, timedelta(days=digest.days)
    clusters = list(clusters_seen(user=user, organization=None))
    troubled = in_order_of_attention(needing_attention(seen))
    return {
        "url": settings.PORTAL_URL,
        "title": _title(digest),
        "deployment_count": sum(counts.values()),
        "attention": rows_of(troubled[:MOST_ROWS]),
        "unreachable": [one for one in clusters if one.unreachable_since],
        "morning": morning_of(
            user=user, organization=None, seen=seen, clusters=clusters, now=now, since=since
        ),
        "changes": [
            one
            for one in recent_changes(user=user, organization=None, limit=MOST_ROWS)
            if one.operation.started_at >= now - since
        ],
        "settings_url": f"{settings.PORTAL_URL}{reverse('portal:digest')}",
        "end_url": f"{settings.PORTAL_URL}{reverse('portal:end_digest', args=[digest.key])}",
    }


def _title(digest: Digest) -> str:
    return "the last 7 days" if digest.period == Digest.Period.WEEKLY else "the last 24 hours"
