from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import fresh_sign_in
from apps.core.web.form_pages import errors_shown_in, form_page, is_submitted
from apps.deployments.models import Deployment
from apps.moving.copying.forms import CopyForm
from apps.moving.copying.queries import (
    LEFT_OUT,
    clusters_to_copy_to,
    code_to_copy,
    configuration_in_words,
    objects_to_copy,
    workspaces_to_copy_to,
)
from apps.moving.copying.services import UPDATE, copy_deployment


@scoped(Deployment, UPDATE, by="ref")
@require_http_methods(["GET", "HEAD", "POST"])
@fresh_sign_in
def copy(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    user = request_user(request)
    deploy = code_to_copy(user=user, source=deployment)
    workspaces = workspaces_to_copy_to(user=user, source=deployment)
    form = CopyForm(
        request.POST if request.method == "POST" else None,
        source=deployment,
        workspaces=workspaces,
        clusters=clusters_to_copy_to(source=deployment, workspaces=workspaces),
        has_code=deploy is not None,
    )
    if is_submitted(request, form):
        with errors_shown_in(form):
            operation = copy_deployment(
                actor=user,
                source=deployment,
                workspace=form.cleaned_data["workspace"],
                cluster=form.cleaned_data.get("cluster"),
                name=form.cleaned_data["name"],
                parts=form.parts(),
            )
            return redirect("deployments:operation", operation.deployment.ref, operation.number)
    context = {
        "deployment": deployment,
        "form": form,
        "can_create": bool(form.fields["workspace"].choices),  # type: ignore[attr-defined]
        "lines": configuration_in_words(deployment),
        "deploy": deploy,
        "objects": objects_to_copy(deployment),
        "left_out": LEFT_OUT,
    }
    return form_page(request, "moving/copy.html", context, form)
