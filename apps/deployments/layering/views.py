"""The settings of a layer above Deployments, and what holds for one of them."""

from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from apps.access.queries import denial_for
from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import fresh_sign_in
from apps.clusters.models import Cluster
from apps.clusters.queries import deployments_in_words
from apps.core.errors import Conflict, Invalid
from apps.core.web.forms import add_error
from apps.core.web.gates import operator_only
from apps.deployments.editing.code_rights import TRUST
from apps.deployments.layering.forms import LayerForm, stored
from apps.deployments.layering.services import (
    Place,
    Reached,
    layer_name,
    reached_by,
    trust_refusal,
    update_layer,
)
from apps.deployments.layering.telling import told_to
from apps.deployments.models import Deployment
from apps.layers.catalogue import settings_on
from apps.layers.form_fields import in_words
from apps.layers.kinds.certificates import expiring
from apps.layers.models import Layer
from apps.layers.queries import layer_of, layers_above, layers_over
from apps.layers.resolving import Said, resolve
from apps.layers.setting import LAYERS
from apps.organizations.models import Organization, Workspace

MOST_SHOWN = 20
WORDS = {
    "portal": "All Deployments of this portal inherit them, unless a layer below says otherwise.",
    "organization": "All Deployments of the organization inherit them, unless a cluster, a "
    "workspace or the Deployment says otherwise.",
    "cluster": "All Deployments on this cluster inherit them, unless their workspace or they "
    "themselves say otherwise.",
    "workspace": "All Deployments of this workspace inherit them, unless they say otherwise.",
}


@operator_only
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def portal_settings(request: HttpRequest) -> HttpResponse:
    return _page(request, None, {"title": "Deployment settings of the portal"})


@scoped(
    Organization,
    "organization.clusters.view",
    by="slug",
    writing="organization.clusters.manage",
)
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def organization_settings(request: HttpRequest, organization: Organization) -> HttpResponse:
    permission = "organization.clusters.manage"
    denial = denial_for(user=request.user, permission=permission, on=organization)
    title = f"Deployment settings of {organization}"
    return _page(request, organization, {"title": title, "denial": denial})


@scoped(
    Organization,
    "organization.clusters.view",
    by="slug",
    writing="organization.clusters.manage",
)
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def cluster_settings(
    request: HttpRequest, organization: Organization, cluster_id: int
) -> HttpResponse:
    there = Cluster.objects.there().select_related("organization")
    cluster = get_object_or_404(there, organization=organization, pk=cluster_id)
    permission = "organization.clusters.manage"
    denial = denial_for(user=request.user, permission=permission, on=organization)
    context = {"title": f"Deployment settings of {cluster}", "denial": denial, "cluster": cluster}
    return _page(request, cluster, context)


@scoped(Workspace, "workspace.view", by="slug", writing="workspace.update")
@require_http_methods(["GET", "HEAD", "POST"])
def workspace_settings(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    denial = denial_for(user=request.user, permission="workspace.update", on=workspace)
    title = f"Deployment settings of {workspace}"
    return _page(request, workspace, {"title": title, "denial": denial})


@scoped(Deployment, "deployment.view", by="ref")
@require_safe
def settings(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    """Show what holds for a Deployment, and where it comes from."""
    said = layers_above(cluster=deployment.cluster, workspace_id=deployment.workspace_id)
    own = deployment.wanted.configuration.own_settings if deployment.wanted else {}
    found = resolve((*said, Said(layer="deployment", values=own)))
    offered = settings_on(is_kubernetes=deployment.cluster.is_kubernetes)
    rows = [
        {
            "setting": setting,
            "value": in_words(found[setting.name].value),
            "effective": found[setting.name],
            "is_overruled": setting.name in own and found[setting.name].origin != "deployment",
            "own": in_words(own.get(setting.name, "")),
        }
        for setting in offered
    ]
    bundle = found["ca_bundle"].value
    context = {
        "deployment": deployment,
        "rows": rows,
        "ending": expiring(bundle, now=timezone.now()),
    }
    return render(request, "layers/effective.html", context)


def _page(request: HttpRequest, place: Place, context: dict[str, Any]) -> HttpResponse:
    """Show the form of a layer; a change that reaches Deployments is shown before it is made."""
    layer, row = layer_name(place), layer_of(place)
    form = LayerForm(
        request.POST if request.method == "POST" else None,
        layer=layer,
        is_kubernetes=not isinstance(place, Cluster) or place.is_kubernetes,
        inherited=resolve(layers_over(place)),
        initial=stored(row),
    )
    if context.get("denial"):
        form.disable()
    elif refusal := trust_refusal(actor=request_user(request), place=place):
        form.refuse(TRUST, refusal)
    reached: list[Reached] = []
    if request.method == "POST" and form.is_valid():
        values, locked = form.said()
        locked |= {name for name in (row.locked if row else ()) if name not in form.fields}
        try:
            count = update_layer(
                actor=request_user(request),
                place=place,
                values=_kept(values, row, form),
                locked=locked,
                base=request.POST.get("base"),
                may_apply_again=bool(request.POST.get("apply_again")),
            )
        except Conflict as error:
            row = layer_of(place)
            context |= {"conflict": error.message, "differing": form.differing(row or Layer())}
        except Invalid as error:
            if error.field != "apply_again":
                add_error(form, error)
            reached = reached_by(place=place, values=_kept(values, row, form), locked=locked)
        else:
            messages.success(request, _done(count))
            return redirect(request.path)
    told, hidden_count = told_to(user=request_user(request), place=place, reached=reached)
    context |= {
        "layer": layer,
        "message": WORDS[layer],
        "above": LAYERS[: LAYERS.index(layer)],
        "form": form,
        "base": (row or Layer()).version,
        "reached": [_in_words(one) for one in told[:MOST_SHOWN]],
        "reached_count": len(reached),
        "hidden_count": hidden_count,
        "others": [one.deployment for one in told[MOST_SHOWN:]],
        "reached_words": deployments_in_words(len(reached)),
        "ending": expiring(row.values.get("ca_bundle", "") if row else "", now=timezone.now()),
    }
    status = 422 if form.errors else 409 if "conflict" in context else 200
    return render(request, "layers/layer.html", context, status=status)


def _in_words(one: Reached) -> Reached:
    changes = tuple((label, in_words(old), in_words(new)) for label, old, new in one.changes)
    return replace(one, changes=changes)


def _kept(values: dict[str, str], row: Any, form: LayerForm) -> dict[str, str]:
    """Keep what the layer says of settings that a layer above has locked since."""
    before = row.values if row else {}
    return {name: text for name, text in before.items() if name not in form.fields} | values


def _done(count: int) -> str:
    if not count:
        return "Saved. No Deployment changes."
    return f"Saved. {deployments_in_words(count)} applied again, a few at a time."
