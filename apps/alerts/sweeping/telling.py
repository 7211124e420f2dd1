"""Which messages are due, to which channels; then alerts and messages are written."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Q

from apps.alerts.channels.models import Channel
from apps.alerts.deliveries.messages import compose
from apps.alerts.deliveries.models import Delivery
from apps.alerts.deliveries.outbox import GIVE_UP
from apps.alerts.evaluation.judging import Where
from apps.alerts.evaluation.models import Alert
from apps.alerts.evaluation.notices import Event, next_notice
from apps.alerts.evaluation.silent import silent_until
from apps.alerts.rules.models import Rule
from apps.alerts.silences.models import Silence
from apps.alerts.sweeping.world import World

_WRITTEN = (
    "subjects",
    "more",
    "count",
    "untold",
    "happened_at",
    "last_at",
    "closed_at",
    "close_reason",
    "acknowledged_by",
    "acknowledged_at",
    "told",
    "first_told_at",
    "told_at",
    "escalated_at",
    "next_at",
)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A message to write, once its alert has a number."""

    alert: Alert
    event: Event
    where: Where
    channels: list[Channel]


def tell(world: World) -> list[Wanted]:
    """Decide what is to be told about the alerts that changed or are due."""
    if not world.changed:
        return []
    silences = list(
        Silence.objects.filter(ended_at=None, begins_at__lte=world.now).filter(
            Q(ends_at__gt=world.now) | ~Q(weekdays=[])
        )
    )
    channels = _channels(world)
    wanted = []
    for alert in world.changed.values():
        where = world.places.get(alert.deployment_id) or _former(alert)
        dags = {str(one["dag"]) for one in alert.subjects.values()} if not alert.incident_id else ()
        until = silent_until(silences, where=where, dags=dags, now=world.now)
        event = next_notice(alert, silent_until=until, now=world.now)
        if event is None:
            continue
        told = _receivers(alert, event, channels.get(alert.rule_id, []))
        wanted.append(Wanted(alert=alert, event=event, where=where, channels=told))
    return wanted


def _former(alert: Alert) -> Where:
    """Return what is known of a Deployment that is not there any more."""
    rule = alert.rule
    return Where(
        pk=alert.deployment_id,
        ref="",
        name="a deleted Deployment",
        workspace_id=rule.workspace_id or 0,
        workspace="",
        organization_id=rule.organization_id,
    )


def _channels(world: World) -> dict[int, list[Channel]]:
    rules = {alert.rule_id for alert in world.changed.values()}
    through = Rule.channels.through.objects.filter(rule__in=rules).select_related("channel")
    found: dict[int, list[Channel]] = defaultdict(list)
    for one in through:
        found[one.rule_id].append(one.channel)
    return found


def _receivers(alert: Alert, event: Event, channels: list[Channel]) -> list[Channel]:
    """Return the channels of a message. Those with alerts of their own are told of every end."""
    second = alert.rule.escalate_to if alert.escalated_at else None
    if event == Event.ESCALATED:
        return [second] if second else []
    if event != Event.RESOLVED:
        return channels
    told = [*channels, second] if second and second not in channels else channels
    return [one for one in told if alert.rule.tells_resolved or one.needs.tracks]


def write(world: World, wanted: list[Wanted]) -> None:
    new = [one for one in world.changed.values() if one.pk is None]
    old = [one for one in world.changed.values() if one.pk is not None]
    if old:
        # One statement, where bulk_update would write a CASE for each row and column.
        Alert.objects.bulk_create(
            old, update_conflicts=True, unique_fields=["id"], update_fields=_WRITTEN
        )
    if new:
        Alert.objects.bulk_create(new)
    Delivery.objects.bulk_create(
        [row for one in wanted for row in _deliveries(one, world.now)], ignore_conflicts=True
    )


def _deliveries(wanted: Wanted, now: datetime) -> Iterator[Delivery]:
    alert = wanted.alert
    message = compose(
        alert,
        event=wanted.event,
        where=wanted.where,
        url=_address_of(alert, wanted.where),
        key=f"{settings.PORTAL_URL}/alerts/{alert.pk}",
        now=now,
    )
    for channel in wanted.channels:
        yield Delivery(
            channel=channel,
            alert=alert,
            # An escalation is no message of the count: it gets a number of its own.
            number=alert.told if wanted.event != Event.ESCALATED else 1_000_000,
            event=wanted.event,
            message=message.as_json(),
            created_at=now,
            next_at=now,
            give_up_at=now + GIVE_UP,
        )


def _address_of(alert: Alert, where: Where) -> str:
    """Return the page of an alert. To reverse it would load every view into this process."""
    if not where.ref:
        return str(settings.PORTAL_URL)
    return f"{settings.PORTAL_URL}/d/{where.ref}/alerts/{alert.pk}/"
