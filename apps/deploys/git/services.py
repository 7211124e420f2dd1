"""Writes about repositories and what Deployments take from them. Each is audited; secrets are only
ever replaced.

Whoever saves a repository vouches for its credential, and whoever saves the branch of a Deployment
for the deploys from it: see `polling.why_not_vouched`.
"""

import secrets
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.core.errors import Conflict, Invalid, Refused
from apps.deployments.models import Deployment, Phase
from apps.deployments.operations import lock_deployment
from apps.deploys.git import tasks
from apps.deploys.git.credentials import add_deploy_key, new_key, seal
from apps.deploys.git.polling import DELIVER, keep_host_key, login_of
from apps.deploys.git.servers.fetching import heads
from apps.deploys.git.servers.remotes import clean_branch, clean_folder, provider_of, remote_of
from apps.deploys.models import GitRepository, GitSource
from apps.organizations.models import Workspace

UNIQUE = "git_repository_unique_in_workspace"


def connect_repository(
    *,
    actor: User,
    workspace: Workspace,
    url: str,
    provider: str = "",
    username: str = "",
    token: str = "",
) -> GitRepository:
    """Connect a repository to a workspace. `token` is plaintext, for https; for ssh the portal
    makes a deploy key. Raises Invalid.
    """
    remote = remote_of(url)
    repository = GitRepository(
        workspace=workspace,
        key=new_key(),
        url=remote.url,
        host=remote.host,
        provider=provider or provider_of(remote),
        connected_by=actor,
    )
    if repository.is_ssh:
        _refuse_token(token)
        add_deploy_key(repository, comment=f"astro-portal-{workspace.slug}")
    else:
        repository.username = username
        seal(repository, "secret", _clean_token(token))
    try:
        with transaction.atomic():
            repository.save(force_insert=True)
            _record("git_repository.connected", actor, repository, [None, "connected"])
    except IntegrityError as error:
        if UNIQUE not in str(error):
            raise
        raise Invalid(
            f"{workspace} is connected to this repository already.", field="url"
        ) from error
    return repository


@transaction.atomic
def update_repository(
    *,
    actor: User,
    repository: GitRepository,
    provider: str,
    username: str = "",
    token: str = "",
    renews_key: bool = False,
) -> None:
    """Replace the credential, or vouch for the one that is there: an empty `token` keeps it.

    Raises Invalid.
    """
    repository = _locked(repository)
    repository.provider, repository.connected_by = provider, actor
    change: list[Any] = ["as before", "vouched for"]
    if repository.is_ssh and renews_key:
        add_deploy_key(repository, comment=f"astro-portal-{repository.workspace.slug}")
        change = ["a deploy key", "a new deploy key"]
    elif not repository.is_ssh:
        repository.username = username
        if token:
            seal(repository, "secret", _clean_token(token))
            change = ["a credential", "replaced"]
    repository.failures, repository.last_error = 0, ""
    repository.save(
        update_fields=[
            "provider",
            "connected_by",
            "username",
            "secret",
            "public_key",
            "failures",
            "last_error",
        ]
    )
    _record("git_repository.updated", actor, repository, change)
    _look_after_commit(repository)


@transaction.atomic
def remove_repository(*, actor: User, repository: GitRepository) -> None:
    """Forget a repository and its secrets. Raises Conflict while Deployments deploy from it."""
    repository = _locked(repository)
    active = repository.sources.filter(deployment__phase=Phase.ACTIVE)
    names = list(active.values_list("deployment__name", flat=True).order_by("deployment__name")[:3])
    if names:
        raise Conflict(
            f"Deployments deploy from this repository: {', '.join(names)}. Disconnect them first."
        )
    repository.sources.all().delete()
    _record("git_repository.removed", actor, repository, ["connected", "removed"])
    repository.delete()


@transaction.atomic
def trust_new_host_key(*, actor: User, repository: GitRepository) -> None:
    """Forget the pinned host key: the next one that the server shows is pinned."""
    repository = _locked(repository)
    before = repository.host_key
    repository.host_key = ""
    repository.save(update_fields=["host_key"])
    _record("git_repository.host_key_forgotten", actor, repository, [before, "the next one"])
    _look_after_commit(repository)


@transaction.atomic
def rotate_webhook_secret(*, actor: User, repository: GitRepository) -> str:
    """Make a secret for the webhook and return it; it is shown once, and the one before ends."""
    repository = _locked(repository)
    had_one = bool(repository.webhook_secret)
    secret = secrets.token_urlsafe(32)
    seal(repository, "webhook_secret", secret)
    repository.webhook_seen_at = None
    repository.save(update_fields=["webhook_secret", "webhook_seen_at"])
    change = ["one secret" if had_one else None, "a new secret"]
    _record("git_repository.webhook_rotated", actor, repository, change)
    return secret


@transaction.atomic
def set_state_token(*, actor: User, repository: GitRepository, token: str) -> None:
    """Keep a token with which states of commits are reported; an empty one ends that. Raises
    Invalid.
    """
    repository = _locked(repository)
    had_one = bool(repository.state_token)
    seal(repository, "state_token", _clean_token(token))
    repository.save(update_fields=["state_token"])
    # What was refused with the token before is tried with this one.
    waiting = repository.commit_states.exclude(sent_state=F("state"))
    waiting.update(attempts=0, next_at=Now(), last_error="")
    change = ["one token" if had_one else None, "a new token" if token else None]
    _record("git_repository.state_token_changed", actor, repository, change)


def test_repository(*, repository: GitRepository) -> str:
    """Ask the server for the default branch and return a sentence about it; raises GitFailed."""
    found = heads(remote_of(repository.url), login_of(repository))
    keep_host_key(repository, found.host_key)
    rows = GitRepository.objects.filter(pk=repository.pk)
    rows.update(polled_at=Now(), failures=0, last_error="")
    if not found.commits:
        return "Connected. The repository has no commits yet."
    branch = f" Its default branch is {found.default}." if found.default else ""
    return f"Connected.{branch}"


@transaction.atomic
def set_source(
    *, actor: User, deployment: Deployment, repository: GitRepository, branch: str, path: str
) -> GitSource:
    """Let a Deployment follow a branch of a repository of its workspace: the newest commit is
    deployed at once, and each later one that changes the folder `path`, empty for all of it.

    Raises Invalid, Conflict while being deleted, and Refused unless the actor may deploy to it.
    """
    deployment = lock_deployment(deployment)
    if repository.workspace_id != deployment.workspace_id:
        raise Invalid("Choose a repository of this workspace.", field="repository")
    if not actor.has_perm(DELIVER, deployment):
        raise Refused(f"You may not deploy code to {deployment.name}, nor let git do it.")
    before = GitSource.objects.filter(deployment=deployment).select_related("repository").first()
    fields = {
        "repository": repository,
        "branch": clean_branch(branch),
        "path": clean_folder(path),
        "set_by": actor,
        "set_at": timezone.now(),
        **dict.fromkeys(("commit", "tree", "waiting_commit", "notice", "last_error"), ""),
    }
    source, _ = GitSource.objects.update_or_create(deployment=deployment, defaults=fields)
    _record_source(actor, deployment, _in_words(before), _in_words(source))
    _look_after_commit(repository)
    return source


@transaction.atomic
def disconnect(*, actor: User, deployment: Deployment) -> None:
    """Let a Deployment no longer follow a branch. What runs stays."""
    source = GitSource.objects.filter(deployment=deployment).select_related("repository").first()
    if source is None:
        return
    before = _in_words(source)
    source.delete()
    _record_source(actor, deployment, before, None)


def _look_after_commit(repository: GitRepository) -> None:
    transaction.on_commit(lambda: tasks.look_now(repository), robust=True)


def _locked(repository: GitRepository) -> GitRepository:
    rows = GitRepository.objects.select_for_update(of=("self",), no_key=True)
    return rows.select_related("workspace__organization").get(pk=repository.pk)


def _clean_token(token: str) -> str:
    token = token.strip()
    if not token.isprintable():
        raise Invalid("A token has no spaces or line breaks in it.", field="token")
    return token


def _refuse_token(token: str) -> None:
    if token:
        raise Invalid(
            "An address of ssh needs no token: the portal makes a deploy key for it.",
            field="token",
        )


def _in_words(source: GitSource | None) -> str | None:
    if source is None:
        return None
    folder = f", folder {source.path}" if source.path else ""
    return f"{source.branch} of {source.repository}{folder}"


def _record_source(
    actor: User, deployment: Deployment, before: str | None, after: str | None
) -> None:
    changes = {"git": [before, after]}
    record_on(action="deployment.git_changed", actor=actor, on=deployment, changes=changes)


def _record(action: str, actor: User, repository: GitRepository, change: list[Any]) -> None:
    changes = {f"git repository {repository}": change}
    record_on(action=action, actor=actor, on=repository.workspace, changes=changes)
