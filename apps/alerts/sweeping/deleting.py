"""Deleting a rule: receivers that keep alerts of their own are told that its alerts are over."""

from collections.abc import Iterator
from datetime import datetime

from django.conf import settings
from django.db import transaction

from apps.accounts.models import User
from apps.alerts.channels.models import Channel
from apps.alerts.deliveries.messages import compose
from apps.alerts.deliveries.models import Delivery
from apps.alerts.deliveries.outbox import GIVE_UP
from apps.alerts.evaluation import changes
from apps.alerts.evaluation.judging import Where
from apps.alerts.evaluation.models import Alert
from apps.alerts.evaluation.notices import Event
from apps.alerts.rules import services
from apps.alerts.rules.models import Rule
from apps.deployments.models import Deployment

DELETED = "The rule was deleted."


@transaction.atomic
def delete_rule(*, actor: User, rule: Rule, now: datetime) -> None:
    """Delete a rule, its alerts and the log of their messages. The last messages stay in the log,
    without an alert.
    """
    Delivery.objects.bulk_create(list(_last_messages(rule, now)))
    services.delete_rule(actor=actor, rule=rule)


def _last_messages(rule: Rule, now: datetime) -> Iterator[Delivery]:
    channels = _trackers(rule)
    told = Alert.objects.filter(rule=rule, closed_at=None, told__gt=0)
    related = told.select_related("rule", "deployment__workspace")
    for alert in related.select_for_update(of=("self",)) if channels else ():
        changes.close(alert, reason=DELETED, now=now)
        message = compose(
            alert,
            event=Event.RESOLVED,
            where=_where(alert.deployment),
            url=settings.PORTAL_URL,
            key=f"{settings.PORTAL_URL}/alerts/{alert.pk}",
            now=now,
        )
        for channel in channels:
            yield Delivery(
                channel=channel,
                number=alert.told + 1,
                event=Event.RESOLVED,
                message=message.as_json(),
                created_at=now,
                next_at=now,
                give_up_at=now + GIVE_UP,
            )


def _trackers(rule: Rule) -> list[Channel]:
    found = {one.pk: one for one in rule.channels.all()}
    if rule.escalate_to is not None:
        found[rule.escalate_to.pk] = rule.escalate_to
    return [one for one in found.values() if one.needs.tracks]


def _where(deployment: Deployment) -> Where:
    return Where(
        pk=deployment.pk,
        ref=deployment.ref,
        name=deployment.name,
        workspace_id=deployment.workspace_id,
        workspace=deployment.workspace.name,
        organization_id=deployment.workspace.organization_id,
    )
