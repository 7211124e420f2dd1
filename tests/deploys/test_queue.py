"""Deploys to one Deployment begin one after another."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.deployments.editing.services import delete_deployment
from apps.deployments.models import Deployment, Operation, Revision, RevisionState
from apps.deployments.reconciling.compiler import code_name
from apps.deploys.deliveries import queue
from apps.deploys.deliveries.enforcement import set_for_deployment
from apps.deploys.deliveries.origins import Origin
from apps.deploys.deliveries.recording import NothingChanged, must_wait
from apps.deploys.deliveries.services import deliver, roll_back
from apps.deploys.models import Deploy, DeployState
from apps.deploys.tasks import begin_next_deploy
from apps.organizations.models import Workspace
from apps.organizations.tokens.services import create_token, revoke_token
from tests.conftest import role
from tests.core.pages import check_page
from tests.deploys.test_deploy_pages import DAG, send, settle

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _storage(settings: Any, tmp_path: Path) -> None:
    default = settings.STORAGES["default"]
    options = {**default["OPTIONS"], "location": tmp_path / "bundles"}
    settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}


def sent(actor: User | None, deployment: Deployment, number: int, commit: str = "") -> Deploy:
    delivered = deliver(
        actor=actor,
        deployment=deployment,
        file_name="etl.py",
        chunks=[b"x = %d\n" % number],
        origin=Origin(repository="git.test/dags", branch="main", commit=commit),
    )
    return delivered.deploy


def look(deployment: Deployment) -> None:
    begin_next_deploy(deployment.pk)


def states(deployment: Deployment) -> list[str]:
    rows = Deploy.objects.filter(deployment=deployment).order_by("number")
    return list(rows.values_list("state", flat=True))


def test_deploys_begin_in_their_order_each_when_the_one_before_has_ended(
    alice: User, deployment: Deployment
) -> None:
    first, second, third = (sent(alice, deployment, number) for number in range(3))
    look(deployment)
    assert states(deployment) == ["begun", "waiting", "waiting"]
    assert AuditEvent.objects.filter(action="deployment.deploy_queued").count() == 2

    settle(deployment)
    look(deployment)
    look(deployment)
    assert states(deployment) == ["begun", "begun", "waiting"]
    deployment.refresh_from_db()
    assert deployment.wanted.code_digest == second.digest
    assert Operation.objects.filter(kind="deploy").count() == 2

    settle(deployment, RevisionState.FAILED)
    look(deployment)
    deployment.refresh_from_db()
    assert states(deployment) == ["begun"] * 3
    assert deployment.wanted.code_digest == third.digest
    assert queue.due() == []


def test_a_change_of_the_configuration_is_not_waited_for(
    alice: User, deployment: Deployment
) -> None:
    wanted = deployment.wanted
    Revision.objects.filter(pk=wanted.pk).update(state=RevisionState.PENDING)

    assert sent(alice, deployment, 1).state == DeployState.BEGUN


def test_a_deploy_that_does_not_end_is_not_waited_for_longer_than_a_quarter_of_an_hour(
    alice: User, deployment: Deployment
) -> None:
    sent(alice, deployment, 1)
    mending = sent(alice, deployment, 2)

    queue.begin_next(deployment_id=deployment.pk, now=timezone.now() + timedelta(minutes=14))
    assert states(deployment) == ["begun", "waiting"]
    queue.begin_next(deployment_id=deployment.pk, now=timezone.now() + timedelta(minutes=16))

    assert states(deployment) == ["begun", "begun"]
    deployment.refresh_from_db()
    assert deployment.wanted.code_digest == mending.digest


def test_the_same_code_is_not_queued_twice_and_what_ran_before_may_be(
    alice: User, deployment: Deployment
) -> None:
    sent(alice, deployment, 1)
    sent(alice, deployment, 2)

    with pytest.raises(NothingChanged, match="Deploy 2 has exactly this code, and waits already"):
        sent(alice, deployment, 2)

    assert sent(alice, deployment, 1).number == 3


def test_a_push_that_has_not_begun_is_replaced_by_the_next_one_and_says_so(
    alice: User, deployment: Deployment
) -> None:
    sent(alice, deployment, 1)
    older = sent(None, deployment, 2, commit="a" * 40)
    assert not must_wait(deployment, is_push=True, now=timezone.now()) or older.state == "waiting"
    by_hand = sent(alice, deployment, 3)

    newer = sent(None, deployment, 4, commit="b" * 40)

    assert states(deployment) == ["begun", "replaced", "waiting", "waiting"]
    older.refresh_from_db()
    assert older.problem == f"Deploy {newer.number} took its place before it began."
    assert by_hand.number < newer.number


def test_a_rollback_begins_at_once_and_takes_the_place_of_those_that_wait(
    alice: User, deployment: Deployment
) -> None:
    first = sent(alice, deployment, 1)
    settle(deployment)
    sent(alice, deployment, 2)
    sent(alice, deployment, 3)

    back = roll_back(actor=alice, deployment=deployment, deploy=first).deploy

    assert states(deployment) == ["begun", "begun", "replaced", "begun"]
    deployment.refresh_from_db()
    assert deployment.wanted.pk == back.revision_id


def test_what_waited_when_a_revision_was_restored_does_not_undo_that(
    alice: User, deployment: Deployment
) -> None:
    sent(alice, deployment, 1)
    sent(alice, deployment, 2)
    settle(deployment)
    number = deployment.operations.count() + 1
    deployment.operations.create(
        kind="roll-back", number=number, title="Restore", state="succeeded"
    )

    look(deployment)

    waited = Deploy.objects.get(number=2)
    assert waited.state == DeployState.REPLACED
    assert "rolled back or restored before it began" in waited.problem


def test_who_may_no_longer_deploy_when_its_turn_comes_does_not(
    alice: User, deployment: Deployment, workspace: Workspace
) -> None:
    robots = []
    for name in ("a", "b"):
        token, _ = create_token(
            actor=alice, on=workspace, name=name, role=role("workspace", "author"), expires_at=None
        )
        robots.append(token)
    sent(robots[0].user, deployment, 1)
    sent(robots[1].user, deployment, 2)
    sent(alice, deployment, 3)
    sent(robots[0].user, deployment, 4)
    revoke_token(actor=alice, on=workspace, token=robots[1])
    set_for_deployment(actor=alice, deployment=deployment, is_on=True)
    settle(deployment)

    look(deployment)

    assert states(deployment) == ["begun", "refused", "refused", "begun"]
    problems = [one.problem for one in Deploy.objects.order_by("number")[1:3]]
    assert "may no longer deploy" in problems[0]
    assert "Only API tokens and git" in problems[1]


def test_code_that_was_lost_while_it_waited_leaves_the_next_one_its_turn(
    alice: User, deployment: Deployment
) -> None:
    sent(alice, deployment, 1)
    lost = sent(alice, deployment, 2)
    sent(alice, deployment, 3)
    default_storage.delete(code_name(lost.digest))
    settle(deployment)

    look(deployment)

    assert states(deployment) == ["begun", "refused", "begun"]
    lost.refresh_from_db()
    assert "Upload it again" in lost.problem


def test_what_waits_for_a_deployment_that_is_deleted_ends_with_it(
    alice: User, deployment: Deployment
) -> None:
    sent(alice, deployment, 1)
    sent(alice, deployment, 2)
    delete_deployment(actor=alice, deployment=deployment, typed_name=deployment.name)

    look(deployment)

    assert states(deployment) == ["begun", "cancelled"]
    assert queue.due() == []


def test_the_pages_show_what_waits_and_take_it_out(
    alice: User,
    bob: User,
    charlie: User,
    deployment: Deployment,
    client_of: Callable[[User], Client],
) -> None:
    client = client_of(alice)
    send(client, DAG)
    answer = send(client, DAG + b"x = 1\n")
    page_of_it = f"/d/{deployment.ref}/deploys/2/"
    assert answer["Location"] == page_of_it
    page = client.get(page_of_it).content.decode()
    check_page(page)
    assert "It waits for its turn" in page
    assert "Cancel deploy 2" not in client_of(bob).get(page_of_it).content.decode()

    cancel = f"{page_of_it}cancel/"
    assert client_of(bob).post(cancel).status_code == 403
    assert client_of(charlie).post(cancel).status_code == 404
    done = client.post(cancel, follow=True).content.decode()
    again = client.post(cancel, follow=True).content.decode()

    assert "Deploy 2 was cancelled. Nothing has changed." in done
    assert "Deploy 2 is not waiting any more." in again
    assert "Cancelled" in done
    shown = client.get(page_of_it).content.decode()
    check_page(shown)
    assert "It never began" in shown
    assert "Roll back to this deploy" not in shown
