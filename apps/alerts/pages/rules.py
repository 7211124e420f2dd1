from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.request_user import request_user
from apps.alerts.channels.queries import channels_for
from apps.alerts.deliveries.messages import example
from apps.alerts.evaluation.judging import Where
from apps.alerts.evaluation.matched import matched_by
from apps.alerts.evaluation.past import past_of
from apps.alerts.pages.forms.rules import WATCHED, RuleForm
from apps.alerts.pages.parts import (
    MANAGE_ORGANIZATION,
    MANAGE_WORKSPACE,
    address,
    common,
    on_organization,
    on_workspace,
)
from apps.alerts.pages.queries import deployments_to_choose, rules_of
from apps.alerts.pages.words import matched_in_words
from apps.alerts.places import Place, fields_of
from apps.alerts.rules import services
from apps.alerts.rules.kinds import ABOUT, RuleKind
from apps.alerts.rules.models import Rule
from apps.alerts.sweeping.deleting import delete_rule as delete_and_resolve
from apps.core.web.form_pages import errors_shown_in, form_page, is_submitted
from apps.deployments.models import Deployment
from apps.organizations.models import Workspace


def _new_rule(request: HttpRequest, place: Place) -> HttpResponse:
    """Show the kinds to choose from."""
    kinds = [
        {"url": address(place, "new_rule_of", kind), "label": RuleKind(kind).label, "about": about}
        for kind, about in ABOUT.items()
    ]
    context = common(request, place, "") | {
        "kinds": kinds,
        "has_channels": channels_for(place).exists(),
    }
    return render(request, "alerts/rules/kinds.html", context)


def _new_rule_of(request: HttpRequest, place: Place, rule_kind: str) -> HttpResponse:
    if rule_kind not in ABOUT:
        raise Http404
    return _edit(request, place, Rule(**fields_of(place), kind=rule_kind))


def _rule(request: HttpRequest, place: Place, rule_id: int) -> HttpResponse:
    return _edit(request, place, _found(request, place, rule_id))


def _edit(request: HttpRequest, place: Place, rule: Rule) -> HttpResponse:
    user, now = request_user(request), timezone.now()
    seen = deployments_to_choose(place=place, user=user)
    form = RuleForm(
        request.POST if request.method == "POST" else None,
        rule=rule,
        channels=channels_for(place),
        deployments=seen,
    )
    if "matches" in request.POST:
        return render(request, "alerts/rules/_matches.html", _matches(form, seen))
    is_new = rule.pk is None
    is_preview = "preview" in request.POST
    shown = rule
    if is_submitted(request, form):
        shown = form.filled()
        with errors_shown_in(form):
            if not is_preview:
                services.save_rule(
                    actor=user, rule=shown, channels=list(form.cleaned_data["channels"])
                )
                messages.success(request, f"Rule {shown.name} {'created' if is_new else 'saved'}.")
                return redirect(address(place, "overview"))
    context = common(request, place, "") | {
        "form": form,
        "rule": rule,
        "is_new": is_new,
        "about": ABOUT[rule.kind],
        "kind_label": RuleKind(rule.kind).label,
        "is_slow": ABOUT[rule.kind].has_limit,
        "is_late": rule.kind == RuleKind.DAG_LATE,
        "is_incident": rule.kind == RuleKind.INCIDENT,
        "delete_url": "" if is_new else address(place, "delete_rule", rule.pk),
        "has_channels": channels_for(place).exists(),
        **_matches(form, seen),
        **_preview(shown, place, seen, is_new=is_new and not is_preview or bool(form.errors)),
        "now": now,
    }
    return form_page(request, "alerts/rules/rule.html", context, form)


def _matches(form: RuleForm, seen: QuerySet[Deployment]) -> dict[str, Any]:
    """Return what the rule matches now, as far as it was entered, among what a person sees."""
    wrong = [error for name in WATCHED for error in form.errors.get(name, ())]
    if wrong:
        return {"matched": None, "says": ("bad", wrong[0], "")}
    rule = form.watching()
    matched = matched_by(rule, seen=seen)
    says = matched_in_words(matched, rule)
    return {"matched": matched, "says": says, "is_late": rule.kind == RuleKind.DAG_LATE}


def _preview(
    rule: Rule, place: Place, seen: QuerySet[Deployment], *, is_new: bool
) -> dict[str, Any]:
    """Return a message as the rule would write it, and how often it would have in a week.

    A rule that was not entered yet has a preview of its kind with values made up.
    """
    now = timezone.now()
    is_whole = rule.limit_seconds is not None or not ABOUT[rule.kind].has_limit
    is_whole = is_whole and (rule.due_at is not None or rule.kind != RuleKind.DAG_LATE)
    deployment = rule.deployment
    where = Where(
        pk=deployment.pk if deployment else 0,
        ref=deployment.ref if deployment else "",
        name=deployment.name if deployment else "etl-prod",
        workspace_id=0,
        workspace=place.name if isinstance(place, Workspace) else "a workspace",
        organization_id=rule.organization_id,
    )
    if not rule.name:
        rule.name = RuleKind(rule.kind).label
    if not is_whole:
        return {"message": None, "past": None}
    has_past = not is_new and rule.kind != RuleKind.BUDGET_SPENT
    past = past_of(rule, seen=seen, now=now) if has_past else None
    dag = past.sample if past else ""
    return {"message": example(rule, where=where, dag=dag, now=now, url=""), "past": past}


def _switch_rule(request: HttpRequest, place: Place, rule_id: int) -> HttpResponse:
    rule = _found(request, place, rule_id)
    is_enabled = request.POST.get("to") == "on"
    services.switch_rule(actor=request_user(request), rule=rule, is_enabled=is_enabled)
    messages.success(request, f"Rule {rule.name} switched {'on' if is_enabled else 'off'}.")
    return redirect(address(place, "overview"))


def _delete_rule(request: HttpRequest, place: Place, rule_id: int) -> HttpResponse:
    rule = _found(request, place, rule_id)
    if request.method == "POST":
        delete_and_resolve(actor=request_user(request), rule=rule, now=timezone.now())
        messages.success(request, f"Rule {rule.name} deleted.")
        return redirect(address(place, "overview"))
    context = common(request, place, "") | {
        "what": f"rule {rule.name}",
        "lost": "Its alerts and the log of their messages are deleted with it. PagerDuty and "
        "Opsgenie are told that they are over.",
        "back_url": address(place, "rule", rule.pk),
    }
    return render(request, "alerts/delete.html", context)


def _found(request: HttpRequest, place: Place, rule_id: int) -> Rule:
    return get_object_or_404(rules_of(place=place, user=request_user(request)), pk=rule_id)


new_rule = require_safe(_new_rule)
new_rule_of = require_http_methods(["GET", "HEAD", "POST"])(_new_rule_of)
rule = require_http_methods(["GET", "HEAD", "POST"])(_rule)
switch_rule = require_POST(_switch_rule)
delete_rule = require_http_methods(["GET", "HEAD", "POST"])(_delete_rule)

organization_new_rule = on_organization(MANAGE_ORGANIZATION)(new_rule)
organization_new_rule_of = on_organization(MANAGE_ORGANIZATION)(new_rule_of)
organization_rule = on_organization(MANAGE_ORGANIZATION)(rule)
organization_switch_rule = on_organization(MANAGE_ORGANIZATION)(switch_rule)
organization_delete_rule = on_organization(MANAGE_ORGANIZATION)(delete_rule)

workspace_new_rule = on_workspace(MANAGE_WORKSPACE)(new_rule)
workspace_new_rule_of = on_workspace(MANAGE_WORKSPACE)(new_rule_of)
workspace_rule = on_workspace(MANAGE_WORKSPACE)(rule)
workspace_switch_rule = on_workspace(MANAGE_WORKSPACE)(switch_rule)
workspace_delete_rule = on_workspace(MANAGE_WORKSPACE)(delete_rule)
