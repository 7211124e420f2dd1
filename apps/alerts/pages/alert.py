from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from apps.access.queries import denial_for
from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.alerts.evaluation.models import Alert
from apps.alerts.evaluation.services import acknowledge
from apps.alerts.pages.deliveries import delivery_row
from apps.alerts.pages.queries import SEE, deliveries_about
from apps.alerts.pages.words import what_in_words
from apps.core.web.form_pages import errors_as_messages
from apps.dags.pages.parts import dag_url
from apps.deployments.models import Deployment
from apps.observability.incidents.kinds import Severity
from apps.observability.incidents.queries import TONES

# Who reruns DAGs when something went wrong also answers for it.
RESPOND = "deployment.airflow.run"
MOST_MESSAGES, MOST_SUBJECTS = 50, 100


@scoped(Deployment, SEE, by="ref")
@require_safe
def alert(request: HttpRequest, deployment: Deployment, alert_id: int) -> HttpResponse:
    shown = _found(deployment, alert_id)
    now = timezone.now()
    context = {
        "deployment": deployment,
        "alert": shown,
        "title": what_in_words(shown),
        "tone": TONES[Severity(shown.rule.severity)],
        "severity": Severity(shown.rule.severity).label,
        "lasted": ((shown.closed_at or now) - shown.happened_at).total_seconds(),
        "subjects": _subjects(shown, deployment),
        "incident_url": _incident_url(shown, deployment),
        "deliveries": [delivery_row(one) for one in deliveries_about(shown)[:MOST_MESSAGES]],
        "denial": denial_for(user=request.user, permission=RESPOND, on=deployment),
    }
    return render(request, "alerts/alert.html", context)


@scoped(Deployment, RESPOND, by="ref")
@require_POST
def acknowledge_alert(request: HttpRequest, deployment: Deployment, alert_id: int) -> HttpResponse:
    shown = _found(deployment, alert_id)
    with errors_as_messages(request):
        acknowledge(actor=request_user(request), alert_id=shown.pk, now=timezone.now())
        messages.success(request, "You acknowledged this alert.")
    return redirect("alerts:alert", deployment.ref, shown.pk)


def _subjects(shown: Alert, deployment: Deployment) -> list[dict[str, Any]]:
    if shown.incident_id is not None:
        return []
    return [
        {
            "name": name,
            "url": dag_url(deployment, one["dag"]),
            "run": one["run"],
            "note": one.get("note", ""),
            "count": one["count"],
            "at": datetime.fromtimestamp(one["at"], UTC),
        }
        for name, one in shown.newest_subjects(MOST_SUBJECTS)
    ]


def _incident_url(shown: Alert, deployment: Deployment) -> str:
    if shown.incident_id is None:
        return ""
    return reverse("observability:incident", args=[deployment.ref, shown.incident_id])


def _found(deployment: Deployment, alert_id: int) -> Alert:
    mine = Alert.objects.filter(deployment=deployment)
    return get_object_or_404(mine.select_related("rule", "acknowledged_by"), pk=alert_id)
