"""Alerts for pages in a browser: long names, an open one, one that was not delivered, silences."""

from dataclasses import dataclass
from datetime import time, timedelta

from django.utils import timezone

from apps.accounts.models import User
from apps.alerts.channels.models import Channel
from apps.alerts.deliveries.models import Delivery
from apps.alerts.evaluation.models import Alert
from apps.alerts.places import fields_of
from apps.alerts.silences.models import Silence
from apps.alerts.sweeping.sweep import sweep
from apps.deployments.models import Deployment
from tests.alerts.examples import ended, make_channel, make_rule, succeeded

LONG = "warehouse_inventory_reconciliation_of_all_customs_and_carriers_in_northern_europe"


@dataclass(frozen=True, kw_only=True)
class Alerts:
    """Ids for addresses; `_above` are of the organization."""

    rule: int
    rule_above: int
    channel: int
    channel_above: int
    alert: int


def alerts_on_stage(*, deployment: Deployment, author: User) -> Alerts:
    workspace = deployment.workspace
    now = timezone.now()
    long_ago = now - timedelta(days=2)
    mail = make_channel(workspace, author, name="Data on call")
    slack = make_channel(workspace, author, "slack", name="#data-oncall")
    shared = make_channel(workspace.organization, author, "pagerduty", is_shared=True)
    rule = make_rule(
        workspace, name="Tier 1 failed", channels=[mail, slack], severity=30, since=long_ago
    )
    make_rule(
        workspace,
        "dag-late",
        name="Morning reports late",
        channels=[shared],
        due_at=time(6, 30),
        zone="Europe/Copenhagen",
        weekdays=[0, 1, 2, 3, 4],
        dags="reports_*",
        since=now,
    )
    make_rule(workspace, "dag-slow", name="Loads slow", is_enabled=False, dags=f"{LONG}*")
    above = make_rule(workspace.organization, "incident", channels=[shared], since=now)
    for number, dag in enumerate((LONG, "orders", "bills", "customs", "stock")):
        ended(deployment, dag, run=f"scheduled__2026-11-28T0{number}:00:00+00:00", at=now)
    sweep(now=now, checks_deadlines=False)
    succeeded_at = now + timedelta(seconds=20)
    for dag in (LONG, "orders", "bills", "customs", "stock"):
        succeeded(deployment, dag, run="again", at=succeeded_at)
    sweep(now=succeeded_at, checks_deadlines=False)
    ended(deployment, LONG, run="third", at=succeeded_at)
    sweep(now=succeeded_at + timedelta(seconds=10), checks_deadlines=False)
    error = "It answered 503 <b>upstream connect error</b> " + "x" * 120
    Delivery.objects.filter(channel=slack).update(state="failed", attempts=6, error=error)
    Channel.objects.filter(pk=slack.pk).update(failing_since=now, last_error=error)
    Silence.objects.create(
        **fields_of(workspace),
        reason="Move of the data center",
        begins_at=now + timedelta(days=1),
        ends_at=now + timedelta(days=1, hours=2),
        weekdays=[6],
        zone="Europe/Copenhagen",
        created_by=author,
    )
    return Alerts(
        rule=rule.pk,
        rule_above=above.pk,
        channel=slack.pk,
        channel_above=shared.pk,
        alert=Alert.objects.filter(rule=rule).latest("pk").pk,
    )
