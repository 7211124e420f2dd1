"""Alerts that follow incidents."""

from datetime import datetime, timedelta

from django.db.models import Q

from apps.alerts.evaluation import changes
from apps.alerts.evaluation.models import Alert
from apps.alerts.rules.kinds import RuleKind
from apps.alerts.rules.models import Rule
from apps.alerts.sweeping.world import INCIDENTS, World, keep
from apps.observability.incidents.models import Incident

MOST_INCIDENTS = 10_000
# An incident that opened and closed while nothing was evaluated is told all the same.
INCIDENT_BACK = timedelta(days=1)


def follow(world: World) -> None:
    rules = [one for one in world.rules.values() if one.kind == RuleKind.INCIDENT]
    if not rules and not world.following:
        return
    recent = Q(closed_at=None) | Q(closed_at__gte=world.now - INCIDENT_BACK)
    found = Incident.objects.shown().filter(recent | Q(pk__in=list(world.following)))
    incidents = list(found.order_by("opened_at")[:MOST_INCIDENTS])
    told = Alert.objects.filter(incident__in=incidents).values_list("rule_id", "incident_id")
    known = set(told)
    for incident in incidents:
        for alert in world.following.get(incident.pk, ()):
            if changes.follow(alert, incident, world.now):
                keep(world, alert)
        where = world.places.get(incident.deployment_id)
        for rule in world.rules_in(where, INCIDENTS) if where is not None else ():
            if (rule.pk, incident.pk) not in known and _wants(rule, incident, world.now):
                _begin_incident(world, rule, incident)


def _wants(rule: Rule, incident: Incident, now: datetime) -> bool:
    if incident.opened_at is None:
        return False
    if rule.incident_kinds and incident.kind not in rule.incident_kinds:
        return False
    return rule.begins(incident.opened_at) and not incident.is_silenced(now)


def _begin_incident(world: World, rule: Rule, incident: Incident) -> None:
    began = incident.opened_at or world.now
    group = f"incident:{incident.pk}"
    alert = changes.begin(
        rule=rule,
        deployment_id=incident.deployment_id,
        group=group,
        happened_at=began,
        now=world.now,
    )
    alert.incident = incident
    changes.gather(alert, dag_id=incident.number, task_id="", run_id="", at=began, now=world.now)
    words = {"title": incident.title, "summary": incident.summary}
    alert.subjects[incident.number].update(words)
    world.open[(rule.pk, incident.deployment_id, group)] = alert
    changes.follow(alert, incident, world.now)
    keep(world, alert)
