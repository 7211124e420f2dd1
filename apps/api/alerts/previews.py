"""What a rule would match and would have told, before it is made: a dry run."""

from typing import Any

from django.utils import timezone
from ninja import Path, Router

from apps.alerts.channels.queries import channels_for
from apps.alerts.evaluation.matched import matched_by
from apps.alerts.evaluation.past import past_of
from apps.alerts.pages.forms.rules import RuleForm
from apps.alerts.pages.queries import deployments_to_choose
from apps.alerts.places import fields_of
from apps.alerts.rules.kinds import RuleKind
from apps.alerts.rules.models import Rule
from apps.api.alerts.places import managed_place
from apps.api.alerts.shapes import (
    FIELDS,
    RuleChange,
    RuleMatches,
    form_data,
    kind_of,
    matched_fields,
    refuse_unused,
)
from apps.api.wire.forms import check
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.shapes import InOrganization

router = Router(by_alias=True, exclude_none=True, tags=["Alert"])
NAME = "Preview"


class RuleToPreview(RuleChange):
    type: str
    entity_type: str
    entity_id: str


class RulePreview(RuleMatches):
    """`timesInLastWeek` is how often it would have found something, where that can be told."""

    times_in_last_week: int | None = None


@router.post(
    "/organizations/{organizationId}/preview-alert",
    auth=in_organization(),
    response=RulePreview,
    operation_id="PreviewAlert",
    summary="Count what a rule would match and would have found, without making it",
)
def preview_rule(request: Call, at: Path[InOrganization], body: RuleToPreview) -> Any:
    """It takes what creating one takes, without a name and channels."""
    user = request.caller.user
    place, deployment = managed_place(request, body.entity_type, body.entity_id)
    rule = Rule(**fields_of(place), kind=kind_of(body.type), deployment=deployment, name=NAME)
    seen = deployments_to_choose(place=place, user=user)
    form = RuleForm(
        form_data(rule, body), rule=rule, channels=channels_for(place), deployments=seen
    )
    del form.fields["channels"]
    refuse_unused(form, body)
    check(form, FIELDS)
    filled = form.filled()
    matched = matched_by(filled, seen=seen)
    has_past = filled.kind != RuleKind.BUDGET_SPENT
    past = past_of(filled, seen=seen, now=timezone.now()) if has_past else None
    return RulePreview(
        times_in_last_week=past.times if past else None,
        **matched_fields(matched),
    )
