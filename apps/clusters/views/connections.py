"""Forms that take a credential: who is there is asked before they are shown. A form that comes back
for correction keeps its secrets on the server, sealed, for this person and an hour.
"""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import STALE, fresh_sign_in_first, is_sign_in_fresh
from apps.clusters.connections.instructions import COMMANDS, KUBECONFIG_COMMAND
from apps.clusters.connections.kept import forget_secrets, kept_secrets
from apps.clusters.connections.services import may_move, register_cluster, replace_credential
from apps.clusters.forms.access import (
    KubeconfigForm,
    RegisterByKubeconfig,
    RegisterByToken,
    TokenForm,
)
from apps.clusters.forms.parts import KeptForm
from apps.clusters.views.parts import kubernetes_called, page_of, posted
from apps.clusters.views.secrets import keep, kept_of
from apps.clusters.views.ways import ways_to_connect
from apps.core.web.form_pages import errors_shown_in, form_page
from apps.dataplane.kubernetes.registration import permissions
from apps.organizations.models import Organization

BY_TOKEN = "token"  # noqa: S105 - a word in the address


@scoped(Organization, "organization.clusters.manage", by="slug")
@fresh_sign_in_first
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def register(request: HttpRequest, organization: Organization) -> HttpResponse:
    kind = RegisterByToken if _is_by_token(request) else RegisterByKubeconfig
    mine = _mine(request, organization, "register")
    form = kind(posted(request), kept=kept_secrets(**mine, now=timezone.now()))
    if request.method == "POST" and _is_good(request, form):
        with errors_shown_in(form):
            cluster = register_cluster(
                actor=request_user(request),
                organization=organization,
                name=form.cleaned_data["name"],
                access=form.cleaned_data["access"],
                namespaces=form.cleaned_data["namespaces"],
            )
            forget_secrets(**mine)
            messages.success(request, f"{cluster} is registered.")
            return redirect("clusters:cluster", organization.slug, cluster.pk)
    keep(form, mine)
    context = {
        "organization": organization,
        "ways": ways_to_connect(organization, current=_way(request)),
        **_form_context(request, form),
    }
    return form_page(request, "clusters/register.html", context, form)


@scoped(Organization, "organization.clusters.manage", by="slug")
@fresh_sign_in_first
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def credential(request: HttpRequest, organization: Organization, cluster_id: int) -> HttpResponse:
    cluster = kubernetes_called(organization, cluster_id)
    mine = _mine(request, organization, f"credential {cluster.pk}")
    kept = kept_secrets(**mine, now=timezone.now())
    form: KeptForm
    if _is_by_token(request):
        initial = {
            "server": cluster.server,
            "ca_certificate": cluster.ca_certificate,
            "tls_server_name": cluster.tls_server_name,
            "proxy_url": cluster.proxy_url,
        }
        form = TokenForm(posted(request), initial=initial, kept=kept)
    else:
        form = KubeconfigForm(posted(request), kept=kept)
    if request.method == "POST" and _is_good(request, form):
        with errors_shown_in(form):
            replace_credential(
                actor=request_user(request), cluster=cluster, access=form.cleaned_data["access"]
            )
            forget_secrets(**mine)
            messages.success(request, "The new credential passed its test and is used from now on.")
            return redirect("clusters:cluster", organization.slug, cluster.pk)
    keep(form, mine)
    context = {
        **page_of(request, cluster, tab="credential"),
        "may_move": may_move(actor=request_user(request), cluster=cluster),
        "ways": ways_to_connect(organization, cluster=cluster, current=_way(request)),
        **_form_context(request, form),
    }
    return form_page(request, "clusters/credential.html", context, form)


def _is_by_token(request: HttpRequest) -> bool:
    return request.GET.get("by") == BY_TOKEN


def _way(request: HttpRequest) -> str:
    return "token" if _is_by_token(request) else "kubeconfig"


def _mine(request: HttpRequest, organization: Organization, form: str) -> dict[str, Any]:
    return kept_of(request, organization, f"{form} {_way(request)}")


def _is_good(request: HttpRequest, form: KeptForm) -> bool:
    if not is_sign_in_fresh(request):
        form.add_error(None, STALE)
    return form.is_valid()


def _form_context(request: HttpRequest, form: forms.Form) -> dict[str, Any]:
    by_token = _is_by_token(request)
    return {
        "form": form,
        "is_stale": not is_sign_in_fresh(request),
        "confirm_url": f"{reverse('account_reauthenticate')}?next={request.path}",
        "by_token": by_token,
        "commands": COMMANDS,
        "kubeconfig_command": KUBECONFIG_COMMAND,
        "manifest": permissions.manifest(),
    }
