"""Pushes to a real git server, over https and over ssh, become deploys."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import connection

from apps.access.scopes import grant_model
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.deployments.models import Deployment, Operation, Revision, RevisionState
from apps.deployments.reconciling.compiler import code_name
from apps.deploys.git import leases, polling
from apps.deploys.git.servers import fetching, program
from apps.deploys.git.services import (
    connect_repository,
    set_source,
    set_state_token,
    test_repository,
    trust_new_host_key,
    update_repository,
)
from apps.deploys.models import CommitState, Deploy, GitRepository, GitSource
from apps.organizations.models import Workspace
from tests.conftest import make_user, put_role, role
from tests.deploys.git_servers import (
    BACKEND,
    TOKEN,
    Repository,
    SshServer,
    https_server,
    silent_server,
    why_no_ssh,
)
from tests.kubernetes.certificates import Authority

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db,
    pytest.mark.skipif(not BACKEND.exists(), reason="no git-http-backend here (Debian: git)"),
]
test_repository.__test__ = False  # type: ignore[attr-defined]

DAG = {"dags/etl.py": b"from airflow.sdk import dag\n"}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.fixture(autouse=True)
def _storage(settings: Any, tmp_path: Path) -> None:
    default = settings.STORAGES["default"]
    options = {**default["OPTIONS"], "location": tmp_path / "bundles"}
    settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}
    settings.GIT_NETWORKS = ("127.0.0.0/8",)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, Authority]]:
    root, authority = tmp_path_factory.mktemp("git"), Authority("Tests")
    with https_server(root, authority, token=TOKEN) as address:
        yield root, address, authority


@pytest.fixture
def upstream(served: Any, settings: Any, request: pytest.FixtureRequest) -> Repository:
    root, _, authority = served
    settings.GIT_CA = authority.certificate
    return Repository(root / f"{request.node.name[:60]}.git")


@pytest.fixture
def repository(served: Any, upstream: Repository, alice: User, workspace: Workspace) -> Any:
    return connect_repository(
        actor=alice,
        workspace=workspace,
        url=f"{served[1]}/{upstream.path.name}",
        provider="github",
        username="ci",
        token=TOKEN,
    )


@pytest.fixture
def look(repository: GitRepository) -> Callable[[], None]:
    return lambda: polling.poll(repository_id=repository.pk)


@pytest.fixture
def source(alice: User, repository: GitRepository, deployment: Deployment) -> GitSource:
    return set_source(
        actor=alice, deployment=deployment, repository=repository, branch="main", path="dags"
    )


def settle(deployment: Deployment, state: str = RevisionState.APPLIED) -> None:
    deployment.refresh_from_db()
    Revision.objects.filter(pk=deployment.wanted_id).update(state=state)
    if state == RevisionState.APPLIED:
        deployment.operations.filter(state="running").update(state="succeeded")


def test_a_push_becomes_a_deploy_that_names_its_commit(
    upstream: Repository, source: GitSource, look: Callable[[], None], deployment: Deployment
) -> None:
    commit = upstream.commit({**DAG, "README.md": b"x"}, message="Load orders\n\nand more")

    look()

    deploy = Deploy.objects.get()
    assert (deploy.source, deploy.git_commit, deploy.git_branch) == ("git", commit, "main")
    assert (deploy.git_author, deploy.git_message) == ("Ana Kovač", "Load orders")
    assert deploy.description == "Load orders"
    assert deploy.git_path == "dags"
    assert deploy.git_url.endswith(f".git/commit/{commit}".replace(".git/", "/"))
    assert [file["path"] for file in deploy.files] == ["etl.py"]
    assert deploy.created_by is None
    assert default_storage.exists(code_name(deploy.digest))
    deployment.refresh_from_db()
    assert deployment.wanted.code_digest == deploy.digest
    source.refresh_from_db()
    assert (source.commit, source.last_error) == (commit, "")
    assert source.notice == f"Commit {commit[:7]} is deploy 1."
    event = AuditEvent.objects.get(action="deployment.deployed")
    assert event.actor_label.startswith("Git repository 127.0.0.1")
    assert commit[:12] in str(event.changes)
    assert Operation.objects.get(kind="deploy").actor is None


class Killed(BaseException):
    """What ends a worker at once. PostgreSQL then takes back what was not committed."""


def test_a_worker_that_is_killed_leaves_no_push_half_delivered(
    upstream: Repository,
    repository: GitRepository,
    source: GitSource,
    look: Callable[[], None],
    alice: User,
) -> None:
    set_state_token(actor=alice, repository=repository, token="st")
    commit = upstream.commit(DAG)

    for change in ("deploys_deploy", "deploys_commitstate"):

        def kill(execute: Any, sql: str, *more: Any, change: str = change) -> Any:
            done = execute(sql, *more)
            if sql.startswith(f'INSERT INTO "{change}"'):
                raise Killed
            return done

        with connection.execute_wrapper(kill), pytest.raises(Killed):
            look()
        assert not Deploy.objects.exists()
        assert not CommitState.objects.exists()
        GitRepository.objects.update(lease_token=None, lease_until=None)

    look()

    source.refresh_from_db()
    assert Deploy.objects.get().git_commit == commit
    assert source.notice == f"Commit {commit[:7]} is deploy 1."
    assert CommitState.objects.get().state == "pending"


def test_only_what_lies_in_the_folder_counts(
    upstream: Repository, source: GitSource, look: Callable[[], None]
) -> None:
    upstream.commit({**DAG, "README.md": b"one"})
    look()
    second = upstream.commit({**DAG, "README.md": b"two"})

    look()

    source.refresh_from_db()
    assert Deploy.objects.count() == 1
    assert source.commit == second
    assert source.notice == f"Commit {second[:7]} does not change the folder dags."


def test_nothing_is_fetched_twice(
    upstream: Repository,
    source: GitSource,
    look: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upstream.commit(DAG)
    look()
    monkeypatch.setattr(polling, "checkout", lambda *_, **__: pytest.fail("fetched again"))

    look()

    assert Deploy.objects.count() == 1


def test_code_that_is_refused_is_said_and_what_runs_stays(
    upstream: Repository, source: GitSource, look: Callable[[], None], deployment: Deployment
) -> None:
    commit = upstream.commit({"dags/etl.py": b"def broken(:\n"})

    look()

    source.refresh_from_db()
    assert source.last_error.startswith(f"Commit {commit[:7]} was not deployed. etl.py, line 1:")
    assert source.commit == commit
    assert not Deploy.objects.exists()
    upstream.commit(DAG)
    look()
    source.refresh_from_db()
    assert (source.last_error, Deploy.objects.count()) == ("", 1)


def test_a_branch_that_is_gone_a_folder_that_is_missing_and_both_back(
    upstream: Repository, source: GitSource, look: Callable[[], None], deployment: Deployment
) -> None:
    upstream.commit(DAG)
    look()
    upstream.drop("main")
    look()
    source.refresh_from_db()
    assert source.last_error.startswith("The branch main is not in the repository")

    upstream.commit({"README.md": b"no dags"})
    look()
    source.refresh_from_db()
    assert source.last_error.startswith("The commit has no folder dags.")
    assert Deploy.objects.count() == 1

    upstream.commit(DAG)
    look()
    source.refresh_from_db()
    assert source.last_error == ""
    assert source.notice.endswith("has the code that etl-prod runs already.")


def test_submodules_and_lfs_files_are_said_to_be_left_out(
    upstream: Repository, source: GitSource, look: Callable[[], None]
) -> None:
    files = {**DAG, "dags/model.bin": POINTER}
    upstream.commit(files, more=f"160000 {'1' * 40}\tdags/shared")

    look()

    source.refresh_from_db()
    assert "Submodules are left out: shared." in source.notice
    assert "Git LFS are delivered as pointers, without content: model.bin." in source.notice
    assert Deploy.objects.count() == 1


def test_a_symbolic_link_is_refused_with_a_sentence(
    upstream: Repository, source: GitSource, look: Callable[[], None]
) -> None:
    blob = upstream._git("hash-object", "-w", "--stdin", stdin=b"/etc/passwd")
    upstream.commit(DAG, more=f"120000 {blob}\tdags/link.py")

    look()

    source.refresh_from_db()
    assert "link.py is a symbolic link" in source.last_error
    assert not Deploy.objects.exists()


def test_a_newer_push_replaces_one_that_has_not_begun_and_says_so(
    upstream: Repository, source: GitSource, look: Callable[[], None], deployment: Deployment
) -> None:
    upstream.commit(DAG)
    look()
    second = upstream.commit({"dags/etl.py": b"x = 2\n"})

    look()

    source.refresh_from_db()
    assert source.notice == (
        f"Commit {second[:7]} is deploy 2. It replaced deploy 1, which had not begun."
    )
    assert Deploy.objects.get(number=1).revision.state == RevisionState.SUPERSEDED


def test_a_push_waits_for_the_deploy_in_progress_and_the_newest_one_wins(
    upstream: Repository, source: GitSource, look: Callable[[], None], deployment: Deployment
) -> None:
    upstream.commit(DAG)
    look()
    settle(deployment, RevisionState.APPLYING)
    second = upstream.commit({"dags/etl.py": b"x = 2\n"})
    look()
    source.refresh_from_db()
    assert source.notice == (f"Commit {second[:7]} waits until the deploy in progress has ended.")
    third = upstream.commit({"dags/etl.py": b"x = 3\n"})
    look()
    source.refresh_from_db()
    assert source.notice.startswith(f"Commit {second[:7]} was replaced by {third[:7]}")
    assert Deploy.objects.count() == 1

    settle(deployment)
    look()

    source.refresh_from_db()
    assert (source.commit, source.waiting_commit) == (third, "")
    assert Deploy.objects.count() == 2


def test_who_connected_it_must_still_be_allowed_to(
    upstream: Repository,
    source: GitSource,
    look: Callable[[], None],
    alice: User,
    workspace: Workspace,
    repository: GitRepository,
) -> None:
    upstream.commit(DAG)
    grant_model(type(workspace.organization)).objects.filter(user=alice).delete()
    look()
    repository.refresh_from_db()
    assert repository.last_error.startswith("Alice, who connected this repository, may no longer")
    assert not Deploy.objects.exists()

    other = make_user("Olga")
    put_role(other, role("workspace", "operator"), workspace)
    update_repository(actor=other, repository=repository, provider="other", username="ci")
    look()
    source.refresh_from_db()
    assert source.last_error.startswith("Alice, who connected etl-prod to git, may no longer")
    assert not Deploy.objects.exists()

    set_source(
        actor=other,
        deployment=source.deployment,
        repository=repository,
        branch="main",
        path="dags",
    )
    look()
    assert Deploy.objects.count() == 1


def test_a_wrong_token_a_silent_server_and_a_redirect_are_sentences(
    served: Any, upstream: Repository, alice: User, workspace: Workspace, monkeypatch: Any
) -> None:
    root, address, authority = served
    upstream.commit(DAG)
    monkeypatch.setattr(fetching, "ASK_SECONDS", 3.0)
    name = upstream.path.name
    with silent_server() as silent, https_server(root, authority, moved_to=address) as moved:
        addresses = {
            f"{address}/{name}": "The server refuses the credential.",
            f"{address}/none.git": "The server refuses the credential.",
            f"{silent}/{name}": "The git server does not answer in time.",
            f"{moved}/{name}": "The server leads to another address.",
        }
        for url, sentence in addresses.items():
            made = connect_repository(
                actor=alice, workspace=workspace, url=url, username="ci", token="wrong"
            )
            with pytest.raises(fetching.GitFailed, match=sentence):
                test_repository(repository=made)


def test_the_portals_own_machine_is_not_asked(
    repository: GitRepository, settings: Any, upstream: Repository
) -> None:
    settings.GIT_NETWORKS = ()

    with pytest.raises(fetching.GitFailed, match="PORTAL_GIT_NETWORKS"):
        test_repository(repository=repository)


def test_a_repository_that_is_too_large_is_left_alone(
    upstream: Repository,
    source: GitSource,
    look: Callable[[], None],
    repository: GitRepository,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upstream.commit({**DAG, "dags/data.bin": os.urandom(400_000)})
    monkeypatch.setattr(program, "MOST_FILE_BYTES", 200_000)

    look()

    source.refresh_from_db()
    repository.refresh_from_db()
    assert "too large for the portal" in source.last_error
    assert source.commit == ""
    assert repository.failures == 1


def test_a_large_history_is_not_fetched(
    upstream: Repository,
    source: GitSource,
    look: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parent = ""
    for number in range(5):
        content = {**DAG, f"dags/data{number}.bin": os.urandom(400_000)}
        parent = upstream.commit(content, parent=parent)
    last = upstream.commit(DAG, parent=parent)
    # One commit of that history would not fit, and all of it is ten times as much.
    monkeypatch.setattr(program, "MOST_FILE_BYTES", 200_000)

    look()

    source.refresh_from_db()
    assert (source.commit, source.last_error) == (last, "")
    assert Deploy.objects.get().git_commit == last


def test_the_token_is_in_no_process_list_and_in_no_file_that_others_read(
    repository: GitRepository, upstream: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def watched(process: Any, seconds: float) -> bool:
        for one in Path("/proc").glob("[0-9]*"):
            try:
                seen.append((one / "cmdline").read_text(errors="replace"))
                seen.append((one / "environ").read_text(errors="replace"))
            except OSError:
                continue
        folder = Path(os.readlink(f"/proc/{process.pid}/cwd"))
        modes.append(folder.stat().st_mode & 0o777)
        modes.append((folder / "gitconfig").stat().st_mode & 0o777)
        return wait(process, seconds)

    modes: list[int] = []
    wait = program._wait
    monkeypatch.setattr(program, "_wait", watched)

    test_repository(repository=repository)

    assert modes == [0o700, 0o600]
    assert any("portal-git-" in one for one in seen)
    assert not [one for one in seen if TOKEN in one]


def test_two_jobs_do_not_look_at_once(
    upstream: Repository, source: GitSource, repository: GitRepository
) -> None:
    upstream.commit(DAG)
    held = leases.claim(repository.pk)

    polling.poll(repository_id=repository.pk)

    assert held is not None
    assert not Deploy.objects.exists()
    leases.release(held)
    polling.poll(repository_id=repository.pk)
    assert Deploy.objects.count() == 1


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[SshServer]:
    if why := why_no_ssh():
        pytest.skip(why)
    server = SshServer(tmp_path / "ssh")
    yield server
    server.stop()


def test_over_ssh_with_a_deploy_key_and_a_pinned_host_key(
    ssh: SshServer, upstream: Repository, alice: User, deployment: Deployment
) -> None:
    commit = upstream.commit(DAG)
    url = f"ssh://root@127.0.0.1:{ssh.port}{upstream.path}"
    made = connect_repository(actor=alice, workspace=deployment.workspace, url=url)
    with pytest.raises(fetching.GitFailed, match="does not accept the deploy key"):
        test_repository(repository=made)
    ssh.allow(made.public_key)
    assert test_repository(repository=made) == "Connected. Its default branch is main."
    assert made.host_key.startswith("ssh-ed25519 ")
    set_source(actor=alice, deployment=deployment, repository=made, branch="main", path="dags")

    polling.poll(repository_id=made.pk)

    assert Deploy.objects.get().git_commit == commit
    ssh.new_host_key()
    polling.poll(repository_id=made.pk)
    made.refresh_from_db()
    assert made.last_error.startswith("The server shows another host key than before")
    trust_new_host_key(actor=alice, repository=made)
    polling.poll(repository_id=made.pk)
    made.refresh_from_db()
    assert made.last_error == ""
