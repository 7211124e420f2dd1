"""Find clusters of a cloud, register those that are ticked, connect one again."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import STALE, fresh_sign_in_first, is_sign_in_fresh
from apps.clusters.connections.instructions import role_policy, trust_policy
from apps.clusters.connections.kept import forget_secrets, keep_secrets, kept_secrets
from apps.clusters.connections.own_identities import external_id_of, own_identity_for
from apps.clusters.connections.planes import allowed_networks
from apps.clusters.connections.services import (
    MOST_AT_ONCE,
    may_move,
    register_found,
    replace_credential,
)
from apps.clusters.connections.sources import Offer, Source
from apps.clusters.forms.clouds import FORMS, CloudForm
from apps.clusters.models import Cluster
from apps.clusters.views.parts import kubernetes_called, page_of, posted
from apps.clusters.views.secrets import keep, kept_of
from apps.clusters.views.ways import ways_to_connect
from apps.core.errors import Invalid
from apps.core.web.form_pages import errors_shown_in, form_page
from apps.organizations.models import Organization

TITLES = {"aws": "Amazon EKS", "azure": "Azure AKS", "google": "Google GKE"}


@scoped(Organization, "organization.clusters.manage", by="slug")
@fresh_sign_in_first
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def find(request: HttpRequest, organization: Organization, cloud: str) -> HttpResponse:
    mine = kept_of(request, organization, f"find {_known(cloud)}")
    form = _form(request, organization, cloud, mine)
    offers: tuple[Offer, ...] | None = None
    ticked = request.POST.getlist("clusters")[: MOST_AT_ONCE + 1]
    if request.method == "POST" and _is_good(request, form):
        with errors_shown_in(form):
            if ticked:
                made = _registered(request, organization, form.cleaned_data["source"], ticked)
                forget_secrets(**mine)
                return _after(request, organization, made)
            offers = form.cleaned_data["source"].find()
            # The next step needs them again, and they never leave the server.
            keep_secrets(**mine, secrets=form.secrets_to_keep(), now=timezone.now())
            form.show_kept(form.secret_fields)
    keep(form, mine)
    context = {
        "organization": organization,
        "ways": ways_to_connect(organization, current=cloud),
        "offers": _rows(organization, offers),
        **_form_context(request, organization, form, cloud),
    }
    return form_page(request, "clusters/find.html", context, form)


@scoped(Organization, "organization.clusters.manage", by="slug")
@fresh_sign_in_first
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def reconnect(
    request: HttpRequest, organization: Organization, cluster_id: int, cloud: str
) -> HttpResponse:
    cluster = kubernetes_called(organization, cluster_id)
    mine = kept_of(request, organization, f"credential {cluster.pk} {_known(cloud)}")
    initial = _initial(cluster) if cluster.cloud.get("cloud") == cloud else {}
    form = _form(request, organization, cloud, mine, names_one=True, initial=initial)
    if request.method == "POST" and _is_good(request, form):
        with errors_shown_in(form):
            access = _access(form.cleaned_data["source"], form.cleaned_data["one"])
            replace_credential(actor=request_user(request), cluster=cluster, access=access)
            forget_secrets(**mine)
            messages.success(request, "The new credential passed its test and is used from now on.")
            return redirect("clusters:cluster", organization.slug, cluster.pk)
    keep(form, mine)
    context = {
        **page_of(request, cluster, tab="credential"),
        "may_move": may_move(actor=request_user(request), cluster=cluster),
        "ways": ways_to_connect(organization, cluster=cluster, current=cloud),
        **_form_context(request, organization, form, cloud),
    }
    return form_page(request, "clusters/reconnect.html", context, form)


def _known(cloud: str) -> str:
    if cloud not in FORMS:
        raise Http404
    return cloud


def _form(
    request: HttpRequest,
    organization: Organization,
    cloud: str,
    mine: dict[str, Any],
    **options: Any,
) -> CloudForm:
    return FORMS[cloud](
        posted(request),
        kept=kept_secrets(**mine, now=timezone.now()),
        external_id=external_id_of(organization) if cloud == "aws" else "",
        own=own_identity_for(organization, cloud),
        **options,
    )


def _is_good(request: HttpRequest, form: CloudForm) -> bool:
    if not is_sign_in_fresh(request):
        form.add_error(None, STALE)
    return form.is_valid()


def _access(source: Source, key: str) -> Any:
    try:
        return source.access_to(key, networks=allowed_networks(), now=timezone.now())
    except Invalid as error:
        raise Invalid(error.message) from None


def _registered(
    request: HttpRequest, organization: Organization, source: Source, keys: list[str]
) -> list[Cluster]:
    try:
        return register_found(
            actor=request_user(request), organization=organization, source=source, keys=keys
        )
    except Invalid as error:
        raise Invalid(error.message) from None


def _after(request: HttpRequest, organization: Organization, made: list[Cluster]) -> HttpResponse:
    if len(made) == 1:
        messages.success(request, f"{made[0]} is registered.")
        return redirect("clusters:cluster", organization.slug, made[0].pk)
    messages.success(request, f"{len(made)} clusters are registered.")
    return redirect("clusters:list", organization.slug)


def _rows(
    organization: Organization, offers: tuple[Offer, ...] | None
) -> list[dict[str, Any]] | None:
    if offers is None:
        return None
    there = {
        (one["cloud"].get("cluster"), one["cloud"].get("region")): one["name"]
        for one in organization.clusters.there().exclude(cloud={}).values("cloud", "name")
    }
    return [{"offer": one, "known_as": there.get((one.name, one.region), "")} for one in offers]


def _initial(cluster: Cluster) -> dict[str, str]:
    facts = cluster.cloud
    names = {
        "aws": {"role_arn": "principal", "region": "region"},
        "azure": {"client_id": "principal", "subscription": "account"},
        "google": {"project": "account"},
    }[facts["cloud"]] | {"one": "key"}
    found = {field: facts[fact] for field, fact in names.items()}
    if facts.get("own"):
        found |= {"own_identity": "yes", "client_id": ""}
    return found


def _form_context(
    request: HttpRequest, organization: Organization, form: CloudForm, cloud: str
) -> dict[str, Any]:
    context: dict[str, Any] = {
        "form": form,
        "cloud": cloud,
        "title": TITLES[cloud],
        "own": form.own,
        "most": MOST_AT_ONCE,
        "is_stale": not is_sign_in_fresh(request),
        "confirm_url": f"{reverse('account_reauthenticate')}?next={request.path}",
    }
    if cloud == "aws":
        principal = settings.AWS_PRINCIPAL
        context |= {
            "principal": principal,
            "external_id": form.external_id,
            "trust": trust_policy(principal=principal, external_id=form.external_id),
            "policy": role_policy(),
        }
    return context
