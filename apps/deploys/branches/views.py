from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_http_methods, require_POST

from apps.access.queries import denial_for
from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import fresh_sign_in
from apps.core.web.form_pages import errors_as_messages, errors_shown_in, form_page, is_submitted
from apps.deployments.models import Deployment, Phase
from apps.deploys.branches import services
from apps.deploys.branches.forms import BranchRuleForm
from apps.deploys.git.polling import CONNECT
from apps.deploys.git.queries import repositories_of
from apps.deploys.models import BranchRule, GitRepository
from apps.organizations.models import Workspace


@scoped(Workspace, CONNECT, by="slug")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def branch_rule(request: HttpRequest, workspace: Workspace, repository_id: int) -> HttpResponse:
    repository = _repository(workspace, repository_id)
    rule = BranchRule.objects.filter(repository=repository).select_related("template").first()
    templates = Deployment.objects.visible_to(request.user).filter(
        workspace=workspace, phase=Phase.ACTIVE, branch_deployment=None
    )
    posted = request.POST if request.method == "POST" else None
    form = BranchRuleForm(posted, templates=templates.order_by("name"), rule=rule)
    if is_submitted(request, form):
        with errors_shown_in(form):
            services.set_rule(
                actor=request_user(request), repository=repository, **form.cleaned_data
            )
            messages.success(request, "Saved. Branches that match get Deployments in a moment.")
            return redirect("deploys:branch_rule", workspace.slug, repository.pk)
    context = {
        "workspace": workspace,
        "repository": repository,
        "rule": rule,
        "form": form,
        "live": services.live_deployments(rule) if rule else [],
        "has_templates": templates.exists(),
        "denial": denial_for(user=request.user, permission=services.CREATE, on=workspace),
    }
    return form_page(request, "deploys/branches/rule.html", context, form)


@scoped(Workspace, CONNECT, by="slug")
@fresh_sign_in
@require_POST
def remove_branch_rule(
    request: HttpRequest, workspace: Workspace, repository_id: int
) -> HttpResponse:
    repository = _repository(workspace, repository_id)
    with errors_as_messages(request):
        count = services.remove_rule(actor=request_user(request), repository=repository)
        messages.success(request, f"Branches get no Deployments any more. Deleted: {count}.")
    return redirect("deploys:git_repository", workspace.slug, repository.pk)


def _repository(workspace: Workspace, repository_id: int) -> GitRepository:
    found = get_object_or_404(repositories_of(workspace=workspace), pk=repository_id)
    found.workspace = workspace
    return found
