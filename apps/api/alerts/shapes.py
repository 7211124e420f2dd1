"""A rule on the wire, where clients call it an alert, and what the form of the page makes of it."""

from datetime import datetime
from typing import Any

from pydantic import Field

from apps.alerts.channels.kinds import ChannelKind
from apps.alerts.channels.models import Channel
from apps.alerts.evaluation.matched import Matched
from apps.alerts.pages.forms.rules import RuleForm
from apps.alerts.rules.kinds import RuleKind
from apps.alerts.rules.models import Rule
from apps.api.alerts.channels import TYPES
from apps.api.alerts.patterns import PLACES, PatternMatch, matches_of, texts_of
from apps.api.alerts.places import entity_of
from apps.api.wire.shapes import Listing, Name, Profile, Shape, profile_of
from apps.core.errors import Invalid
from apps.core.public_ids import number_of, public_id
from apps.observability.incidents.kinds import Severity

KINDS = {
    "DAG_FAILURE": RuleKind.DAG_FAILED,
    "TASK_FAILURE": RuleKind.TASK_FAILED,
    "DAG_TIMELINESS": RuleKind.DAG_LATE,
    "DAG_DURATION": RuleKind.DAG_SLOW,
    "TASK_DURATION": RuleKind.TASK_SLOW,
    "DAG_SUCCESS": RuleKind.DAG_SUCCEEDED,
    "DAG_ERROR_BUDGET": RuleKind.BUDGET_SPENT,
    "INCIDENT": RuleKind.INCIDENT,
}
KIND_NAMES = {kind: name for name, kind in KINDS.items()}
SEVERITIES = {severity.name: severity for severity in Severity}
DAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
PROPERTIES = "rules.properties"
FIELDS = {
    "deployment": f"{PROPERTIES}.deploymentId",
    "incident_kinds": f"{PROPERTIES}.incidentKinds",
    "limit_minutes": f"{PROPERTIES}.dagDurationSeconds",
    "due_at": f"{PROPERTIES}.dagDeadline",
    "zone": f"{PROPERTIES}.timeZone",
    "weekdays": f"{PROPERTIES}.daysOfWeek",
    "within_hours": f"{PROPERTIES}.lookBackPeriodSeconds",
    **dict.fromkeys(("dags", "without_dags", "tasks", "tags"), "rules.patternMatches"),
    "channels": "notificationChannelIds",
    "deployments": "deploymentNames",
    "repeat_minutes": "repeatMinutes",
    "tells_resolved": "tellsResolved",
    "escalate_minutes": "escalateMinutes",
    "escalate_to": "escalateToChannelId",
}


class RuleProperties(Shape):
    """Durations are whole minutes, the look-back whole hours, both in seconds. Without a
    `timeZone` the deadline is in UTC.
    """

    deployment_id: str | None = None
    dag_duration_seconds: int | None = None
    task_duration_seconds: int | None = None
    dag_deadline: str | None = None
    days_of_week: list[str] | None = None
    look_back_period_seconds: int | None = None
    time_zone: str | None = None
    incident_kinds: list[str] | None = None


class RuleRules(Shape):
    pattern_matches: list[PatternMatch] | None = None
    properties: RuleProperties = RuleProperties()


class RuleChannel(Shape):
    """A channel of a rule. Its definition is with the channel itself, for those who manage it."""

    id: str
    name: str
    type: str
    definition: dict[str, str] = {}
    entity_type: str
    entity_id: str
    organization_id: str
    workspace_id: str | None = None
    created_at: datetime
    updated_at: datetime


class RuleSettings(Shape):
    """What this portal adds: when and how often messages go out."""

    is_enabled: bool | None = None
    deployment_names: str | None = Field(default=None, max_length=200)
    grouping: str | None = None
    repeat_minutes: int | None = None
    tells_resolved: bool | None = None
    escalate_minutes: int | None = None
    escalate_to_channel_id: str | None = None


class RuleMatches(Shape):
    """What a rule is about now, as far as the caller sees it. `firstNames` are names of DAGs, of
    Deployments where a rule is about incidents. With `isCut` there are more DAGs than are counted.
    """

    deployment_count: int
    dag_count: int
    known_dag_count: int
    paused_dag_count: int
    first_names: list[str]
    is_cut: bool


class RuleShape(RuleSettings):
    """`matches` is there where it was asked for with `includeMatches`."""

    id: str
    name: str
    type: str
    severity: str
    rules: RuleRules
    notification_channels: list[RuleChannel]
    entity_type: str
    entity_id: str
    entity_name: str
    organization_id: str
    workspace_id: str | None = None
    deployment_id: str | None = None
    created_at: datetime
    updated_at: datetime
    created_by: Profile
    updated_by: Profile
    matches: RuleMatches | None = None


class RuleList(Listing):
    alerts: list[RuleShape]


class RuleChange(RuleSettings):
    """What is left out stays as it is."""

    name: Name | None = Field(default=None, max_length=80)
    type: str | None = None
    severity: str | None = None
    notification_channel_ids: list[str] | None = None
    rules: RuleRules = RuleRules()


class NewRule(RuleChange):
    name: Name = Field(max_length=80)
    type: str
    entity_type: str
    entity_id: str
    notification_channel_ids: list[str]


def kind_of(name: str) -> str:
    """Return the kind of rule that a client names. Raises Invalid."""
    kind = KINDS.get(name.upper())
    if kind is None:
        raise Invalid(f"Choose one of {', '.join(KINDS)}.", field="type")
    return kind


def rule_shape(rule: Rule, matched: Matched | None = None) -> RuleShape:
    """Describe a rule, with what it matches where that was counted."""
    escalates_to = rule.escalate_to
    return RuleShape(
        id=public_id("alert", rule.pk),
        name=rule.name,
        type=KIND_NAMES[RuleKind(rule.kind)],
        severity=Severity(rule.severity).name,
        rules=RuleRules(pattern_matches=matches_of(_texts(rule)), properties=_properties(rule)),
        notification_channels=[_channel(one) for one in rule.channels.all()],
        is_enabled=rule.is_enabled,
        deployment_names=rule.deployments,
        grouping=rule.grouping.upper(),
        repeat_minutes=rule.repeat_minutes,
        tells_resolved=rule.tells_resolved,
        escalate_minutes=rule.escalate_minutes,
        escalate_to_channel_id=public_id("channel", escalates_to.pk) if escalates_to else None,
        created_at=rule.created_at,
        updated_at=rule.created_at,
        created_by=profile_of(rule.created_by),
        updated_by=profile_of(rule.created_by),
        matches=RuleMatches(**matched_fields(matched)) if matched else None,
        **entity_of(rule, rule.deployment),
    )


def matched_fields(matched: Matched) -> dict[str, Any]:
    """Return the fields of what a rule matches."""
    return {
        "deployment_count": matched.deployments,
        "dag_count": matched.dags,
        "known_dag_count": matched.known,
        "paused_dag_count": matched.paused,
        "first_names": list(matched.names),
        "is_cut": matched.is_cut,
    }


def form_data(rule: Rule, body: RuleChange) -> dict[str, Any]:
    """Return what the form of the page gets: the rule as it is, with what a client sent.

    Raises Invalid for what the form has no words for.
    """
    sent = body.rules.properties
    minutes = sent.task_duration_seconds or sent.dag_duration_seconds
    asked = {
        "name": body.name,
        "severity": _severity(body.severity),
        "channels": _channels(body.notification_channel_ids),
        "deployments": body.deployment_names,
        "grouping": body.grouping.lower() if body.grouping else None,
        "repeat_minutes": body.repeat_minutes,
        "tells_resolved": body.tells_resolved,
        "escalate_minutes": body.escalate_minutes,
        "escalate_to": number_of("channel", body.escalate_to_channel_id or "") or None,
        "limit_minutes": _whole(minutes, 60, "limit_minutes"),
        "within_hours": _whole(sent.look_back_period_seconds, 3600, "within_hours"),
        "due_at": sent.dag_deadline,
        "zone": sent.time_zone,
        "weekdays": weekdays_of(sent.days_of_week),
        "incident_kinds": sent.incident_kinds,
    }
    if body.rules.pattern_matches is not None:
        asked |= texts_of(body.rules.pattern_matches)
    return _stored(rule) | {name: value for name, value in asked.items() if value is not None}


def refuse_unused(form: RuleForm, body: RuleChange) -> None:
    """Raise Invalid for patterns that a rule of this type has no use for: it would find more than
    its writer meant.
    """
    texts = texts_of(body.rules.pattern_matches or ())
    for (kind, _), name in PLACES.items():
        if texts[name] and name not in form.fields:
            takes = "deploymentNames" if "dags" not in form.fields else "DAG_ID and DAG_TAG"
            message = f"A rule of this type takes no patterns of {kind}. It takes {takes}."
            raise Invalid(message, field=FIELDS[name])


def _stored(rule: Rule) -> dict[str, Any]:
    channels = [one.pk for one in rule.channels.all()] if rule.pk else []
    return {
        **_texts(rule),
        "name": rule.name,
        "deployment": rule.deployment_id,
        "deployments": rule.deployments,
        "severity": int(rule.severity),
        "channels": channels,
        "grouping": rule.grouping,
        "repeat_minutes": rule.repeat_minutes,
        "tells_resolved": rule.tells_resolved,
        "escalate_minutes": rule.escalate_minutes,
        "escalate_to": rule.escalate_to_id,
        "limit_minutes": rule.limit_seconds // 60 if rule.limit_seconds else None,
        "within_hours": rule.within_hours,
        "due_at": f"{rule.due_at:%H:%M}" if rule.due_at else None,
        "zone": rule.zone or "UTC",
        "weekdays": rule.weekdays,
        "incident_kinds": rule.incident_kinds,
    }


def _texts(rule: Rule) -> dict[str, str]:
    return {name: getattr(rule, name) for name in ("dags", "without_dags", "tasks", "tags")}


def _properties(rule: Rule) -> RuleProperties:
    found: dict[str, Any] = {}
    if rule.deployment_id is not None:
        found["deployment_id"] = public_id("deployment", rule.deployment_id)
    if rule.about.has_limit:
        name = "task_duration_seconds" if rule.about.has_tasks else "dag_duration_seconds"
        found[name] = rule.limit_seconds
    if rule.due_at is not None and rule.kind == RuleKind.DAG_LATE:
        found |= {
            "dag_deadline": f"{rule.due_at:%H:%M}",
            "days_of_week": [DAYS[one] for one in rule.weekdays],
            "look_back_period_seconds": rule.within_hours * 3600,
            "time_zone": rule.zone or "UTC",
        }
    if rule.kind == RuleKind.INCIDENT:
        found["incident_kinds"] = rule.incident_kinds
    return RuleProperties(**found)


def _channel(channel: Channel) -> RuleChannel:
    place = entity_of(channel)
    del place["entity_name"]
    return RuleChannel(
        id=public_id("channel", channel.pk),
        name=channel.name,
        type=TYPES[ChannelKind(channel.kind)],
        created_at=channel.created_at,
        updated_at=channel.created_at,
        **place,
    )


def _severity(name: str | None) -> int | None:
    if name is None:
        return None
    found = SEVERITIES.get(name.upper())
    if found is None:
        raise Invalid(f"Choose one of {', '.join(SEVERITIES)}.", field="severity")
    return int(found)


def _channels(texts: list[str] | None) -> list[int] | None:
    # The form refuses 0, which no channel has.
    return None if texts is None else [number_of("channel", one) for one in texts]


def weekdays_of(names: list[str] | None) -> list[int] | None:
    """Return days of the week as numbers, Monday is 0; None for None. Raises Invalid."""
    if names is None:
        return None
    unknown = [one for one in names if one.upper() not in DAYS]
    if unknown:
        raise Invalid(f"Choose from {', '.join(DAYS)}.", field=FIELDS["weekdays"])
    return sorted({DAYS.index(one.upper()) for one in names})


def _whole(seconds: int | None, unit: int, field: str) -> int | None:
    if seconds is None:
        return None
    if seconds % unit:
        raise Invalid(f"Send a multiple of {unit} seconds.", field=FIELDS[field])
    return seconds // unit
