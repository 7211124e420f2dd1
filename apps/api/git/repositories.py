"""Repositories of a workspace: connect, read, change, test and remove. Secrets go in; but for the
secret of the webhook, which is told once, none comes out.
"""

from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.urls import reverse
from ninja import Path, Query, Router
from pydantic import Field

from apps.api.wire.errors import or_404
from apps.api.wire.forms import check
from apps.api.wire.gates import Call, on_workspace
from apps.api.wire.idempotency import once, once_with_secret
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import AtWorkspace, Listing, Profile, Shape, profile_of
from apps.core.public_ids import number_of, public_id
from apps.deploys.git import services, tasks
from apps.deploys.git.pages.forms import HttpsForm, RepositoryForm, SshForm, StateTokenForm
from apps.deploys.git.polling import CONNECT, why_not_vouched
from apps.deploys.git.queries import repositories_of
from apps.deploys.models import GitRepository
from apps.organizations.models import Workspace

router = Router(by_alias=True, exclude_none=True, tags=["Git"])
FIELDS = {"renews_key": "renewsDeployKey"}


class AtRepository(AtWorkspace):
    repository_id: str


class RepositoryShape(Shape):
    """`deployKey` is the public half of the key that reads an ssh repository: add it there.
    `notVouched` is why the portal does not use the credential, where it does not.
    """

    id: str
    workspace_id: str
    url: str
    provider: str
    username: str
    has_token: bool
    deploy_key: str | None = None
    host_key: str | None = None
    has_webhook: bool
    webhook_url: str | None = None
    reports_states: bool
    deployment_count: int
    connected_by: Profile
    not_vouched: str | None = None
    last_error: str | None = None
    checked_at: datetime | None = None
    created_at: datetime


class RepositoryList(Listing):
    repositories: list[RepositoryShape]


class RepositoryQuery(Paging):
    search: str = Field(default="", max_length=100)


class NewRepository(Shape):
    """For https a `token` that may read the code, unless everyone may; for ssh the portal makes a
    deploy key. `provider` is github, gitlab, gitea, bitbucket or other; left out, the host decides.
    """

    url: str
    username: str = ""
    token: str = ""
    provider: str = ""


class RepositoryChange(Shape):
    """An empty `token` keeps the one that is stored. Whoever sends it vouches for the credential
    from now on.
    """

    username: str | None = None
    token: str = ""
    renews_deploy_key: bool = False
    provider: str | None = None


class RepositoryTest(Shape):
    message: str


class WebhookSecret(Shape):
    """The secret is told this once, and the one before ends."""

    url: str
    secret: str


class StateToken(Shape):
    """An empty token ends the reports."""

    token: str = ""


@router.get(
    "/organizations/{organizationId}/workspaces/{workspaceId}/git-repositories",
    auth=on_workspace(CONNECT),
    response=RepositoryList,
    operation_id="ListGitRepositories",
    summary="List the git repositories of a workspace",
)
def list_repositories(request: Call, at: Path[AtWorkspace], asked: Query[RepositoryQuery]) -> Any:
    found = repositories_of(workspace=request.found, search=asked.search)
    page = page_of(found, asked, sorts={"url": "url", "createdAt": "created_at"})
    rows = [_shape(one, request.found) for one in page.rows]
    return RepositoryList(repositories=rows, **page.numbers(asked))


@router.post(
    "/organizations/{organizationId}/workspaces/{workspaceId}/git-repositories",
    auth=on_workspace(CONNECT),
    response=RepositoryShape,
    operation_id="ConnectGitRepository",
    summary="Connect a git repository",
)
@once
def connect(request: Call, at: Path[AtWorkspace], body: NewRepository) -> Any:
    form = RepositoryForm(body.model_dump())
    check(form, FIELDS)
    made = services.connect_repository(
        actor=request.caller.user, workspace=request.found, **form.cleaned_data
    )
    return _shape(repository_found(request, public_id("repository", made.pk)), request.found)


@router.get(
    "/organizations/{organizationId}/workspaces/{workspaceId}/git-repositories/{repositoryId}",
    auth=on_workspace(CONNECT),
    response=RepositoryShape,
    operation_id="GetGitRepository",
    summary="Get a git repository",
)
def get_repository(request: Call, at: Path[AtRepository]) -> Any:
    return _shape(repository_found(request, at.repository_id), request.found)


@router.post(
    "/organizations/{organizationId}/workspaces/{workspaceId}/git-repositories/{repositoryId}",
    auth=on_workspace(CONNECT),
    response=RepositoryShape,
    operation_id="UpdateGitRepository",
    summary="Replace the credential of a git repository, or vouch for it",
)
def change_repository(request: Call, at: Path[AtRepository], body: RepositoryChange) -> Any:
    found = repository_found(request, at.repository_id)
    kind: type[forms.Form] = SshForm if found.is_ssh else HttpsForm
    form = kind(
        {
            "provider": found.provider if body.provider is None else body.provider,
            "username": found.username if body.username is None else body.username,
            "token": body.token,
            "renews_key": body.renews_deploy_key,
        }
    )
    check(form, FIELDS)
    services.update_repository(actor=request.caller.user, repository=found, **form.cleaned_data)
    return _shape(repository_found(request, at.repository_id), request.found)


@router.delete(
    "/organizations/{organizationId}/workspaces/{workspaceId}/git-repositories/{repositoryId}",
    auth=on_workspace(CONNECT),
    response={204: None},
    operation_id="RemoveGitRepository",
    summary="Remove a git repository that no Deployment deploys from",
)
def remove_repository(request: Call, at: Path[AtRepository]) -> None:
    found = repository_found(request, at.repository_id)
    services.remove_repository(actor=request.caller.user, repository=found)


@router.post(
    "/organizations/{organizationId}/workspaces/{workspaceId}/git-repositories/{repositoryId}/test",
    auth=on_workspace(CONNECT),
    response=RepositoryTest,
    operation_id="TestGitRepository",
    summary="Ask the server of a git repository for its default branch",
)
def test_repository(request: Call, at: Path[AtRepository]) -> Any:
    """400 with what the server said where it does not work."""
    found = repository_found(request, at.repository_id)
    return RepositoryTest(message=services.test_repository(repository=found))


@router.post(
    "/organizations/{organizationId}/workspaces/{workspaceId}/git-repositories/{repositoryId}/look",
    auth=on_workspace(CONNECT),
    response={204: None},
    operation_id="LookAtGitRepository",
    summary="Look for new commits of a git repository now",
)
def look(request: Call, at: Path[AtRepository]) -> None:
    tasks.look_now(repository_found(request, at.repository_id))


@router.post(
    "/organizations/{organizationId}/workspaces/{workspaceId}/git-repositories/{repositoryId}"
    "/webhook",
    auth=on_workspace(CONNECT),
    response=WebhookSecret,
    operation_id="RotateGitWebhook",
    summary="Make a secret for the webhook of a git repository",
)
@once_with_secret
def rotate_webhook(request: Call, at: Path[AtRepository]) -> Any:
    found = repository_found(request, at.repository_id)
    secret = services.rotate_webhook_secret(actor=request.caller.user, repository=found)
    return WebhookSecret(url=_webhook_url(found), secret=secret)


@router.post(
    "/organizations/{organizationId}/workspaces/{workspaceId}/git-repositories/{repositoryId}"
    "/state-token",
    auth=on_workspace(CONNECT),
    response=RepositoryShape,
    operation_id="SetGitStateToken",
    summary="Set the token with which states of commits are reported",
)
def set_state_token(request: Call, at: Path[AtRepository], body: StateToken) -> Any:
    found = repository_found(request, at.repository_id)
    check(StateTokenForm(body.model_dump()), {})
    services.set_state_token(actor=request.caller.user, repository=found, token=body.token)
    return _shape(repository_found(request, at.repository_id), request.found)


@router.post(
    "/organizations/{organizationId}/workspaces/{workspaceId}/git-repositories/{repositoryId}"
    "/trust-host",
    auth=on_workspace(CONNECT),
    response={204: None},
    operation_id="TrustGitHost",
    summary="Trust the next host key that an ssh server shows",
)
def trust_host(request: Call, at: Path[AtRepository]) -> None:
    found = repository_found(request, at.repository_id)
    services.trust_new_host_key(actor=request.caller.user, repository=found)


def repository_found(request: Call, text: str) -> GitRepository:
    """Find a repository of the workspace that the gate let through. Raises NotHere."""
    rows = repositories_of(workspace=request.found)
    found = or_404(rows.filter(pk=number_of("repository", text)).first())
    found.workspace = request.found
    return found


def _webhook_url(repository: GitRepository) -> str:
    return settings.PORTAL_URL + reverse("deploys:git_webhook", args=[repository.key])


def _shape(one: Any, workspace: Workspace) -> RepositoryShape:
    """Describe a repository with what its query counted."""
    why = why_not_vouched(one.connected_by, permission=CONNECT, on=workspace, setup="connected it")
    return RepositoryShape(
        id=public_id("repository", one.pk),
        workspace_id=public_id("workspace", workspace.pk),
        url=one.url,
        provider=one.provider,
        username=one.username,
        has_token=not one.is_ssh and one.has_token,
        deploy_key=one.public_key or None,
        host_key=one.host_key or None,
        has_webhook=one.has_webhook,
        webhook_url=_webhook_url(one) if one.has_webhook else None,
        reports_states=one.has_state_token,
        deployment_count=one.deployment_count,
        connected_by=profile_of(one.connected_by),
        not_vouched=why or None,
        last_error=one.last_error or None,
        checked_at=one.polled_at,
        created_at=one.created_at,
    )
