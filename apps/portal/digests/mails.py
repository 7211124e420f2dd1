"""The text of a digest: only what its person may see, at the moment it is sent."""

import zoneinfo
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import QuerySet
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import User
from apps.portal.home.morning import morning_of
from apps.portal.home.overview import (
    Tally,
    clusters_seen,
    deployments_seen,
    in_order_of_attention,
    needing_attention,
    recent_changes,
    rows_of,
    tally_of,
)
from apps.portal.models import Digest

MOST_ROWS = 10


def mail_of(digest: Digest, *, now: datetime) -> EmailMessage | None:
    """Write the mail of a digest, None for a person who sees no Deployment."""
    user = digest.user
    seen = deployments_seen(user=user, organization=None)
    tally = tally_of(seen)
    if not tally.by_status:
        return None
    with timezone.override(zone_of(user)):
        body = render_to_string("portal/digests/mail.txt", _context(digest, seen, tally, now))
    end_url = f"{settings.PORTAL_URL}{reverse('portal:end_digest', args=[digest.key])}"
    mail = EmailMessage(f"Astro Portal, {_title(digest)}", body, to=[user.email])
    # RFC 8058: one request ends it, without a page. RFC 3834: no vacation notice in answer.
    mail.extra_headers = {
        "List-Unsubscribe": f"<{end_url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Auto-Submitted": "auto-generated",
    }
    return mail


def _context(digest: Digest, seen: QuerySet[Any], tally: Tally, now: datetime) -> dict[str, Any]:
    user, since = digest.user, timedelta(days=digest.days)
    clusters = list(clusters_seen(user=user, organization=None))
    troubled = in_order_of_attention(needing_attention(seen))
    return {
        "url": settings.PORTAL_URL,
        "title": _title(digest),
        "deployment_count": sum(tally.by_status.values()),
        "attention": rows_of(troubled[:MOST_ROWS]),
        "unreachable": [one for one in clusters if one.unreachable_since],
        "morning": morning_of(
            user=user,
            organization=None,
            runtimes=tally.by_runtime,
            clusters=clusters,
            now=now,
            since=since,
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


def zone_of(user: User) -> zoneinfo.ZoneInfo:
    """Return the time zone of a person; UTC where this machine lost it."""
    try:
        return zoneinfo.ZoneInfo(user.time_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return zoneinfo.ZoneInfo("UTC")
