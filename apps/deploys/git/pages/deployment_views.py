"""The page that connects one Deployment to git, and what may be done there."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from apps.access.queries import denial_for
from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import fresh_sign_in
from apps.core.web.form_pages import errors_as_messages, errors_shown_in, form_page, is_submitted
from apps.deployments.models import Deployment
from apps.deploys.deliveries import enforcement
from apps.deploys.git import services, tasks
from apps.deploys.git.pages.forms import EnforcementForm, SourceForm
from apps.deploys.git.polling import CONNECT, DELIVER
from apps.deploys.git.queries import repositories_of, source_of
from apps.deploys.promotion.forms import ApprovalForm
from apps.deploys.promotion.rules import approval_of


@scoped(Deployment, "deployment.deploys.view", by="ref", writing=CONNECT)
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def source(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    found, repositories = source_of(deployment), repositories_of(workspace=deployment.workspace)
    posted = request.POST if request.method == "POST" else None
    form = SourceForm(posted, repositories=repositories, source=found)
    if is_submitted(request, form):
        with errors_shown_in(form):
            services.set_source(
                actor=request_user(request), deployment=deployment, **form.cleaned_data
            )
            messages.success(request, "Saved. The newest commit is deployed in a moment.")
            return redirect("deploys:list", deployment.ref)
    own, default = enforcement.enforcement_of(deployment)
    own_approval, default_approval = approval_of(deployment)
    user = request.user
    context = {
        "deployment": deployment,
        "source": found,
        "form": form,
        "has_repositories": repositories.exists(),
        "denial": denial_for(user=user, permission=CONNECT, on=deployment),
        "enforcement_form": EnforcementForm(own=own, default=default),
        "approval_form": ApprovalForm(own=own_approval, default=default_approval),
        "enforcement_denial": denial_for(user=user, permission="deployment.update", on=deployment),
    }
    return form_page(request, "deploys/git/source.html", context, form)


@scoped(Deployment, CONNECT, by="ref")
@fresh_sign_in
@require_POST
def disconnect(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    services.disconnect(actor=request_user(request), deployment=deployment)
    messages.success(request, "Disconnected from git. The code that runs stays.")
    return redirect("deploys:list", deployment.ref)


@scoped(Deployment, DELIVER, by="ref")
@require_POST
def look(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    found = source_of(deployment)
    if found is not None:
        tasks.look_now(found.repository)
        messages.info(request, "The branch is being checked. Reload the page in a moment.")
    return redirect("deploys:list", deployment.ref)


@scoped(Deployment, "deployment.update", by="ref")
@require_POST
def enforce(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    own, default = enforcement.enforcement_of(deployment)
    form = EnforcementForm(request.POST, own=own, default=default)
    if form.is_valid():
        with errors_as_messages(request):
            enforcement.set_for_deployment(
                actor=request_user(request), deployment=deployment, is_on=form.is_on
            )
            messages.success(request, "Saved.")
    return redirect("deploys:git_source", deployment.ref)
