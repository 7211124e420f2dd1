"""Rules, which clients call alerts: list, read, create, change and delete, one or many."""

from typing import Any

from django.db import transaction
from django.db.models import Prefetch, Q, QuerySet
from django.utils import timezone
from ninja import Path, Query, Router
from pydantic import Field

from apps.alerts.channels.models import Channel
from apps.alerts.channels.queries import channels_for
from apps.alerts.evaluation.matched import Matched, matched_by_each
from apps.alerts.pages.forms.rules import RuleForm
from apps.alerts.pages.queries import SEE, deployments_to_choose
from apps.alerts.places import Place, fields_of
from apps.alerts.rules.models import Rule
from apps.alerts.rules.services import save_rule, switch_rule
from apps.alerts.sweeping.deleting import delete_rule
from apps.api.alerts.places import managed_place, may_manage, seen
from apps.api.alerts.shapes import (
    FIELDS,
    KINDS,
    NewRule,
    RuleChange,
    RuleList,
    RuleShape,
    form_data,
    kind_of,
    refuse_unused,
    rule_shape,
)
from apps.api.wire.errors import NotOffered, or_404
from apps.api.wire.forms import check
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.idempotency import once
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import InOrganization, Shape
from apps.core.errors import Invalid
from apps.core.public_ids import number_of, numbers_of
from apps.deployments.models import Deployment

router = Router(by_alias=True, exclude_none=True, tags=["Alert"])
MOST_AT_ONCE = 100


class AtRule(InOrganization):
    alert_id: str


class OneRuleQuery(Shape):
    include_matches: bool = False


class RuleQuery(Paging):
    """With `includeMatches` ask for at most 100: it is counted how many DAGs each matches now."""

    include_matches: bool = False
    alert_ids: list[str] = []
    deployment_ids: list[str] = []
    workspace_ids: list[str] = []
    alert_types: list[str] = []
    entity_type: str = ""


class NewRules(Shape):
    alerts: list[NewRule] = Field(max_length=MOST_AT_ONCE)


class ChangeOfRule(RuleChange):
    alert_id: str


class ChangeOfRules(Shape):
    alerts: list[ChangeOfRule] = Field(max_length=MOST_AT_ONCE)


class RuleIds(Shape):
    alert_ids: list[str] = Field(max_length=MOST_AT_ONCE)


class SeveralRules(Shape):
    alerts: list[RuleShape]


@router.get(
    "/organizations/{organizationId}/alerts",
    auth=in_organization(),
    response=RuleList,
    operation_id="ListAlerts",
    summary="List rules of alerts",
)
def list_rules(request: Call, at: Path[InOrganization], asked: Query[RuleQuery]) -> Any:
    found = _rows(request)
    if asked.alert_ids:
        found = found.filter(pk__in=numbers_of("alert", asked.alert_ids))
    if asked.deployment_ids:
        found = found.filter(deployment__in=numbers_of("deployment", asked.deployment_ids))
    if asked.workspace_ids:
        found = found.filter(workspace__in=numbers_of("workspace", asked.workspace_ids))
    if asked.alert_types:
        found = found.filter(kind__in=[KINDS.get(one, "") for one in asked.alert_types])
    if asked.entity_type:
        found = found.filter(deployment__isnull=asked.entity_type.upper() != "DEPLOYMENT")
    if asked.include_matches and asked.limit > MOST_AT_ONCE:
        raise Invalid(f"With includeMatches, ask for {MOST_AT_ONCE} at most.", field="limit")
    page = page_of(found, asked, sorts={"name": "name", "createdAt": "created_at"})
    matches = _matches(request, page.rows, asked.include_matches)
    rows = [rule_shape(*one) for one in zip(page.rows, matches, strict=True)]
    return RuleList(alerts=rows, **page.numbers(asked))


@router.post(
    "/organizations/{organizationId}/alerts",
    auth=in_organization(),
    response=RuleShape,
    operation_id="CreateAlert",
    summary="Create a rule of alerts",
)
@once
def new_rule(request: Call, at: Path[InOrganization], body: NewRule) -> Any:
    """For a Deployment, a workspace or the organization: `entityType` and `entityId`."""
    with transaction.atomic():
        return rule_shape(_create(request, body))


@router.get(
    "/organizations/{organizationId}/alerts/{alertId}",
    auth=in_organization(),
    response=RuleShape,
    operation_id="GetAlert",
    summary="Get a rule of alerts",
)
def get_rule(request: Call, at: Path[AtRule], asked: Query[OneRuleQuery]) -> Any:
    rule = _found(request, at.alert_id)
    return rule_shape(rule, *_matches(request, [rule], asked.include_matches))


@router.post(
    "/organizations/{organizationId}/alerts/{alertId}",
    auth=in_organization(),
    response=RuleShape,
    operation_id="UpdateAlert",
    summary="Change a rule of alerts",
)
def change_rule(request: Call, at: Path[AtRule], body: RuleChange) -> Any:
    with transaction.atomic():
        return rule_shape(_change(request, at.alert_id, body))


@router.delete(
    "/organizations/{organizationId}/alerts/{alertId}",
    auth=in_organization(),
    response={204: None},
    operation_id="DeleteAlert",
    summary="Delete a rule and its alerts",
)
def remove_rule(request: Call, at: Path[AtRule]) -> None:
    rule = _mine(request, at.alert_id)
    delete_rule(actor=request.caller.user, rule=rule, now=timezone.now())


@router.post(
    "/organizations/{organizationId}/create-alerts",
    auth=in_organization(),
    response=SeveralRules,
    operation_id="LabsCreateAlerts",
    summary="Create several rules of alerts: all of them, or none",
)
@once
def new_rules(request: Call, at: Path[InOrganization], body: NewRules) -> Any:
    with transaction.atomic():
        return SeveralRules(alerts=[rule_shape(_create(request, one)) for one in body.alerts])


@router.post(
    "/organizations/{organizationId}/update-alerts",
    auth=in_organization(),
    response=SeveralRules,
    operation_id="LabsUpdateAlerts",
    summary="Change several rules of alerts: all of them, or none",
)
def change_rules(request: Call, at: Path[InOrganization], body: ChangeOfRules) -> Any:
    with transaction.atomic():
        changed = [_change(request, one.alert_id, one) for one in body.alerts]
        return SeveralRules(alerts=[rule_shape(one) for one in changed])


@router.post(
    "/organizations/{organizationId}/delete-alerts",
    auth=in_organization(),
    response={204: None},
    operation_id="LabsDeleteAlerts",
    summary="Delete several rules and their alerts: all of them, or none",
)
def remove_rules(request: Call, at: Path[InOrganization], body: RuleIds) -> None:
    with transaction.atomic():
        for one in body.alert_ids:
            rule = _mine(request, one)
            delete_rule(actor=request.caller.user, rule=rule, now=timezone.now())


def _create(request: Call, body: NewRule) -> Rule:
    place, deployment = managed_place(request, body.entity_type, body.entity_id)
    named = body.rules.properties.deployment_id
    if deployment is None and named:
        raise NotOffered("For one Deployment send entityType DEPLOYMENT and its ID as entityId.")
    rule = Rule(**fields_of(place), kind=kind_of(body.type), deployment=deployment)
    return _save(request, place, rule, body)


def _change(request: Call, text: str, body: RuleChange) -> Rule:
    rule = _mine(request, text)
    if body.type and kind_of(body.type) != rule.kind:
        raise NotOffered("A rule keeps its type. Create another one.")
    named = body.rules.properties.deployment_id
    if named and number_of("deployment", named) != rule.deployment_id:
        raise NotOffered("A rule keeps its Deployment. Create another one.")
    return _save(request, rule.place, rule, body)


def _save(request: Call, place: Place, rule: Rule, body: RuleChange) -> Rule:
    user = request.caller.user
    form = RuleForm(
        form_data(rule, body),
        rule=rule,
        channels=channels_for(place),
        deployments=deployments_to_choose(place=place, user=user),
    )
    refuse_unused(form, body)
    check(form, FIELDS)
    filled, channels = form.filled(), list(form.cleaned_data["channels"])
    if rule.pk is None and body.is_enabled is False:
        filled.is_enabled = False
    saved = save_rule(actor=user, rule=filled, channels=channels)
    if body.is_enabled is not None:
        switch_rule(actor=user, rule=saved, is_enabled=body.is_enabled)
    return saved


def _matches(request: Call, rules: list[Rule], is_asked: bool) -> list[Matched | None]:
    if not is_asked:
        return [None] * len(rules)
    seen = Deployment.objects.allowing(request.caller.user, SEE)
    return [*matched_by_each(rules, seen=seen)]


def _rows(request: Call) -> QuerySet[Rule]:
    visible = Deployment.objects.allowing(request.caller.user, SEE).values("pk")
    rows = Rule.objects.filter(seen(request)).filter(Q(deployment=None) | Q(deployment__in=visible))
    channels = Channel.objects.select_related("organization", "workspace").order_by("name")
    above = ("organization", "workspace__organization", "deployment", "escalate_to", "created_by")
    return rows.select_related(*above).prefetch_related(Prefetch("channels", queryset=channels))


def _found(request: Call, text: str) -> Rule:
    return or_404(_rows(request).filter(pk=number_of("alert", text)).first())


def _mine(request: Call, text: str) -> Rule:
    rule = _found(request, text)
    may_manage(request, rule.place)
    return rule
