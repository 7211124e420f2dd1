"""Alerts and webhooks for pages in a browser: long names, an open alert, what was not delivered,
silences.
"""

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
from apps.organizations.models import Workspace
from apps.usage.models import UsageDay
from apps.webhooks.deliveries.models import WebhookDelivery
from apps.webhooks.hooks.models import Webhook
from tests.alerts.examples import ended, make_channel, make_rule, succeeded
from tests.objectives.examples import make_objective
from tests.webhooks.examples import make_webhook

LONG = "warehouse_inventory_reconciliation_of_all_customs_and_carriers_in_northern_europe"


@dataclass(frozen=True, kw_only=True)
class Alerts:
    """Ids for addresses; `_above` are of the organization."""

    rule: int
    rule_above: int
    channel: int
    channel_above: int
    alert: int
    webhook: int
    webhook_above: int
    objective: int


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
    failing = _webhook(workspace, author)
    _usage(deployment)
    return Alerts(
        objective=_objectives(deployment),
        webhook=failing.pk,
        webhook_above=make_webhook(workspace.organization, author).pk,
        rule=rule.pk,
        rule_above=above.pk,
        channel=slack.pk,
        channel_above=shared.pk,
        alert=Alert.objects.filter(rule=rule).latest("pk").pk,
    )


def _webhook(workspace: Workspace, author: User) -> Webhook:
    """Make a webhook whose receiver fails, in the middle of a rotation."""
    now = timezone.now()
    hook = make_webhook(workspace, author, name=LONG[:80])
    error = "It answered 503 <b>upstream connect error</b> " + "x" * 120
    Webhook.objects.filter(pk=hook.pk).update(
        failing_since=now, last_error=error, next_at=now, former_until=now + timedelta(hours=20)
    )
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(
            webhook=hook,
            sequence=number,
            event=f"evt_{number}",
            type="deployment.drift_corrected",
            body={"deployment": {"name": LONG}},
            give_up_at=now,
            attempts=number,
            state=("waiting", "delivered", "failed")[number % 3],
            answer=error if number % 3 == 2 else "202 accepted",
        )
        for number in range(1, 60)
    )
    return hook


def _objectives(deployment: Deployment) -> int:
    """Set objectives in each state, one of them of a DAG with a long name; return the latter."""
    make_objective(deployment, "bills", days=dict.fromkeys(range(28), (24, 0)))
    make_objective(deployment, "customs", days={0: (0, 1), **dict.fromkeys(range(1, 28), (4, 0))})
    make_objective(deployment, "stock", target="95.5", limit_seconds=5400)
    make_objective(
        deployment,
        "orders",
        target="99.9",
        days={ago: (288, 6 if ago % 5 == 0 else 0) for ago in range(28)},
    )
    return make_objective(deployment, LONG, target="90", days={3: (20, 2)}, limit_seconds=60).pk


def _usage(deployment: Deployment) -> None:
    """Write 13 months of usage."""
    now = timezone.now()
    UsageDay.objects.bulk_create(
        UsageDay(
            deployment=deployment,
            day=(now - timedelta(days=31 * month)).date(),
            runs_succeeded=12_345 * month,
            runs_failed=17 * month,
            tasks_succeeded=1_234_567 * month,
            tasks_failed=99,
            worker_seconds=9_999_999 * month,
            through=now,
        )
        for month in range(14)
    )
