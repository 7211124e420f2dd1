"""Holding alerts back while a maintenance goes on."""

from datetime import datetime

from apps.accounts.models import User
from apps.alerts.places import fields_of
from apps.alerts.silences.models import Silence
from apps.alerts.silences.services import begin_silence
from apps.deployments.models import Deployment, Phase
from apps.status_pages.reports.models import Report

MANAGE_ALERTS = "workspace.alerts.manage"


def silence_alerts(*, actor: User, report: Report, now: datetime) -> int:
    """Begin a silence for each Deployment that components of a maintenance are read from, where the
    person manages alerts; return for how many.
    """
    if report.ends_at is None or report.ends_at <= now:
        return 0
    read_from = Deployment.objects.filter(
        pk__in=report.components.values("deployments"), phase=Phase.ACTIVE
    )
    count = 0
    for deployment in read_from.select_related("workspace__organization"):
        if not actor.has_perm(MANAGE_ALERTS, deployment.workspace):
            continue
        silence = Silence(
            **fields_of(deployment.workspace),
            deployment=deployment,
            reason=report.title,
            begins_at=max(report.begins_at, now),
            ends_at=report.ends_at,
        )
        begin_silence(actor=actor, silence=silence)
        count += 1
    return count
