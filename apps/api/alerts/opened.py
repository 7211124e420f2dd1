"""What rules found in a Deployment: list, read and acknowledge."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from ninja import Path, Query, Router

from apps.alerts.evaluation.models import Alert
from apps.alerts.evaluation.services import acknowledge
from apps.alerts.pages.alert import MOST_SUBJECTS, RESPOND
from apps.alerts.pages.queries import SEE, alerts_in
from apps.alerts.pages.words import what_in_words
from apps.api.deployments.shapes import AtDeployment
from apps.api.wire.errors import or_404
from apps.api.wire.gates import Call, on_deployment
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import Listing, Profile, Shape, profile_of
from apps.core.public_ids import public_id
from apps.deployments.models import Deployment
from apps.observability.incidents.kinds import Severity

router = Router(by_alias=True, exclude_none=True, tags=["Alert"])


class AtOpened(AtDeployment):
    alert_number: int


class OpenedAlert(Shape):
    """`subjects` are DAGs and tasks by name, the newest first. `incidentNumber` is the incident
    that it is about, where it is about one. Without `closedAt` it is open.
    """

    number: int
    deployment_id: str
    rule_id: str
    rule_name: str
    title: str
    severity: str
    subjects: list[str]
    count: int
    incident_number: int | None = None
    happened_at: datetime
    opened_at: datetime
    closed_at: datetime | None = None
    close_reason: str | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: Profile | None = None


class OpenedAlertList(Listing):
    alerts: list[OpenedAlert]


class OpenedQuery(Paging):
    is_open: bool | None = None


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/alerts",
    auth=on_deployment(SEE),
    response=OpenedAlertList,
    operation_id="ListDeploymentAlerts",
    summary="List what rules found in a Deployment, the newest first",
)
def list_opened(request: Call, at: Path[AtDeployment], asked: Query[OpenedQuery]) -> Any:
    found = _alerts(request)
    if asked.is_open is not None:
        found = found.filter(closed_at__isnull=asked.is_open)
    page = page_of(found, asked, sorts={"openedAt": "-pk"})
    return OpenedAlertList(alerts=[_shape(one) for one in page.rows], **page.numbers(asked))


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/alerts/{alertNumber}",
    auth=on_deployment(SEE),
    response=OpenedAlert,
    operation_id="GetDeploymentAlert",
    summary="Get what a rule found",
)
def get_opened(request: Call, at: Path[AtOpened]) -> Any:
    return _shape(_found(request, at.alert_number))


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/alerts/{alertNumber}/acknowledge",
    auth=on_deployment(RESPOND),
    response=OpenedAlert,
    operation_id="AcknowledgeAlert",
    summary="Say that a person looks after an alert",
)
def acknowledge_alert(request: Call, at: Path[AtOpened]) -> Any:
    """It is neither repeated nor escalated any more. 409 where it has closed."""
    found = _found(request, at.alert_number)
    acknowledge(actor=request.caller.user, alert_id=found.pk, now=timezone.now())
    return _shape(_found(request, at.alert_number))


def _alerts(request: Call) -> QuerySet[Alert]:
    deployment: Deployment = request.found
    mine = alerts_in(place=deployment.workspace, user=request.caller.user)
    return mine.filter(deployment=deployment)


def _found(request: Call, number: int) -> Alert:
    return or_404(_alerts(request).filter(pk=min(number, 2**62)).first())


def _shape(alert: Alert) -> OpenedAlert:
    by = alert.acknowledged_by
    is_incident = alert.incident_id is not None
    return OpenedAlert(
        number=alert.pk,
        deployment_id=public_id("deployment", alert.deployment_id),
        rule_id=public_id("alert", alert.rule_id),
        rule_name=alert.rule.name,
        title=what_in_words(alert),
        severity=Severity(alert.rule.severity).name,
        subjects=[] if is_incident else [one for one, _ in alert.newest_subjects(MOST_SUBJECTS)],
        count=alert.count,
        incident_number=alert.incident_id,
        happened_at=alert.happened_at,
        opened_at=alert.opened_at,
        closed_at=alert.closed_at,
        close_reason=alert.close_reason or None,
        acknowledged_at=alert.acknowledged_at,
        acknowledged_by=profile_of(by) if by else None,
    )
