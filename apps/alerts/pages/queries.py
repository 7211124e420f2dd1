"""Reads of the pages. Each is a constant number of queries."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Prefetch, Q, QuerySet

from apps.accounts.models import User
from apps.alerts.channels.models import Channel
from apps.alerts.deliveries.models import Delivery, DeliveryState
from apps.alerts.evaluation.models import Alert
from apps.alerts.places import Place, deployments_in, here
from apps.alerts.rules.models import Rule
from apps.alerts.silences.models import Silence
from apps.deployments.models import Deployment, Phase
from apps.organizations.models import Workspace

# Alerts name DAGs: who may see an Airflow may see its alerts.
SEE, RUN = "deployment.airflow.view", "deployment.airflow.run"
STATES = dict(DeliveryState.choices)
WEEK = timedelta(days=7)


def deployments_to_choose(*, place: Place, user: User) -> QuerySet[Deployment]:
    """List the Deployments of a place that a person may name in a rule, by name."""
    rows = Deployment.objects.allowing(user, SEE).filter(deployments_in(place), phase=Phase.ACTIVE)
    return rows.select_related("workspace").order_by("name", "pk")


def deployments_to_run(*, place: Place, user: User) -> QuerySet[Deployment]:
    """List the Deployments of a place in which a person may run DAGs, by name."""
    rows = Deployment.objects.allowing(user, RUN).filter(deployments_in(place), phase=Phase.ACTIVE)
    return rows.select_related("workspace").order_by("name", "pk")


def rules_of(*, place: Place, user: User, search: str = "") -> QuerySet[Rule]:
    """List the rules of a place by name, with when each found something last; with `search` those
    whose name, DAGs, Deployments or channels contain it. Those about a Deployment that a person may
    not see are left out.
    """
    seen = Deployment.objects.allowing(user, SEE)
    rows = Rule.objects.filter(here(place)).filter(
        Q(deployment=None) | Q(deployment__in=seen.values("pk"))
    )
    if search:
        in_channel = Rule.channels.through.objects.filter(channel__name__icontains=search)
        rows = rows.filter(
            Q(name__icontains=search)
            | Q(dags__icontains=search)
            | Q(deployments__icontains=search)
            | Q(deployment__name__icontains=search)
            | Q(pk__in=in_channel.values("rule"))
        )
    channels = Prefetch("channels", queryset=Channel.objects.order_by("name"))
    return (
        rows.select_related("deployment", "escalate_to")
        .prefetch_related(channels)
        .annotate(last_at=Max("alerts__opened_at"))
        .order_by("name", "pk")
    )


def inherited_count(place: Place) -> int:
    """Count the rules of the organization that apply in a workspace."""
    if not isinstance(place, Workspace):
        return 0
    return Rule.objects.filter(
        organization=place.organization, workspace=None, is_enabled=True
    ).count()


def alerts_in(*, place: Place, user: User) -> QuerySet[Alert]:
    """List the alerts that a person may see in a place: open ones first, then the newest."""
    seen = Deployment.objects.allowing(user, SEE).filter(deployments_in(place))
    rows = Alert.objects.filter(deployment__in=seen.values("pk"))
    related = ("rule", "deployment__workspace", "acknowledged_by")
    return rows.select_related(*related).order_by("-pk")


def week_of(*, place: Place, user: User, now: datetime) -> dict[str, int]:
    """Count the alerts of the last 7 days, their messages, and those that were not delivered."""
    alerts = alerts_in(place=place, user=user).filter(opened_at__gte=now - WEEK)
    counted = alerts.order_by().aggregate(
        alerts=Count("pk", distinct=True),
        messages=Count("deliveries"),
        failed=Count("deliveries", filter=Q(deliveries__state=DeliveryState.FAILED)),
    )
    return {name: int(value) for name, value in counted.items()}


def failing_channels(place: Place) -> QuerySet[Channel]:
    """List the channels of a place that did not accept the last message."""
    return Channel.objects.filter(here(place)).exclude(failing_since=None).order_by("name")


@dataclass(frozen=True, kw_only=True)
class DeliveryFilter:
    """The filter in the query string. Unknown values are ignored."""

    state: str = ""
    channel: str = ""
    search: str = ""

    @classmethod
    def from_query(cls, query: Mapping[str, str], channels: Mapping[str, Any]) -> "DeliveryFilter":
        state, channel = query.get("state", ""), query.get("channel", "")
        return cls(
            state=state if state in STATES else "",
            channel=channel if channel in channels else "",
            search=query.get("q", "").strip()[:100],
        )

    @property
    def is_narrow(self) -> bool:
        return bool(self.state or self.channel or self.search)


def deliveries_of(*, place: Place, wanted: DeliveryFilter) -> QuerySet[Delivery]:
    """List the messages to the channels of a place, the newest first."""
    mine = Channel.objects.filter(here(place))
    rows = Delivery.objects.filter(channel__in=mine.values("pk"))
    if wanted.state:
        rows = rows.filter(state=wanted.state)
    if wanted.channel:
        rows = rows.filter(channel=int(wanted.channel))
    if wanted.search:
        rows = rows.filter(
            Q(message__title__icontains=wanted.search)
            | Q(message__rule__icontains=wanted.search)
            | Q(channel__name__icontains=wanted.search)
        )
    related = ("channel", "alert__deployment", "resent_by")
    return rows.select_related(*related).order_by("-pk")


def silences_of(place: Place, search: str = "") -> QuerySet[Silence]:
    """List the silences of a place, the newest first; with `search` those whose reason, DAGs or
    Deployment contain it.
    """
    rows = Silence.objects.filter(here(place)).select_related("deployment", "created_by")
    if search:
        rows = rows.filter(
            Q(reason__icontains=search)
            | Q(dags__icontains=search)
            | Q(deployment__name__icontains=search)
        )
    return rows.order_by("-begins_at", "-pk")


def deliveries_about(alert: Alert) -> QuerySet[Delivery]:
    """List the messages about an alert, the newest first."""
    return Delivery.objects.filter(alert=alert).select_related("channel").order_by("-pk")
