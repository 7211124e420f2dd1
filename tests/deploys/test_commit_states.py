"""What became of a commit, told to its provider: the shapes, the outbox, and a sealed token."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.deployments.models import Deployment, Phase, RevisionState
from apps.deploys.commit_states import reporting, shapes, tracking
from apps.deploys.deliveries.services import deliver
from apps.deploys.git.servers.remotes import remote_of
from apps.deploys.git.services import connect_repository, set_state_token
from apps.deploys.models import CommitState, Deploy, GitRepository, Preview, PreviewState
from apps.organizations.models import Workspace
from tests.core.pages import check_page
from tests.deploys.test_deploy_pages import DAG, settle
from tests.kubernetes.certificates import Authority

TOKEN, SHA = "st-canary-token", "c0ffee" * 6 + "0000"
REPORT = shapes.Report(
    commit=SHA,
    state="failure",
    key="etl-prod-7f3c",
    name="Deploy to etl-prod",
    description="x" * 200,
    url="https://portal.example.org/d/etl-prod-7f3c/deploys/",
)
# provider, repository, user name; where it goes, a header, what the body says.
SHAPES: tuple[tuple[str, str, str, str, tuple[str, str], dict[str, str]], ...] = (
    (
        "github",
        "git@github.com:acme/dags.git",
        "",
        f"https://api.github.com/repos/acme/dags/statuses/{SHA}",
        ("Authorization", f"Bearer {TOKEN}"),
        {"state": "failure", "context": REPORT.name, "target_url": REPORT.url},
    ),
    (
        "github",
        "https://git.acme.test:8443/acme/dags.git",
        "",
        f"https://git.acme.test:8443/api/v3/repos/acme/dags/statuses/{SHA}",
        ("X-GitHub-Api-Version", "2022-11-28"),
        {"state": "failure"},
    ),
    (
        "gitlab",
        "https://gitlab.com/acme/data/dags.git",
        "",
        f"https://gitlab.com/api/v4/projects/acme%2Fdata%2Fdags/statuses/{SHA}",
        ("PRIVATE-TOKEN", TOKEN),
        {"state": "failed", "name": REPORT.name, "target_url": REPORT.url},
    ),
    (
        "gitea",
        "ssh://git@git.acme.test:2222/acme/dags.git",
        "",
        f"https://git.acme.test/api/v1/repos/acme/dags/statuses/{SHA}",
        ("Authorization", f"token {TOKEN}"),
        {"state": "failure", "context": REPORT.name},
    ),
    (
        "bitbucket",
        "https://bitbucket.org/acme/dags.git",
        "x-token-auth",
        f"https://api.bitbucket.org/2.0/repositories/acme/dags/commit/{SHA}/statuses/build",
        ("Authorization", f"Bearer {TOKEN}"),
        {"state": "FAILED", "key": "etl-prod-7f3c", "url": REPORT.url},
    ),
    (
        "bitbucket",
        "https://bitbucket.org/acme/dags.git",
        "ada",
        f"https://api.bitbucket.org/2.0/repositories/acme/dags/commit/{SHA}/statuses/build",
        ("Authorization", "Basic YWRhOnN0LWNhbmFyeS10b2tlbg=="),
        {"state": "FAILED"},
    ),
)


@dataclass
class Provider:
    """An API over https that keeps what it is told; `status` and `body` are its answer."""

    url: str = ""
    status: int = 201
    body: bytes = b"{}"
    told: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("Providers")


@pytest.fixture
def provider(authority: Authority, tmp_path: Path, settings: Any) -> Iterator[Provider]:
    made = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.told.append((self.path, dict(self.headers), body))
            self.send_response(made.status)
            self.send_header("Content-Length", str(len(made.body)))
            self.end_headers()
            self.wfile.write(made.body)

        def log_message(self, *_: Any) -> None: ...

    signed = authority.server("127.0.0.1")
    pem = tmp_path / "server.pem"
    pem.write_text(signed.certificate + signed.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    made.url = f"https://127.0.0.1:{server.server_port}"
    settings.GIT_NETWORKS, settings.GIT_CA = ("127.0.0.0/8",), authority.certificate
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def repository(alice: User, workspace: Workspace, provider: Provider) -> GitRepository:
    made = connect_repository(
        actor=alice, workspace=workspace, url=f"{provider.url}/acme/dags.git", provider="gitea"
    )
    set_state_token(actor=alice, repository=made, token=TOKEN)
    made.refresh_from_db()
    return made


@pytest.fixture(autouse=True)
def _storage(settings: Any, tmp_path: Path) -> None:
    default = settings.STORAGES["default"]
    options = {**default["OPTIONS"], "location": tmp_path / "bundles"}
    settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}


def note(repository: GitRepository, deployment: Deployment, state: str = "pending") -> CommitState:
    tracking.note_commit(
        repository=repository, deployment=deployment, commit=SHA, state=state, description="Why"
    )
    return CommitState.objects.get()


def pushed(alice: User, deployment: Deployment) -> Deploy:
    made = deliver(actor=alice, deployment=deployment, file_name="a.py", chunks=[DAG]).deploy
    Deploy.objects.filter(pk=made.pk).update(source=Deploy.Source.GIT, git_commit=SHA)
    return made


def send() -> int:
    """Send what is due, an hour later than anything waits."""
    return reporting.send_due(now=timezone.now() + timedelta(days=1))


def test_each_provider_is_asked_in_its_documented_shape() -> None:
    for provider, url, username, expected, (name, value), fields in SHAPES:
        request = shapes.request_for(
            REPORT, provider=provider, remote=remote_of(url), username=username, token=TOKEN
        )

        assert request is not None
        assert request.url == expected
        assert request.headers[name] == value
        body = json.loads(request.body)
        assert body | fields == body
        assert len(body["description"]) == shapes.MOST_DESCRIPTION
        assert TOKEN not in request.url + request.body.decode()
    assert not shapes.request_for(
        REPORT, provider="other", remote=remote_of(SHAPES[0][1]), username="", token=TOKEN
    )


# What each documents: the path of the API on a server of one's own, the headers that say who asks,
# the words of the three states, and what else the body has, with {name}, {key} and {url}.
DOCUMENTED: dict[str, tuple[str, dict[str, str], tuple[str, str, str], dict[str, str]]] = {
    "github": (
        "/api/v3/repos/acme/dags/statuses/{sha}",
        {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {TOKEN}",
            "X-GitHub-Api-Version": "2022-11-28",
        },
        ("pending", "success", "failure"),
        {"context": "{name}", "target_url": "{url}"},
    ),
    "gitlab": (
        "/api/v4/projects/acme%2Fdags/statuses/{sha}",
        {"PRIVATE-TOKEN": TOKEN},
        ("pending", "success", "failed"),
        {"name": "{name}", "target_url": "{url}"},
    ),
    "gitea": (
        "/api/v1/repos/acme/dags/statuses/{sha}",
        {"Authorization": f"token {TOKEN}"},
        ("pending", "success", "failure"),
        {"context": "{name}", "target_url": "{url}"},
    ),
    "bitbucket": (
        "/2.0/repositories/acme/dags/commit/{sha}/statuses/build",
        {"Authorization": f"Bearer {TOKEN}"},
        ("INPROGRESS", "SUCCESSFUL", "FAILED"),
        {"key": "{key}", "name": "{name}", "url": "{url}"},
    ),
}
LATER = "beef" * 10


@pytest.mark.parametrize("name", DOCUMENTED)
def test_from_the_push_to_its_end_each_provider_is_told_in_its_own_words(
    name: str,
    alice: User,
    repository: GitRepository,
    deployment: Deployment,
    provider: Provider,
    settings: Any,
) -> None:
    path, headers, words, more = DOCUMENTED[name]
    GitRepository.objects.update(provider=name)
    repository.refresh_from_db()
    for sha, content, end in ((SHA, DAG, "applied"), (LATER, DAG + b"x = 1\n", "failed")):
        tracking.note_commit(
            repository=repository, deployment=deployment, commit=sha, state="pending"
        )
        made = deliver(actor=alice, deployment=deployment, file_name="a.py", chunks=[content])
        Deploy.objects.filter(pk=made.deploy.pk).update(source=Deploy.Source.GIT, git_commit=sha)
        assert send() == 1
        settle(deployment, end)
        assert tracking.follow_pending(now=timezone.now()) == 1
        assert send() == 1

    page = f"{settings.PORTAL_URL}/d/{deployment.ref}/deploys/"
    values = {"name": f"Deploy to {deployment.name}", "key": deployment.ref, "url": page}
    filled = {field: text.format(**values) for field, text in more.items()}
    pending, success, failure = words
    wanted = [
        (path.format(sha=SHA), {"state": pending, "description": "", **filled}),
        (path.format(sha=SHA), {"state": success, "description": "It runs.", **filled}),
        (path.format(sha=LATER), {"state": pending, "description": "", **filled}),
        (
            path.format(sha=LATER),
            {"state": failure, "description": "It could not be applied.", **filled},
        ),
    ]
    assert [(at, body) for at, _, body in provider.told] == wanted
    for _, sent, _ in provider.told:
        assert headers.items() <= sent.items()
        assert sent["Content-Type"] == "application/json"
        others = {key for key, value in sent.items() if TOKEN in value} - set(headers)
        assert not others


def test_a_commit_is_pending_then_it_runs(
    alice: User, repository: GitRepository, deployment: Deployment, provider: Provider
) -> None:
    note(repository, deployment)
    deploy = pushed(alice, deployment)
    assert (send(), send()) == (1, 0)
    assert tracking.follow_pending(now=timezone.now()) == 0

    settle(deployment)
    assert tracking.follow_pending(now=timezone.now()) == 1
    assert (send(), send()) == (1, 0)

    assert [body["state"] for _, _, body in provider.told] == ["pending", "success"]
    path, headers, body = provider.told[0]
    assert path == f"/api/v1/repos/acme/dags/statuses/{SHA}"
    assert headers["Authorization"] == f"token {TOKEN}"
    assert body["target_url"].endswith(f"/d/{deployment.ref}/deploys/")
    assert deploy.number == 1


@pytest.mark.parametrize(
    ("state", "told"), [(RevisionState.FAILED, "failure"), (RevisionState.APPLIED, "success")]
)
def test_a_deploy_whose_configuration_was_changed_goes_on_with_its_code(
    state: str, told: str, alice: User, repository: GitRepository, deployment: Deployment
) -> None:
    note(repository, deployment)
    deploy = pushed(alice, deployment)
    deploy.revision.state = RevisionState.SUPERSEDED
    deploy.revision.save(update_fields=["state"])
    deployment.refresh_from_db()
    newer = deployment.revisions.create(
        number=90, config=deployment.wanted.config, code_digest=deploy.digest, state=state
    )
    Deployment.objects.filter(pk=deployment.pk).update(wanted=newer)

    tracking.follow_pending(now=timezone.now())

    assert CommitState.objects.get().state == told


def test_a_preview_that_fails_is_a_failure(
    repository: GitRepository, deployment: Deployment
) -> None:
    note(repository, deployment)
    Preview.objects.create(
        deployment=deployment,
        number=1,
        file_name="code.zip",
        digest="0" * 64,
        size_bytes=1,
        source=Deploy.Source.GIT,
        origin={"commit": SHA},
        state=PreviewState.FAILED,
    )

    tracking.follow_pending(now=timezone.now())

    assert CommitState.objects.get().state == "failure"


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "refuses the token"),
        (404, "does not know the repository"),
        (302, "answered 302"),
        (500, "answered 500"),
    ],
)
def test_what_a_provider_refuses_is_said_and_tried_again_later(
    status: int,
    message: str,
    alice: User,
    repository: GitRepository,
    deployment: Deployment,
    provider: Provider,
    client_of: Callable[[User], Client],
) -> None:
    provider.status, now = status, timezone.now()
    one = note(repository, deployment)

    assert reporting.send_due(now=now + timedelta(seconds=1)) == 0
    assert reporting.send_due(now=now + timedelta(seconds=2)) == 0
    one.refresh_from_db()
    assert len(provider.told) == 1
    assert message in one.last_error
    page = client_of(alice).get(f"/w/warehouse/git/{repository.pk}/").content.decode()
    check_page(page)
    assert message in page
    assert TOKEN not in page + one.last_error + str(list(AuditEvent.objects.values("changes")))

    provider.status = 201
    assert reporting.send_due(now=now + timedelta(minutes=5)) == 1
    one.refresh_from_db()
    assert (one.sent_state, one.last_error) == ("pending", "")


def test_gitlab_refuses_a_state_twice_which_is_fine(
    repository: GitRepository, deployment: Deployment, provider: Provider
) -> None:
    GitRepository.objects.update(provider="gitlab")
    provider.status = 400
    provider.body = b'{"message":"Cannot transition status via :enqueue from :pending"}'
    note(repository, deployment)

    assert send() == 1


def test_nothing_is_sent_without_a_token_to_a_deleted_deployment_or_forever(
    alice: User, repository: GitRepository, deployment: Deployment, provider: Provider
) -> None:
    note(repository, deployment)
    Deployment.objects.update(phase=Phase.DELETED)
    assert send() == 0
    Deployment.objects.update(phase=Phase.ACTIVE)
    CommitState.objects.update(attempts=reporting.MOST_ATTEMPTS)
    assert send() == 0

    set_state_token(actor=alice, repository=repository, token="")
    repository.refresh_from_db()
    CommitState.objects.all().delete()
    tracking.note_commit(repository=repository, deployment=deployment, commit=SHA, state="success")

    assert not CommitState.objects.exists()
    assert provider.told == []


def test_a_provider_inside_is_refused_unless_the_setting_names_it(
    repository: GitRepository, deployment: Deployment, provider: Provider, settings: Any
) -> None:
    settings.GIT_NETWORKS = ()
    one = note(repository, deployment)

    assert send() == 0
    one.refresh_from_db()
    assert provider.told == []
    assert "PORTAL_GIT_NETWORKS" in one.last_error


def test_the_token_is_kept_sealed_and_replaced_on_the_page(
    alice: User, bob: User, repository: GitRepository, client_of: Callable[[User], Client]
) -> None:
    path = f"/w/warehouse/git/{repository.pk}/states/"
    assert TOKEN.encode() not in bytes(repository.state_token)

    response = client_of(alice).post(path, {"token": "another-token"}, follow=True)

    assert "another-token" not in response.content.decode()
    assert "are reported" in response.content.decode()
    before = bytes(repository.state_token)
    repository.refresh_from_db()
    assert bytes(repository.state_token) != before
    assert client_of(bob).post(path, {"token": "x"}).status_code == 403
