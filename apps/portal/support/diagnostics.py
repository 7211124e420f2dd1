"""What helps the operator with a problem, as JSON: versions, counts and states. No names that
people chose, no addresses, no values of settings; so it can be sent on as it is.
"""

import platform
from datetime import datetime
from typing import Any

import django
from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Count, Q

from apps.accounts.models import User
from apps.alerts.channels.models import Channel
from apps.clusters.models import Cluster
from apps.deployments.models import Deployment, Operation
from apps.observability.history.models import Collection
from apps.webhooks.hooks.models import Webhook

LONGEST_ID = 64


def diagnostics(*, user: User, request_id: str, user_agent: str, now: datetime) -> dict[str, Any]:
    """Return what anybody may send, and for operators the state of the whole installation."""
    found: dict[str, Any] = {
        "at": now.isoformat(timespec="seconds"),
        "portal": settings.VERSION,
        "request": request_id[:LONGEST_ID],
        "browser": user_agent[:300],
        "person": {"number": user.pk, "is_operator": user.is_operator},
    }
    return found | ({"installation": _installation(now)} if user.is_operator else {})


def _installation(now: datetime) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "django": django.get_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "postgresql": ".".join(str(one) for one in connection.get_database_version()),
        "last_migrations": _last_migrations(),
        "has_mail_server": bool(settings.EMAIL_HOST),
        "has_tls": settings.IS_TLS,
        "counts": {
            "people": User.objects.filter(is_active=True).count(),
            "clusters": _by(Cluster.objects.there(), "kind"),
            "deployments_by_phase": _by(Deployment.objects.all(), "phase"),
            "deployments_by_health": _by(Deployment.objects.all(), "health"),
            "operations_by_state": _by(Operation.objects.all(), "state"),
        },
        "behind": {
            "deployments_due": Deployment.objects.filter(next_reconcile_at__lt=now).count(),
            "deployments_quarantined": _count(Deployment, ~Q(quarantined_at=None)),
            "airflows_that_do_not_answer": _count(Collection, Q(failures__gt=0)),
            "clusters_unreachable": _count(Cluster, ~Q(unreachable_since=None)),
            "channels_failing": _count(Channel, ~Q(failing_since=None)),
            "webhooks_failing": _count(Webhook, ~Q(failing_since=None)),
        },
    }


def _by(rows: Any, field: str) -> dict[str, int]:
    return dict(rows.order_by().values_list(field).annotate(count=Count("pk")))


def _count(model: Any, condition: Q) -> int:
    return int(model.objects.filter(condition).count())


def _last_migrations() -> dict[str, str]:
    rows = MigrationRecorder.Migration.objects.order_by("pk").values_list("app", "name")
    return dict(rows)
