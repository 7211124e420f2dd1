"""Look at one repository, and deploy what is new on the branches that Deployments follow.

For each Deployment a commit is judged once: deployed, found to change nothing, or refused with a
sentence that stays until the next commit. What may pass by itself (a silent server, a full disk) is
not judged and tried again. A commit waits while an earlier deploy is being applied; a newer one
takes its place.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.access.queries import forget_permissions
from apps.accounts.models import User
from apps.core.context import RequestContext, enter_request, leave_request
from apps.core.encryption.crypto import SecretUnreadable
from apps.core.errors import PortalError
from apps.deployments.models import Deployment, Phase, RevisionState
from apps.deploys.commit_states.shapes import FAILURE, PENDING, SUCCESS
from apps.deploys.commit_states.tracking import note_commit
from apps.deploys.deliveries.origins import Origin
from apps.deploys.deliveries.recording import LONGEST_WAIT, NothingChanged, must_wait
from apps.deploys.deliveries.services import StorageFull
from apps.deploys.git import leases
from apps.deploys.git.credentials import open_secret
from apps.deploys.git.servers.fetching import (
    Checkout,
    FolderMissing,
    GitFailed,
    Login,
    checkout,
    heads,
)
from apps.deploys.git.servers.remotes import Remote, commit_page, remote_of
from apps.deploys.models import Deploy, GitRepository, GitSource, Preview
from apps.deploys.previews.services import submit

logger = logging.getLogger(__name__)

DELIVER, CONNECT = "deployment.deploys.create", "workspace.git.manage"
CHUNK = 1024 * 1024
CUT_OFF = "The last check of this repository was cut off. The portal tries again later."


class NotVouchedFor(PortalError):
    """The person who set something up may no longer do so."""


def poll(*, repository_id: int) -> None:
    """Look at a repository, if no other job does."""
    repository = leases.claim(repository_id)
    if repository is None:
        return
    token = enter_request(RequestContext(caller=f"Git repository {repository}"))
    error, is_waiting = CUT_OFF, False
    try:
        is_waiting = _look(repository)
        error = ""
    except PortalError as failure:
        error = failure.message
        logger.info("git repository not read", extra={"repository": repository.pk})
    finally:
        leases.release(repository, error=error, soon=is_waiting)
        leave_request(token)


def login_of(repository: GitRepository) -> Login:
    """Return the credential of a repository in plaintext; raises GitFailed."""
    try:
        secret = open_secret(repository, "secret")
    except SecretUnreadable:
        raise GitFailed(
            "The credential of the repository cannot be read. Enter it again."
        ) from None
    return Login(username=repository.username, secret=secret, host_key=repository.host_key)


def keep_host_key(repository: GitRepository, host_key: str) -> None:
    """Pin the key that the ssh server showed, unless one is pinned."""
    if host_key and not repository.host_key:
        repository.host_key = host_key[:1000]
        rows = GitRepository.objects.filter(pk=repository.pk, host_key="")
        rows.update(host_key=repository.host_key)


def why_not_vouched(person: User | None, *, permission: str, on: Any, setup: str) -> str:
    """Return why what a person set up no longer works, empty if it does: the person must hold the
    permission now.
    """
    if person is not None and person.is_active:
        forget_permissions(person)
        if person.has_perm(permission, on):
            return ""
    who = str(person) if person is not None else "The person"
    return f"{who}, who {setup}, may no longer do so."


def _look(repository: GitRepository) -> bool:
    """Judge what is new; return whether a commit waits."""
    why = why_not_vouched(
        repository.connected_by,
        permission=CONNECT,
        on=repository.workspace,
        setup="connected this repository",
    )
    if why:
        raise NotVouchedFor(
            f"{why} Someone who may has to enter the credential again; until then nothing is "
            "deployed from it."
        )
    sources = _sources(repository)
    if not sources:
        return False
    remote, login = remote_of(repository.url), login_of(repository)
    found = heads(remote, login, branches=sorted({one.branch for one in sources}))
    keep_host_key(repository, found.host_key)
    ready: dict[str, list[GitSource]] = defaultdict(list)
    for source in sources:
        if _is_ready(source, found.commits.get(source.branch, "")):
            ready[source.branch].append(source)
    login = login_of(repository)
    failures = [_judge_branch(branch, some, remote, login) for branch, some in ready.items()]
    for failure in filter(None, failures):
        raise failure
    return any(one.waiting_commit for one in sources)


def _judge_branch(
    branch: str, sources: list[GitSource], remote: Remote, login: Login
) -> PortalError | None:
    """Fetch a branch and judge it for each Deployment; return what may pass by itself. One branch
    that cannot be fetched leaves the others alone.
    """
    try:
        with checkout(remote, login, branch=branch) as fetched:
            for source in sources:
                _judge(source, fetched, remote)
    except (GitFailed, StorageFull) as error:
        for source in sources:
            _note(source, error=error.message)
        return error
    return None


def _sources(repository: GitRepository) -> list[GitSource]:
    active = repository.sources.filter(deployment__phase=Phase.ACTIVE)
    above = ("set_by", "deployment__workspace__organization", "deployment__wanted")
    sources = list(active.select_related(*above, "deployment__cluster").order_by("pk"))
    for source in sources:
        source.repository = repository
    return sources


def _is_ready(source: GitSource, commit: str) -> bool:
    """Return whether a commit is to be fetched and judged now; note why where it is not."""
    if not commit:
        _note(
            source,
            error=f"The branch {source.branch} is not in the repository (any more). What runs is "
            "untouched. Choose another branch, or push it again.",
        )
        return False
    if commit == source.commit:
        # A branch that was gone is back at what was judged before.
        if source.last_error.startswith("The branch "):
            _note(source)
        return False
    why = why_not_vouched(
        source.set_by,
        permission=DELIVER,
        on=source.deployment,
        setup=f"connected {source.deployment.name} to git",
    )
    if why:
        _note(source, error=f"{why} Someone who may deploy to it has to save the branch again.")
        return False
    if _is_busy(source.deployment):
        _wait(source, commit)
        return False
    return True


def _is_busy(deployment: Deployment) -> bool:
    """Return whether a revision is being applied, or deploys wait that came before."""
    wanted, now = deployment.wanted, timezone.now()
    if wanted is not None and wanted.state == RevisionState.APPLYING:
        return now - wanted.created_at < LONGEST_WAIT
    return must_wait(deployment, is_push=True, now=now)


def _wait(source: GitSource, commit: str) -> None:
    """Keep a commit back until the deploy in progress has ended."""
    before = source.waiting_commit
    if before == commit:
        return
    notice = f"Commit {commit[:7]} waits until the deploy in progress has ended."
    if before:
        notice = (
            f"Commit {before[:7]} was replaced by {commit[:7]} before its deploy began. {notice}"
        )
    _save(source, waiting_commit=commit, notice=notice, last_error="")


def _judge(source: GitSource, fetched: Checkout, remote: Remote) -> None:
    sha = fetched.commit.sha
    seen = {"commit": sha, "waiting_commit": ""}
    try:
        tree = fetched.tree_of(source.path)
        if tree == source.tree:
            folder = f"the folder {source.path}" if source.path else "the files"
            _save(source, **seen, notice=f"Commit {sha[:7]} does not change {folder}.")
            return
        with transaction.atomic():
            notice = _deploy(source, fetched, remote)
            _save(source, **seen, tree=tree, notice=notice, last_error="")
            _report(source, sha, PENDING, notice)
    except NothingChanged:
        notice = f"Commit {sha[:7]} has the code that {source.deployment.name} runs already."
        _save(source, **seen, tree=tree, notice=notice, last_error="")
        _report(source, sha, SUCCESS, notice)
    except FolderMissing as error:
        _save(source, **seen, tree="", notice="", last_error=error.message)
    except (GitFailed, StorageFull):
        raise
    except PortalError as error:
        message = f"Commit {sha[:7]} was not deployed. {error.message}"
        _save(source, **seen, tree=tree, notice="", last_error=message)
        _report(source, sha, FAILURE, message)


def _report(source: GitSource, commit: str, state: str, description: str) -> None:
    note_commit(
        repository=source.repository,
        deployment=source.deployment,
        commit=commit,
        state=state,
        description=description,
    )


def _deploy(source: GitSource, fetched: Checkout, remote: Remote) -> str:
    """Deliver the folder of a commit; return what became of it."""
    commit, replaced = fetched.commit, _not_begun(source.deployment)
    notes = fetched.notes_on(source.path)
    repository = source.repository
    submitted = submit(
        actor=None,
        vouched_by=source.set_by,
        deployment=source.deployment,
        file_name="code.zip",
        chunks=_chunks_of(fetched, source.path),
        description=commit.message,
        origin=Origin(
            repository=str(repository),
            branch=source.branch,
            path=source.path,
            commit=commit.sha,
            author=commit.author,
            message=commit.message,
            url=commit_page(remote, provider=repository.provider, commit=commit.sha),
        ),
    )
    if isinstance(submitted, Preview):
        return (
            f"Commit {commit.sha[:7]} needs packages. They are checked first: preview "
            f"{submitted.number} says what changes, and it is deployed when nothing is wrong."
        )
    delivery = submitted
    number = delivery.deploy.number
    waiting = source.waiting_commit
    turn = "" if delivery.operation else ", which waits for its turn"
    parts = [f"Commit {commit.sha[:7]} is deploy {number}{turn}."]
    if replaced is not None:
        parts.append(f"It replaced deploy {replaced.number}, which had not begun.")
    if waiting and waiting != commit.sha:
        parts.append(f"It replaced commit {waiting[:7]}, whose deploy had not begun.")
    return " ".join([*parts, *notes, *delivery.notes])


def _not_begun(deployment: Deployment) -> Deploy | None:
    """Return the push that is waiting to be applied and that the next deploy will replace."""
    wanted = deployment.wanted
    if wanted is None or wanted.state != RevisionState.PENDING:
        return None
    return Deploy.objects.filter(revision=wanted, source=Deploy.Source.GIT).first()


def _chunks_of(fetched: Checkout, path: str) -> Iterable[bytes]:
    with fetched.archive(path).open("rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def _note(source: GitSource, *, error: str = "") -> None:
    if source.last_error != error:
        _save(source, last_error=error)


def _save(source: GitSource, **fields: str) -> None:
    """Write what was found, unless people chose another branch or folder in the meantime."""
    for name, value in fields.items():
        most = getattr(GitSource._meta.get_field(name), "max_length", None) or len(value)
        fields[name] = value if len(value) <= most else f"{value[: most - 1]}…"
        setattr(source, name, fields[name])
    same = GitSource.objects.filter(
        pk=source.pk, repository=source.repository, branch=source.branch, path=source.path
    )
    same.update(**fields)
