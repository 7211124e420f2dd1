"""What git pushes with packages, and CI/CD enforcement where uploads are looked at first."""

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.deployments.models import Deployment
from apps.deploys.deliveries.enforcement import set_for_deployment
from apps.deploys.deliveries.origins import Origin
from apps.deploys.models import Deploy, Preview, PreviewState
from apps.deploys.previews.services import submit
from tests.deploys.test_deploy_pages import zipped
from tests.deploys.test_previews import (
    PROJECT,
    ClientOf,
    Plane,
    _storage,
    checked,
    decide,
    page,
    send,
    world,
)

__all__ = ["_storage", "world"]

ORIGIN = Origin(repository="git.example.org/sales", branch="main", commit="c0ffee" * 6 + "c0ff")


def push(deployment: Deployment, person: User, *, commit: str = ORIGIN.commit) -> Preview:
    origin = Origin(repository=ORIGIN.repository, branch=ORIGIN.branch, commit=commit)
    found = submit(
        actor=None,
        vouched_by=person,
        deployment=deployment,
        file_name="code.zip",
        chunks=[zipped(PROJECT)],
        description="Sell more",
        origin=origin,
    )
    assert isinstance(found, Preview)
    return found


def test_a_push_with_packages_is_checked_and_then_deployed_as_a_push(
    world: Plane, alice: User, deployment: Deployment
) -> None:
    push(deployment, alice)

    assert checked().state == PreviewState.DEPLOYED
    deploy = Deploy.objects.get()
    assert (deploy.source, deploy.created_by) == (Deploy.Source.GIT, None)
    assert (deploy.git_commit, deploy.git_branch) == (ORIGIN.commit, "main")
    assert deploy.packages_digest


def test_a_newer_push_takes_the_place_of_one_that_is_still_checked(
    world: Plane, alice: User, deployment: Deployment
) -> None:
    first = push(deployment, alice, commit="1" * 40)
    push(deployment, alice, commit="2" * 40)

    first.refresh_from_db()
    assert first.state == PreviewState.DISCARDED
    assert checked(1).state == PreviewState.DISCARDED
    assert checked(2).state == PreviewState.DEPLOYED
    assert [one.git_commit for one in Deploy.objects.all()] == ["2" * 40]


def test_a_push_waits_when_who_connected_git_may_no_longer_deploy(
    world: Plane, bob: User, deployment: Deployment
) -> None:
    push(deployment, bob)

    assert checked().state == PreviewState.READY
    assert not Deploy.objects.exists()


def test_the_page_of_a_push_says_which_commit_it_is(
    world: Plane, alice: User, bob: User, deployment: Deployment, client_of: ClientOf
) -> None:
    push(deployment, bob)
    checked()

    shown = page(client_of(alice))

    assert ORIGIN.commit[:7] in shown
    assert f"main of {ORIGIN.repository}" in shown
    assert "Bob" not in shown.partition("What will happen")[2]


def test_enforcement_stops_people_at_every_step_and_lets_pushes_through(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    client: Client = client_of(alice)
    send(client, PROJECT, is_previewed="on")
    checked()
    send(client, PROJECT | {"dags/more.py": PROJECT["dags/sales.py"]})
    set_for_deployment(actor=alice, deployment=deployment, is_on=True)

    refusals = [decide(client, action="deploy"), send(client, PROJECT)]

    for refused in refusals:
        assert refused.status_code == 422
        assert "Only API tokens and git may deploy" in refused.content.decode()
    # It was to be deployed as soon as it is checked.
    assert checked(2).state == PreviewState.READY
    assert not Deploy.objects.exists()
    push(deployment, alice)
    assert checked(3).state == PreviewState.DEPLOYED


@pytest.mark.parametrize("action", ["deploy", "discard"])
def test_a_person_decides_on_a_push_that_was_not_deployed_by_itself(
    world: Plane, alice: User, bob: User, deployment: Deployment, client_of: ClientOf, action: str
) -> None:
    push(deployment, bob)
    checked()
    set_for_deployment(actor=alice, deployment=deployment, is_on=True)

    decide(client_of(alice), action=action)

    # The code is that of the commit, whoever says go.
    commits = [one.git_commit for one in Deploy.objects.all()]
    assert commits == ([ORIGIN.commit] if action == "deploy" else [])
