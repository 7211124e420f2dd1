"""Deploys from git without a server: addresses, webhooks, leases, what git is told, enforcement."""

import hashlib
import hmac
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone

from apps.access.models import Role
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict, Invalid, Refused
from apps.deployments.models import Deployment, Phase
from apps.deploys.deliveries.enforcement import (
    DeployedByAutomation,
    is_enforced,
    set_default,
    set_for_deployment,
)
from apps.deploys.deliveries.origins import Origin
from apps.deploys.deliveries.services import deliver, roll_back
from apps.deploys.git import leases, polling
from apps.deploys.git.servers import fetching, program
from apps.deploys.git.servers.remotes import clean_branch, clean_folder, commit_page, remote_of
from apps.deploys.git.services import (
    connect_repository,
    disconnect,
    remove_repository,
    rotate_webhook_secret,
    set_source,
    update_repository,
)
from apps.deploys.models import Deploy, GitRepository, GitSource
from apps.organizations.models import Organization, Workspace
from apps.organizations.tokens.services import create_token
from tests.deploys.test_deploy_pages import settle

ADDRESSES = {
    "https://github.com/acme/dags.git": "https://github.com/acme/dags.git",
    " https://GitHub.com:443/acme/dags/ ": "https://github.com/acme/dags",
    "git@github.com:acme/dags.git": "ssh://git@github.com/acme/dags.git",
    "ssh://git.acme.test:2222/~team/dags": "ssh://git@git.acme.test:2222/~team/dags",
    "https://[2001:db8::1]:8443/a.git": "https://[2001:db8::1]:8443/a.git",
}
NO_ADDRESSES = (
    "",
    "http://github.com/acme/dags",
    "file:///etc/passwd",
    "ext::sh -c id",
    "/srv/dags.git",
    "https://user:secret@github.com/acme/dags",
    "https://user@github.com/acme/dags",
    "ssh://-oProxyCommand=id/x",
    "ssh://git@-oProxyCommand/x",
    "ssh://-x@github.com/acme",
    "ssh://git@github.com/--upload-pack=id",
    "https://github.com/acme/../dags",
    "https://github.com/acme/dags?x=1",
    "https://github.com/a b",
    "https://github.com/a\nb",
    "https://github.com:99999/a",
    "https://gith\u00fcb.com/a",
    "https://github.com",
)


@pytest.fixture(autouse=True)
def _storage(settings: Any, tmp_path: Path) -> None:
    default = settings.STORAGES["default"]
    options = {**default["OPTIONS"], "location": tmp_path / "bundles"}
    settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}


@pytest.fixture
def repository(alice: User, workspace: Workspace) -> GitRepository:
    return connect_repository(
        actor=alice, workspace=workspace, url="https://github.com/acme/dags.git", token="t0ken"
    )


@pytest.fixture
def source(alice: User, repository: GitRepository, deployment: Deployment) -> GitSource:
    return set_source(
        actor=alice, deployment=deployment, repository=repository, branch="main", path="dags/"
    )


def test_addresses_of_repositories_have_one_form() -> None:
    assert {text: remote_of(text).url for text in ADDRESSES} == ADDRESSES
    for text in NO_ADDRESSES:
        with pytest.raises(Invalid):
            remote_of(text)


def test_branches_and_folders_that_git_would_read_otherwise_are_refused() -> None:
    assert [clean_branch(name) for name in ("main", " feature/x-1 ", "refs/heads/a.b")] == [
        "main",
        "feature/x-1",
        "a.b",
    ]
    for name in ("", "-x", "a..b", "a b", "a*", "a.lock", "a/.b", "a/", "@{1}", "a:b", "x" * 256):
        with pytest.raises(Invalid):
            clean_branch(name)
    assert [clean_folder(path) for path in ("", "/", "/dags/", "a//b/.")] == ["", "", "dags", "a/b"]
    for path in ("..", "a/../b", "a\\b", "a\0b", "x" * 501):
        with pytest.raises(Invalid):
            clean_folder(path)


def test_a_commit_leads_to_its_page_at_the_provider() -> None:
    pages = {
        ("git@github.com:acme/dags.git", "github"): "https://github.com/acme/dags/commit/abc",
        ("ssh://git@gl.test:22/a/b/c", "gitlab"): "https://gl.test/a/b/c/-/commit/abc",
        ("https://gitea.test:3000/a/b", "gitea"): "https://gitea.test:3000/a/b/commit/abc",
        ("https://bitbucket.org/a/b", "bitbucket"): "https://bitbucket.org/a/b/commits/abc",
        ("https://git.test/a/b", "other"): "",
    }
    for (url, provider), page in pages.items():
        assert commit_page(remote_of(url), provider=provider, commit="abc") == page


def test_git_is_told_nothing_that_others_may_read(tmp_path: Path) -> None:
    access = program.Access(
        scheme="https", host="git.test", port=443, addresses=("10.0.0.1",), secret="hunter2-token"
    )

    program.Workbench(tmp_path, access)

    config = tmp_path / "gitconfig"
    text = config.read_text()
    assert config.stat().st_mode & 0o777 == 0o600
    assert 'curloptResolve = "git.test:443:10.0.0.1"' in text
    assert 'followRedirects = "false"' in text
    assert "hunter2" not in text + repr(access)
    with pytest.raises(ValueError, match="control characters"):
        program._quoted("a\n[core]")


def test_what_a_server_says_is_shortened_and_made_printable() -> None:
    loud = program.Answer(128, b"", "remote: hi\nfatal: \x1b[31m" + "x" * 5000)
    late = program.Answer(-9, b"", "", is_late=True)

    with pytest.raises(fetching.GitFailed) as caught:
        fetching._check(loud)

    assert caught.value.message.startswith("Git cannot read the repository. It said: [31mxxx")
    assert len(caught.value.message) < 300
    with pytest.raises(fetching.GitFailed, match="does not answer in time"):
        fetching._check(late)


def test_a_repository_is_connected_once_and_its_secret_is_sealed(
    alice: User, workspace: Workspace, repository: GitRepository
) -> None:
    assert b"t0ken" not in bytes(repository.secret or b"")
    assert polling.login_of(repository).secret == "t0ken"
    assert "t0ken" not in repr(polling.login_of(repository))
    with pytest.raises(Invalid, match="connected to this repository already"):
        connect_repository(
            actor=alice, workspace=workspace, url="https://github.com/acme/dags.git/"
        )
    events = AuditEvent.objects.filter(action="git_repository.connected")
    assert [event.lines for event in events] == [
        ["git repository github.com/acme/dags: none → connected"]
    ]


def test_ssh_gets_a_deploy_key_of_its_own_that_can_be_renewed(
    alice: User, workspace: Workspace
) -> None:
    made = connect_repository(actor=alice, workspace=workspace, url="git@github.com:acme/dags.git")
    first = made.public_key

    update_repository(actor=alice, repository=made, provider="github", renews_key=True)

    made.refresh_from_db()
    assert first.startswith("ssh-ed25519 ")
    assert made.public_key.startswith("ssh-ed25519 ")
    assert made.public_key != first
    assert polling.login_of(made).secret.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    with pytest.raises(Invalid, match="needs no token"):
        connect_repository(
            actor=alice, workspace=workspace, url="git@github.com:acme/other.git", token="x"
        )


def test_a_deployment_follows_repositories_of_its_workspace_alone(
    alice: User, bob: User, deployment: Deployment, source: GitSource, organization: Organization
) -> None:
    other = Workspace.objects.create(organization=organization, name="Other", slug="other-ws")
    foreign = connect_repository(actor=alice, workspace=other, url="https://github.com/a/b")

    with pytest.raises(Invalid, match="of this workspace"):
        set_source(actor=alice, deployment=deployment, repository=foreign, branch="main", path="")
    with pytest.raises(Refused, match="may not deploy code"):
        set_source(
            actor=bob, deployment=deployment, repository=source.repository, branch="x", path=""
        )
    with pytest.raises(Conflict, match="Deployments deploy from this repository: etl-prod"):
        remove_repository(actor=alice, repository=source.repository)
    disconnect(actor=alice, deployment=deployment)
    remove_repository(actor=alice, repository=source.repository)
    assert GitRepository.objects.get() == foreign


def signed(secret: str, body: bytes, kind: str) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "github": {"X-Hub-Signature-256": f"sha256={digest}"},
        "gitea": {"X-Gitea-Signature": digest},
        "bitbucket": {"X-Hub-Signature": f"sha256={digest}"},
        "gitlab": {"X-Gitlab-Token": secret},
    }[kind]


def send(repository: GitRepository, body: bytes, headers: dict[str, str]) -> int:
    path = f"/hooks/git/{repository.key}/"
    response = Client(enforce_csrf_checks=True).post(
        path, body, content_type="application/json", headers=headers
    )
    return response.status_code


def test_a_signed_webhook_makes_the_repository_due_and_nothing_else_counts(
    alice: User, repository: GitRepository, source: GitSource
) -> None:
    body = b'{"ref": "refs/heads/evil", "repository": {"clone_url": "https://evil.test"}}'
    assert send(repository, body, {}) == 401
    secret = rotate_webhook_secret(actor=alice, repository=repository)

    for kind in ("github", "gitea", "bitbucket", "gitlab"):
        GitRepository.objects.update(next_poll_at=None, webhook_seen_at=None)
        assert send(repository, body, signed(secret, body, kind)) == 202
        repository.refresh_from_db()
        assert repository.next_poll_at is not None
        assert repository.webhook_seen_at is not None

    GitRepository.objects.update(next_poll_at=None)
    for headers in (
        {},
        signed("another", body, "github"),
        signed(secret, b"other body", "github"),
        signed("another", body, "gitlab"),
        {"X-Hub-Signature-256": "sha256=é"},
    ):
        assert send(repository, body, headers) == 401
    old = signed(secret, body, "github")
    rotate_webhook_secret(actor=alice, repository=repository)
    assert send(repository, body, old) == 401
    repository.refresh_from_db()
    assert repository.next_poll_at is None
    assert Client().get(f"/hooks/git/{repository.key}/").status_code == 405


def test_webhooks_are_bounded_in_size_and_number(
    alice: User, repository: GitRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = rotate_webhook_secret(actor=alice, repository=repository)
    headers = signed(secret, b"{}", "github")
    monkeypatch.setattr("apps.deploys.git.webhooks.MOST_BYTES", 10)
    assert send(repository, b"x" * 11, headers) == 413
    monkeypatch.setattr("apps.deploys.git.webhooks.MOST_A_MINUTE", 2)

    assert [send(repository, b"{}", headers) for _ in range(3)] == [202, 202, 429]
    assert [send(repository, b"{}", {}) for _ in range(3)] == [401, 401, 429]


def test_one_job_at_a_time_looks_at_a_repository_and_few_at_a_host(
    alice: User, workspace: Workspace, repository: GitRepository, source: GitSource, settings: Any
) -> None:
    settings.GIT_JOBS = 8
    more = [
        connect_repository(actor=alice, workspace=workspace, url=f"https://{host}/acme/{name}")
        for host, name in (("github.com", "a"), ("github.com", "b"), ("gitlab.com", "c"))
    ]
    GitRepository.objects.update(next_poll_at=Now())
    assert sorted(leases.take_due()) == sorted([repository.pk, *(one.pk for one in more)])
    assert leases.take_due() == []

    first = leases.claim(repository.pk)
    assert first is not None
    assert leases.claim(repository.pk) is None
    assert leases.claim(more[0].pk) is not None
    assert leases.claim(more[1].pk) is None, "a third of one host"
    assert leases.claim(more[2].pk) is not None

    leases.release(first, error="It is away.")
    first.refresh_from_db()
    assert (first.failures, first.last_error, first.lease_until) == (1, "It is away.", None)
    assert first.next_poll_at is not None
    assert first.next_poll_at > timezone.now() + timedelta(seconds=90)
    settings.GIT_JOBS = 2
    assert leases.claim(repository.pk) is None, "all jobs are at work"


def test_a_push_during_a_look_is_looked_at_next(source: GitSource) -> None:
    held = leases.claim(source.repository_id)
    leases.make_due(source.repository)
    assert leases.take_due() == []

    leases.release(held)  # type: ignore[arg-type]

    assert leases.take_due() == [source.repository_id]


def test_a_push_is_seen_within_a_minute_and_the_wait_grows_with_failures(settings: Any) -> None:
    settings.GIT_POLL_SECONDS = 60
    sweep = settings.CELERY_BEAT_SCHEDULE["sweep-git"]["schedule"].total_seconds()

    waits = [leases.wait_seconds(failures) for failures in range(12)]

    assert waits[0] >= 48
    assert waits[0] + sweep <= 59, "a second remains for the look"
    assert 96 <= waits[1] <= 108
    assert max(waits) <= leases.LONGEST_WAIT_SECONDS


def test_a_repository_that_nothing_follows_is_not_looked_at(
    alice: User, source: GitSource, deployment: Deployment
) -> None:
    held = leases.claim(source.repository_id)
    Deployment.objects.filter(pk=deployment.pk).update(phase=Phase.DELETED)

    leases.release(held)  # type: ignore[arg-type]

    assert GitRepository.objects.get().next_poll_at is None


def delivered(actor: User | None, deployment: Deployment, number: int) -> Deploy:
    return deliver(
        actor=actor,
        deployment=deployment,
        file_name="etl.py",
        chunks=[b"x = %d\n" % number],
        origin=Origin(commit="c0ffee" * 6, branch="main", url="javascript:alert(1)"),
    ).deploy


def test_where_enforcement_is_on_tokens_and_git_deploy_and_people_roll_back(
    alice: User, deployment: Deployment, workspace: Workspace
) -> None:
    role = Role.objects.get(scope="workspace", key="author")
    token, _ = create_token(actor=alice, on=workspace, name="CI", role=role, expires_at=None)
    by_hand = delivered(alice, deployment, 1)
    settle(deployment)
    set_default(actor=alice, workspace=workspace, is_on=True)

    with pytest.raises(DeployedByAutomation, match="Only API tokens and git may deploy"):
        delivered(alice, deployment, 2)
    by_token = delivered(token.user, deployment, 2)
    settle(deployment)
    by_git = delivered(None, deployment, 3)

    assert [one.source for one in (by_hand, by_token, by_git)] == ["hand", "token", "git"]
    assert by_git.git_url == "", "no link but of https"
    deployment.refresh_from_db()
    back = roll_back(actor=alice, deployment=deployment, deploy=by_token).deploy
    assert (back.source, back.git_commit) == ("hand", by_token.git_commit)


def test_a_deployment_may_differ_from_its_workspace(
    alice: User, deployment: Deployment, workspace: Workspace
) -> None:
    seen = []
    for default, own in ((False, None), (True, None), (True, False), (False, True)):
        set_default(actor=alice, workspace=workspace, is_on=default)
        set_for_deployment(actor=alice, deployment=deployment, is_on=own)
        seen.append(is_enforced(deployment))

    assert seen == [False, True, False, True]
    changed = AuditEvent.objects.filter(action__endswith=".enforcement_changed").order_by("pk")
    assert [event.lines for event in changed] == [
        ["CI/CD enforcement: off → on"],
        ["CI/CD enforcement: default of the workspace → off"],
        ["CI/CD enforcement: on → off"],
        ["CI/CD enforcement: off → on"],
    ]


def test_enforcement_is_shown_and_holds_on_the_page(
    alice: User, deployment: Deployment, client_of: Callable[[User], Client]
) -> None:
    client = client_of(alice)
    client.post(f"/d/{deployment.ref}/deploys/enforcement/", {"enforcement": "on"})

    page = client.get(f"/d/{deployment.ref}/deploys/").content.decode()

    assert "CI/CD enforcement is on" in page
    assert 'type="file"' not in page
