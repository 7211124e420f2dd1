"""Pages of repositories, and what pages of a Deployment show of git."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.deployments.models import Deployment
from apps.deploys.deliveries.origins import Origin
from apps.deploys.deliveries.services import deliver
from apps.deploys.git.services import connect_repository, set_source
from apps.deploys.models import GitRepository, GitSource
from apps.organizations.models import Workspace
from tests.core.pages import check_page

ClientOf = Callable[[User], Client]
LIST = "/w/warehouse/git/"
HOSTILE = '"><script>alert(1)</script>'


@pytest.fixture(autouse=True)
def _storage(settings: Any, tmp_path: Path) -> None:
    default = settings.STORAGES["default"]
    options = {**default["OPTIONS"], "location": tmp_path / "bundles"}
    settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}


@pytest.fixture
def repository(alice: User, workspace: Workspace) -> GitRepository:
    return connect_repository(actor=alice, workspace=workspace, url="git@github.com:acme/dags.git")


@pytest.fixture
def source(alice: User, repository: GitRepository, deployment: Deployment) -> GitSource:
    return set_source(
        actor=alice, deployment=deployment, repository=repository, branch="main", path="dags"
    )


def test_alice_connects_a_repository_and_sees_the_deploy_key(
    alice: User, workspace: Workspace, client_of: ClientOf
) -> None:
    client = client_of(alice)
    assert "No repositories yet" in client.get(LIST).content.decode()

    response = client.post(f"{LIST}new/", {"url": "git@github.com:acme/dags.git"})

    made = GitRepository.objects.get()
    assert response["Location"] == f"{LIST}{made.pk}/"
    page = client.get(response["Location"]).content.decode()
    check_page(page)
    assert made.public_key in page
    assert made.provider == "github"
    check_page(client.get(LIST).content.decode())


def test_bob_is_refused_and_charlie_finds_nothing(
    bob: User, charlie: User, repository: GitRepository, client_of: ClientOf
) -> None:
    for path in (LIST, f"{LIST}new/", f"{LIST}{repository.pk}/"):
        assert client_of(bob).get(path).status_code == 403
        assert client_of(charlie).get(path).status_code == 404


def test_a_repository_of_another_workspace_is_not_found(
    alice: User, organization: Any, repository: GitRepository, client_of: ClientOf
) -> None:
    Workspace.objects.create(organization=organization, name="Other", slug="other-ws")

    for verb in ("", "edit/"):
        path = f"/w/other-ws/git/{repository.pk}/{verb}"
        assert client_of(alice).get(path).status_code == 404
    for verb in ("test", "look", "webhook", "trust", "remove"):
        path = f"/w/other-ws/git/{repository.pk}/{verb}/"
        assert client_of(alice).post(path).status_code == 404


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"url": ""}, "This field is required."),
        ({"url": "http://github.com/a/b"}, "Use an address that begins with https://"),
        ({"url": "https://github.com/a/b", "token": "a\tb\tc"}, "has no spaces or line breaks"),
    ],
)
def test_what_is_wrong_is_said_and_a_token_is_not_shown_again(
    data: dict[str, str], message: str, alice: User, workspace: Workspace, client_of: ClientOf
) -> None:
    response = client_of(alice).post(f"{LIST}new/", data)

    page = response.content.decode()
    assert response.status_code == 422
    assert message in page
    assert data.get("token", "never there") not in page


def test_the_secret_of_a_webhook_is_shown_once(
    alice: User, repository: GitRepository, client_of: ClientOf
) -> None:
    client = client_of(alice)

    page = client.post(f"{LIST}{repository.pk}/webhook/").content.decode()

    check_page(page)
    assert f"/hooks/git/{repository.key}/" in page
    again = client.get(f"{LIST}{repository.pk}/").content.decode()
    assert f"/hooks/git/{repository.key}/" in again
    secret = page.split("secret token)</p>")[1].split("<code>")[1].split("</code>")[0]
    assert len(secret) > 40
    assert secret not in again


def test_a_deployment_is_connected_shown_and_disconnected(
    alice: User, bob: User, repository: GitRepository, deployment: Deployment, client_of: ClientOf
) -> None:
    client, path = client_of(alice), f"/d/{deployment.ref}/deploys/git/"
    check_page(client.get(path).content.decode())
    data = {"repository": repository.pk, "branch": "main", "path": "/dags/"}
    assert client_of(bob).post(path, data).status_code == 403
    bad = client.post(path, {**data, "branch": "a..b"})
    assert (bad.status_code, GitSource.objects.count()) == (422, 0)

    client.post(path, data)

    found = GitSource.objects.get()
    assert (found.branch, found.path, found.set_by) == ("main", "dags", alice)
    page = client.get(f"/d/{deployment.ref}/deploys/").content.decode()
    check_page(page)
    assert "Check now" in page
    seen = client_of(bob).get(f"/d/{deployment.ref}/deploys/").content.decode()
    assert "github.com/acme/dags" in seen
    assert "Check now" not in seen
    client.post(f"{path}disconnect/")
    assert not GitSource.objects.exists()


def test_hostile_words_of_a_commit_and_of_a_server_are_only_shown(
    alice: User, source: GitSource, deployment: Deployment, client_of: ClientOf
) -> None:
    GitSource.objects.update(last_error=HOSTILE * 10)
    GitRepository.objects.update(last_error=HOSTILE)
    words = dict.fromkeys(("repository", "branch", "path", "author", "message"), HOSTILE * 30)
    deliver(
        actor=None,
        deployment=deployment,
        file_name="code.py",
        chunks=[b"x = 1\n"],
        origin=Origin(commit="a" * 40, url=f"https://git.test/{HOSTILE}", **words),
    )

    paths = (
        f"/d/{deployment.ref}/deploys/",
        f"/d/{deployment.ref}/deploys/1/",
        LIST,
        f"{LIST}{source.repository_id}/",
    )
    for path in paths:
        page = client_of(alice).get(path).content.decode()
        check_page(page)
        assert "<script>alert" not in page


def test_a_page_says_that_its_credential_is_no_longer_vouched_for(
    alice: User, bob: User, repository: GitRepository, client_of: ClientOf
) -> None:
    GitRepository.objects.update(connected_by=bob)

    page = client_of(alice).get(f"{LIST}{repository.pk}/").content.decode()

    assert "Bob, who connected it, may no longer do so." in page


def test_lists_cost_the_same_for_one_and_for_many(
    alice: User, workspace: Workspace, source: GitSource, client_of: ClientOf
) -> None:
    client = client_of(alice)
    paths = (LIST, f"{LIST}{source.repository_id}/")

    def cost() -> list[int]:
        found = []
        for path in paths:
            with CaptureQueriesContext(
                connection,
            ) as queries:
                client.get(path)
            found.append(len(queries))
        return found

    cost()
    before = cost()
    for number in range(60):
        connect_repository(
            actor=alice, workspace=workspace, url=f"https://git.test/{'long-' * 20}{number}"
        )

    assert cost() == before
    assert "Next" in client.get(LIST).content.decode()
