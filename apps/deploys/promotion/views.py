from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.access.queries import denial_for
from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.errors import PortalError
from apps.core.web.form_pages import errors_as_messages
from apps.core.web.htmx import is_fragment
from apps.deployments.models import Deployment, Phase
from apps.deploys.models import Deploy, Promotion, PromotionState
from apps.deploys.promotion import queries, rules, services
from apps.deploys.promotion.fitting import way_of_packages
from apps.deploys.promotion.forms import ApprovalForm, CompareForm, DecisionForm, PromoteForm
from apps.deploys.promotion.queries import DELIVER, MOST_CHOICES, SEE
from apps.organizations.models import Workspace

POLL_SECONDS = 2


@scoped(Deployment, SEE, by="ref")
@require_safe
def compare(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    """Show what this Deployment runs and another one does not, and offer to promote it."""
    found = queries.comparable_deployments(user=request_user(request), deployment=deployment)
    choices = list(found[:MOST_CHOICES])
    to = request.GET.get("to", "")
    target = next((one for one in choices if one.ref == to), None)
    context: dict[str, Any] = {
        "deployment": deployment,
        "form": CompareForm(initial={"to": to}, choices=choices),
        "has_choices": bool(choices),
        "is_unknown": bool(to) and target is None,
        "target": target,
        "list_url": reverse("deploys:list", args=[deployment.ref]),
        "deploy": queries.running_deploy(deployment),
    }
    if target is not None and context["deploy"] is not None:
        context |= _comparison(request, context["deploy"], deployment, target)
    return render(request, "deploys/promotion/compare.html", context)


@scoped(Deployment, DELIVER, by="ref")
@require_POST
def promote(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    """Run here what another Deployment runs, or ask for approval."""
    form = PromoteForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Compare two Deployments first.")
        return redirect("deploys:list", deployment.ref)
    asked = form.cleaned_data
    found = queries.comparable_deployments(user=request_user(request), deployment=deployment)
    source = get_object_or_404(found, ref=asked["source"])
    try:
        promotion = services.promote(
            actor=request_user(request),
            source=source,
            target=deployment,
            deploy_number=asked["deploy"],
            base_revision_number=asked["base"],
            description=asked["description"],
        )
    except services.AlreadyAsked as waiting:
        messages.info(request, waiting.message)
        return redirect("deploys:promotion", deployment.ref, waiting.promotion.number)
    except PortalError as error:
        messages.error(request, error.message)
        compared = reverse("deploys:compare", args=[source.ref])
        return redirect(f"{compared}?to={deployment.ref}")
    return _after(promotion)


@scoped(Deployment, SEE, by="ref", writing=DELIVER)
@require_http_methods(["GET", "HEAD", "POST"])
def promotion(request: HttpRequest, deployment: Deployment, number: int) -> HttpResponse:
    shown = queries.promotion_of(deployment, number)
    if shown is None:
        raise Http404
    # The gate has loaded it with all above it, and the page asks for them.
    shown.deployment = deployment
    if request.method != "POST":
        name = "_promotion" if is_fragment(request) else "promotion"
        return render(request, f"deploys/promotion/{name}.html", _page_of(request, shown))
    form = DecisionForm(request.POST)
    if form.is_valid():
        try:
            return _after(_decided(request, shown, form.cleaned_data))
        except PortalError as error:
            messages.error(request, error.message)
    return redirect("deploys:promotion", deployment.ref, number)


@scoped(Deployment, "deployment.update", by="ref")
@require_POST
def set_approval(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    own, default = rules.approval_of(deployment)
    form = ApprovalForm(request.POST, own=own, default=default)
    if form.is_valid():
        with errors_as_messages(request):
            rules.set_approval(actor=request_user(request), deployment=deployment, is_on=form.is_on)
            messages.success(request, "Saved.")
    return redirect("deploys:git_source", deployment.ref)


@scoped(Workspace, "workspace.update", by="slug")
@require_POST
def set_default_approval(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    is_on = request.POST.get("is_on") == "on"
    rules.set_default_approval(actor=request_user(request), workspace=workspace, is_on=is_on)
    word = "need" if is_on else "do not need"
    messages.success(
        request, f"Promotions to Deployments that do not differ {word} the approval of a person."
    )
    return redirect("deploys:git_repositories", workspace.slug)


def _decided(request: HttpRequest, shown: Promotion, decision: dict[str, Any]) -> Promotion:
    actor, now = request_user(request), timezone.now()
    if decision["action"] == "decline":
        return services.decline(actor=actor, promotion=shown, now=now)
    return services.approve(
        actor=actor, promotion=shown, base_revision_number=decision["base"], now=now
    )


def _after(done: Promotion) -> HttpResponse:
    """Lead to the operation that a promotion began, or to its page."""
    ref = done.deployment.ref
    if done.state == PromotionState.DEPLOYED and done.deploy is not None:
        revision = done.deploy.revision
        operation = revision.operations.order_by("number").first() if revision else None
        if operation is not None:
            return redirect("deployments:operation", ref, operation.number)
    return redirect("deploys:promotion", ref, done.number)


def _comparison(
    request: HttpRequest, deploy: Any, source: Deployment, target: Deployment
) -> dict[str, Any]:
    deploy.deployment = source
    may_deliver = target.phase == Phase.ACTIVE and request.user.has_perm(DELIVER, target)
    return {
        "comparison": queries.difference_between(deploy=deploy, target=target),
        "way_of_packages": way_of_packages(deploy, target),
        "needs_approval": rules.needs_approval(target),
        "may_deliver": may_deliver,
        "denial": denial_for(user=request.user, permission=DELIVER, on=target),
        "base": target.wanted.number if target.wanted else 0,
    }


def _page_of(request: HttpRequest, shown: Promotion) -> dict[str, Any]:
    deployment, source, user = shown.deployment, shown.source, request.user
    state = services.state_at(shown, timezone.now())
    is_open = state == PromotionState.OPEN
    sees_source = source is not None and user.has_perm(SEE, source.deployment)
    return {
        "deployment": deployment,
        "promotion": shown,
        "state": state,
        "is_open": is_open,
        "is_live": state == PromotionState.COPYING,
        "is_fragment": is_fragment(request),
        "poll_seconds": POLL_SECONDS,
        "deploy": source,
        "sees_source": sees_source,
        "promote_url": _compare_url(source, deployment) if source and sees_source else "",
        "comparison": _shown_difference(shown) if is_open else None,
        "way_of_packages": way_of_packages(source, deployment) if source and is_open else "",
        "approvers": queries.approvers(shown) if is_open else [],
        "is_own": shown.created_by_id == user.pk,
        "may_deliver": deployment.phase == Phase.ACTIVE and user.has_perm(DELIVER, deployment),
        "denial": denial_for(user=user, permission=DELIVER, on=deployment),
        "base": deployment.wanted.number if deployment.wanted else 0,
        "list_url": reverse("deploys:list", args=[deployment.ref]),
    }


def _compare_url(source: Deploy, target: Deployment) -> str:
    return f"{reverse('deploys:compare', args=[source.deployment.ref])}?to={target.ref}"


def _shown_difference(shown: Promotion) -> Any:
    if shown.source is None:
        return None
    return queries.difference_between(deploy=shown.source, target=shown.deployment)
