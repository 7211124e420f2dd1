"""A branch of a real git server gets a Deployment, and loses it with the branch."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.access.scopes import grant_model
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.core.errors import Invalid, Refused
from apps.deployments.configuration.schema import Variable
from apps.deployments.models import Deployment, Phase
from apps.deploys.branches import following, services
from apps.deploys.git.services import connect_repository, set_source
from apps.deploys.models import BranchDeployment, BranchRule, GitRepository, GitSource
from apps.organizations.models import Workspace
from tests.conftest import make_user, put_role, role
from tests.core.pages import check_page
from tests.deploys.git_servers import BACKEND, TOKEN, Repository, https_server
from tests.kubernetes.certificates import Authority

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db,
    pytest.mark.skipif(not BACKEND.exists(), reason="no git-http-backend here (Debian: git)"),
]

DAG = {"dags/etl.py": b"from airflow.sdk import dag\n"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, Authority]]:
    root, authority = tmp_path_factory.mktemp("git"), Authority("Tests")
    with https_server(root, authority, token=TOKEN) as address:
        yield root, address, authority


@pytest.fixture
def upstream(served: Any, settings: Any, request: pytest.FixtureRequest) -> Repository:
    root, _, authority = served
    settings.GIT_CA, settings.GIT_NETWORKS = authority.certificate, ("127.0.0.0/8",)
    made = Repository(root / f"{request.node.name[:60]}.git")
    made.commit(DAG)
    return made


@pytest.fixture
def repository(
    served: Any, upstream: Repository, alice: User, workspace: Workspace
) -> GitRepository:
    url = f"{served[1]}/{upstream.path.name}"
    return connect_repository(actor=alice, workspace=workspace, url=url, username="ci", token=TOKEN)


@pytest.fixture
def olga(organization: Any, workspace: Workspace) -> User:
    """Operates the workspace."""
    user = make_user("Olga")
    put_role(user, role("organization", "member"), organization)
    put_role(user, role("workspace", "operator"), workspace)
    return user


@pytest.fixture
def rule(olga: User, repository: GitRepository, deployment: Deployment) -> BranchRule:
    configuration = deployment.wanted.configuration
    variables = (Variable(key="REGION", value="eu"), Variable(key="TOKEN", secret_id="x"))
    config = replace(configuration, variables=variables).to_json()
    deployment.revisions.filter(pk=deployment.wanted_id).update(config=config)
    return set_rule(olga, repository, deployment)


def set_rule(actor: User, repository: GitRepository, template: Deployment, **other: Any) -> Any:
    fields = {"pattern": "feature/*", "path": "dags", "most": 2, "days": 7}
    return services.set_rule(
        actor=actor, repository=repository, template=template, **fields | other
    )


def look(rule: BranchRule, *, days: int = 0) -> str:
    """Look at the branches some days later; return what is wrong."""
    BranchRule.objects.update(next_look_at=timezone.now())
    assert following.look_at_due(now=timezone.now() + timedelta(days=days, seconds=1)) == 1
    rule.refresh_from_db()
    return rule.last_error


def live() -> dict[str, Deployment]:
    rows = BranchDeployment.objects.filter(deployment__phase=Phase.ACTIVE)
    return {one.branch: one.deployment for one in rows.select_related("deployment__wanted")}


def test_a_branch_gets_a_deployment_without_secrets_and_loses_it_with_the_branch(
    upstream: Repository, rule: BranchRule, olga: User
) -> None:
    upstream.commit(DAG, branch="feature/orders")
    upstream.commit(DAG, branch="other")

    assert look(rule) == ""

    [(branch, made)] = live().items()
    assert branch == "feature/orders"
    assert made.name.startswith("preview-feature-orders-")
    assert made.created_by == olga
    configuration = made.wanted.configuration
    assert [one.key for one in configuration.variables] == ["REGION"]
    assert {queue.max_workers for queue in configuration.queues} == {1}
    source = GitSource.objects.get(deployment=made)
    assert (source.branch, source.path, source.set_by) == ("feature/orders", "dags", olga)
    assert look(rule) == ""
    assert live() == {branch: made}

    upstream.drop("feature/orders")
    assert look(rule) == ""

    assert live() == {}
    made.refresh_from_db()
    assert made.phase == Phase.DELETING
    event = AuditEvent.objects.get(action="deployment.delete_requested")
    assert event.actor_id is None


def test_it_ends_after_its_days_and_begins_again_with_another_commit(
    upstream: Repository, rule: BranchRule
) -> None:
    upstream.commit(DAG, branch="feature/a")
    look(rule)

    assert look(rule, days=8) == ""
    assert live() == {}
    assert look(rule, days=8) == ""
    assert live() == {}

    upstream.commit({**DAG, "dags/more.py": b"x = 1\n"}, branch="feature/a")
    assert look(rule, days=8) == ""
    assert list(live()) == ["feature/a"]


def test_there_are_no_more_than_the_rule_says(upstream: Repository, rule: BranchRule) -> None:
    for name in ("a", "b", "c"):
        upstream.commit(DAG, branch=f"feature/{name}")

    error = look(rule)

    assert sorted(live()) == ["feature/a", "feature/b"]
    assert error.startswith("Branches that match and wait: 1.")
    upstream.drop("feature/a")
    assert look(rule) == ""
    assert sorted(live()) == ["feature/b", "feature/c"]


def test_a_branch_that_a_deployment_follows_and_a_pull_request_get_none(
    upstream: Repository,
    rule: BranchRule,
    alice: User,
    deployment: Deployment,
    repository: GitRepository,
) -> None:
    commit = upstream.commit(DAG, branch="feature/main")
    upstream._git("update-ref", "refs/pull/1/head", commit)
    upstream._git("update-ref", "refs/merge-requests/1/head", commit)
    set_source(
        actor=alice, deployment=deployment, repository=repository, branch="feature/main", path=""
    )
    BranchRule.objects.update(pattern="*")
    GitSource.objects.create(
        deployment=Deployment.objects.create(
            workspace=deployment.workspace, cluster=deployment.cluster, ref="m-1", name="m"
        ),
        repository=repository,
        branch="main",
    )

    assert look(rule) == ""

    assert live() == {}


def test_whoever_lost_the_right_makes_none_and_those_that_are_there_still_end(
    upstream: Repository, rule: BranchRule, olga: User, workspace: Workspace
) -> None:
    upstream.commit(DAG, branch="feature/a")
    look(rule)
    grant_model(Workspace).objects.filter(user=olga).delete()
    upstream.commit(DAG, branch="feature/b")
    upstream.drop("feature/a")

    error = look(rule)

    assert "Olga, who set up previews of branches, may no longer do so." in error
    assert live() == {}


def test_only_who_may_create_deployments_sets_a_rule_and_only_like_one_of_the_workspace(
    olga: User, bob: User, repository: GitRepository, deployment: Deployment
) -> None:
    with pytest.raises(Refused):
        set_rule(bob, repository, deployment)
    for pattern in ("", "-x", "a b", "a..b", "a[b]", "x" * 201):
        with pytest.raises(Invalid):
            set_rule(olga, repository, deployment, pattern=pattern)
    other = Workspace.objects.create(
        organization=repository.workspace.organization, name="B", slug="b"
    )
    Deployment.objects.filter(pk=deployment.pk).update(workspace=other)
    deployment.refresh_from_db()
    with pytest.raises(Invalid, match="of this workspace"):
        set_rule(olga, repository, deployment)


def test_a_server_that_is_away_deletes_nothing(
    upstream: Repository, rule: BranchRule, settings: Any
) -> None:
    upstream.commit(DAG, branch="feature/a")
    look(rule)
    settings.GIT_CA = ""

    assert look(rule)

    assert list(live()) == ["feature/a"]


def test_the_page_sets_shows_and_stops_it(
    upstream: Repository,
    repository: GitRepository,
    deployment: Deployment,
    alice: User,
    bob: User,
    client_of: Callable[[User], Client],
) -> None:
    client, url = client_of(alice), f"/w/warehouse/git/{repository.pk}/branches/"
    data = {"pattern": "feature/*", "template": deployment.pk, "most": 1, "days": 3}
    assert client_of(bob).get(url).status_code == 403
    assert client.post(url, {**data, "pattern": "-x"}).status_code == 422

    client.post(url, data)
    rule = BranchRule.objects.get()
    upstream.commit(DAG, branch="feature/a")
    look(rule)

    page = client.get(url).content.decode()
    check_page(page)
    assert "preview-feature-a-" in page
    assert "Deleted: 1." in client.post(f"{url}remove/", follow=True).content.decode()
    assert not BranchRule.objects.exists()
    assert Deployment.objects.filter(phase=Phase.DELETING).count() == 1
