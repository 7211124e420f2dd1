"""Pages of a workspace's repositories."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.access.queries import denial_for
from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import (
    STALE,
    fresh_sign_in,
    fresh_sign_in_first,
    is_sign_in_fresh,
)
from apps.core.web.form_pages import errors_as_messages, errors_shown_in, form_page
from apps.deploys.commit_states.shapes import SUPPORTED
from apps.deploys.deliveries import enforcement
from apps.deploys.git import services, tasks
from apps.deploys.git.pages.forms import HttpsForm, RepositoryForm, SshForm, StateTokenForm
from apps.deploys.git.polling import CONNECT, why_not_vouched
from apps.deploys.git.queries import repositories_of, sources_of
from apps.deploys.models import GitRepository
from apps.deploys.promotion.rules import default_approval_of
from apps.organizations.models import Workspace

PAGE_SIZE = 50


@scoped(Workspace, CONNECT, by="slug")
@require_safe
def repositories(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    search = request.GET.get("q", "").strip()[:100]
    found = repositories_of(workspace=workspace, search=search)
    context = {
        "workspace": workspace,
        "search": search,
        "page_obj": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "is_enforced": enforcement.default_of(workspace),
        "needs_approval": default_approval_of(workspace),
        "denial": denial_for(user=request.user, permission="workspace.update", on=workspace),
    }
    return render(request, "deploys/git/repositories.html", context)


@scoped(Workspace, CONNECT, by="slug")
@fresh_sign_in_first
@sensitive_post_parameters("token")
@require_http_methods(["GET", "HEAD", "POST"])
def new_repository(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    form = RepositoryForm(request.POST or None)
    if request.method == "POST" and _is_good(request, form):
        with errors_shown_in(form):
            repository = services.connect_repository(
                actor=request_user(request), workspace=workspace, **form.cleaned_data
            )
            messages.success(request, f"{repository} is connected. Test the connection next.")
            return redirect("deploys:git_repository", workspace.slug, repository.pk)
    context = {"workspace": workspace, "form": form}
    return form_page(request, "deploys/git/new_repository.html", context, form)


@scoped(Workspace, CONNECT, by="slug")
@require_safe
def repository(request: HttpRequest, workspace: Workspace, repository_id: int) -> HttpResponse:
    found = _repository(workspace, repository_id)
    return render(request, "deploys/git/repository.html", _page_of(found))


@scoped(Workspace, CONNECT, by="slug")
@fresh_sign_in_first
@sensitive_post_parameters("token")
@require_http_methods(["GET", "HEAD", "POST"])
def edit_repository(request: HttpRequest, workspace: Workspace, repository_id: int) -> HttpResponse:
    found = _repository(workspace, repository_id)
    kind: type[forms.Form] = SshForm if found.is_ssh else HttpsForm
    initial = {"username": found.username, "provider": found.provider}
    form = kind(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and _is_good(request, form):
        with errors_shown_in(form):
            services.update_repository(
                actor=request_user(request), repository=found, **form.cleaned_data
            )
            messages.success(request, "Saved.")
            return redirect("deploys:git_repository", workspace.slug, found.pk)
    context = {"workspace": workspace, "repository": found, "form": form}
    return form_page(request, "deploys/git/edit_repository.html", context, form)


@scoped(Workspace, CONNECT, by="slug")
@fresh_sign_in
@require_POST
def test_repository(request: HttpRequest, workspace: Workspace, repository_id: int) -> HttpResponse:
    found = _repository(workspace, repository_id)
    with errors_as_messages(request):
        messages.success(request, services.test_repository(repository=found))
    return redirect("deploys:git_repository", workspace.slug, found.pk)


@scoped(Workspace, CONNECT, by="slug")
@fresh_sign_in
@require_POST
def look(request: HttpRequest, workspace: Workspace, repository_id: int) -> HttpResponse:
    found = _repository(workspace, repository_id)
    tasks.look_now(found)
    messages.info(request, "The repository is being checked. Reload the page in a moment.")
    return redirect("deploys:git_repository", workspace.slug, found.pk)


@scoped(Workspace, CONNECT, by="slug")
@fresh_sign_in
@never_cache
@require_POST
def webhook(request: HttpRequest, workspace: Workspace, repository_id: int) -> HttpResponse:
    """Make a new secret and show it, in this response alone."""
    found = _repository(workspace, repository_id)
    secret = services.rotate_webhook_secret(actor=request_user(request), repository=found)
    context = {
        "workspace": workspace,
        "repository": found,
        "address": _webhook_address(found),
        "secret": secret,
    }
    return render(request, "deploys/git/webhook_made.html", context)


@scoped(Workspace, CONNECT, by="slug")
@fresh_sign_in
@sensitive_post_parameters("token")
@require_POST
def state_token(request: HttpRequest, workspace: Workspace, repository_id: int) -> HttpResponse:
    found = _repository(workspace, repository_id)
    form = StateTokenForm(request.POST)
    if form.is_valid():
        token = form.cleaned_data["token"]
        with errors_as_messages(request):
            services.set_state_token(actor=request_user(request), repository=found, token=token)
            word = "are reported from the next push on" if token else "are no longer reported"
            messages.success(request, f"States of commits {word}.")
    return redirect("deploys:git_repository", workspace.slug, found.pk)


@scoped(Workspace, CONNECT, by="slug")
@fresh_sign_in
@require_POST
def trust(request: HttpRequest, workspace: Workspace, repository_id: int) -> HttpResponse:
    found = _repository(workspace, repository_id)
    services.trust_new_host_key(actor=request_user(request), repository=found)
    messages.success(request, "The next host key that the server shows is trusted.")
    return redirect("deploys:git_repository", workspace.slug, found.pk)


@scoped(Workspace, CONNECT, by="slug")
@fresh_sign_in
@require_POST
def remove(request: HttpRequest, workspace: Workspace, repository_id: int) -> HttpResponse:
    found = _repository(workspace, repository_id)
    with errors_as_messages(request):
        services.remove_repository(actor=request_user(request), repository=found)
        messages.success(request, f"{found} is removed.")
        return redirect("deploys:git_repositories", workspace.slug)
    return redirect("deploys:git_repository", workspace.slug, found.pk)


@scoped(Workspace, "workspace.update", by="slug")
@require_POST
def set_default(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    is_on = request.POST.get("is_on") == "on"
    enforcement.set_default(actor=request_user(request), workspace=workspace, is_on=is_on)
    word = "on" if is_on else "off"
    messages.success(request, f"CI/CD enforcement is {word} for Deployments that do not differ.")
    return redirect("deploys:git_repositories", workspace.slug)


def _repository(workspace: Workspace, repository_id: int) -> GitRepository:
    found = get_object_or_404(repositories_of(workspace=workspace), pk=repository_id)
    found.workspace = workspace
    return found


def _page_of(found: GitRepository) -> dict[str, Any]:
    why = why_not_vouched(
        found.connected_by, permission=CONNECT, on=found.workspace, setup="connected it"
    )
    return {
        "workspace": found.workspace,
        "repository": found,
        "sources": sources_of(repository=found)[:PAGE_SIZE],
        "why_not_vouched": why,
        # Annotated by the query.
        "webhook_address": _webhook_address(found) if found.has_webhook else "",  # type: ignore[attr-defined]
        "poll_seconds": settings.GIT_POLL_SECONDS,
        "can_report": found.provider in SUPPORTED,
        "state_form": StateTokenForm(),
        "unreported": found.commit_states.exclude(last_error="").order_by("-created_at").first(),
    }


def _webhook_address(found: GitRepository) -> str:
    return settings.PORTAL_URL + reverse("deploys:git_webhook", args=[found.key])


def _is_good(request: HttpRequest, form: forms.Form) -> bool:
    """Refuse a stale sign-in in the form: what was posted holds a secret and is not kept."""
    if not is_sign_in_fresh(request):
        form.add_error(None, STALE)
    return form.is_valid()
