from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import (
    STALE,
    fresh_sign_in,
    fresh_sign_in_first,
    is_sign_in_fresh,
)
from apps.clusters.connections.kept import forget_secrets, kept_secrets
from apps.clusters.connections.services import may_move
from apps.clusters.forms.settings.form import SettingsForm
from apps.clusters.forms.workspaces import WorkspacesForm
from apps.clusters.queries import behind, deployments_in_words, deployments_on
from apps.clusters.services import choose_workspaces, remove_cluster, update_settings
from apps.clusters.views.parts import cluster_called, kubernetes_called, page_of, posted
from apps.clusters.views.secrets import keep, kept_of
from apps.core.errors import Invalid, PortalError
from apps.core.web.form_pages import form_page, is_submitted
from apps.core.web.forms import add_error
from apps.organizations.models import Organization

MOST_DEPLOYMENTS = 20


@scoped(Organization, "organization.clusters.manage", by="slug")
@fresh_sign_in_first
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def settings(request: HttpRequest, organization: Organization, cluster_id: int) -> HttpResponse:
    cluster = kubernetes_called(organization, cluster_id)
    there = deployments_on(cluster=cluster).filter(phase="active")
    count, waiting = there.count(), behind(cluster=cluster)
    mine = kept_of(request, organization, f"settings {cluster.pk}")
    if request.method != "POST":
        # A secret of an abandoned form must not be saved with the next change.
        forget_secrets(**mine)
    form = SettingsForm(
        posted(request),
        kept=kept_secrets(**mine, now=timezone.now()),
        cluster=cluster,
        deployment_count=count,
        initial=SettingsForm.stored(cluster),
    )
    is_fresh = is_sign_in_fresh(request)
    if request.method == "POST" and not is_fresh:
        form.add_error(None, STALE)
    if is_submitted(request, form):
        try:
            concerned = update_settings(
                actor=request_user(request),
                cluster=cluster,
                settings=form.settings(),
                secrets=form.secrets(),
                may_apply_again=bool(form.cleaned_data.get("apply_again")),
            )
        except PortalError as error:
            add_error(form, error)
        else:
            forget_secrets(**mine)
            again = f" {deployments_in_words(concerned)} applied again." if concerned else ""
            messages.success(request, f"Saved.{again}")
            return redirect("clusters:settings", organization.slug, cluster.pk)
    keep(form, mine)
    context = {
        **page_of(request, cluster, tab="settings"),
        "form": form,
        "may_move": may_move(actor=request_user(request), cluster=cluster),
        "deployments": there[:MOST_DEPLOYMENTS],
        "more": max(0, count - MOST_DEPLOYMENTS),
        "behind": waiting[:MOST_DEPLOYMENTS],
        "behind_more": max(0, waiting.count() - MOST_DEPLOYMENTS),
        "is_stale": not is_fresh,
        "confirm_url": f"{reverse('account_reauthenticate')}?next={request.path}",
    }
    return form_page(request, "clusters/settings.html", context, form)


@scoped(
    Organization,
    "organization.clusters.view",
    by="slug",
    writing="organization.clusters.manage",
)
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def workspaces(request: HttpRequest, organization: Organization, cluster_id: int) -> HttpResponse:
    cluster = cluster_called(organization, cluster_id)
    initial = {
        "reach": "all" if cluster.is_for_all_workspaces else "chosen",
        "workspaces": cluster.workspaces.all(),
    }
    form = WorkspacesForm(posted(request), cluster=cluster, initial=initial)
    if is_submitted(request, form):
        choose_workspaces(
            actor=request_user(request),
            cluster=cluster,
            is_for_all=form.cleaned_data["reach"] == "all",
            workspaces=list(form.cleaned_data["workspaces"]),
        )
        messages.success(request, "Saved.")
        return redirect("clusters:workspaces", organization.slug, cluster.pk)
    context = {
        **page_of(request, cluster, tab="workspaces"),
        "form": form,
        "chosen": cluster.workspaces.visible_to(request.user).order_by("name"),
    }
    return form_page(request, "clusters/workspaces.html", context, form)


@scoped(Organization, "organization.clusters.manage", by="slug")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, organization: Organization, cluster_id: int) -> HttpResponse:
    cluster = kubernetes_called(organization, cluster_id)
    error = refusal = ""
    if request.method == "POST":
        try:
            remove_cluster(
                actor=request_user(request),
                cluster=cluster,
                typed_name=request.POST.get("confirm", "").strip(),
            )
        except Invalid as wrong:
            error = wrong.message
        except PortalError as refused:
            refusal = refused.message
        else:
            messages.success(request, f"{cluster} is removed from the portal.")
            return redirect("clusters:list", organization.slug)
    there = deployments_on(cluster=cluster)
    context = {
        **page_of(request, cluster, tab="settings"),
        "error": error,
        "refusal": refusal,
        "deployments": there.visible_to(request.user)[:MOST_DEPLOYMENTS],
        "deployment_count": there.count(),
    }
    status = 422 if error or refusal else 200
    return render(request, "clusters/remove.html", context, status=status)
