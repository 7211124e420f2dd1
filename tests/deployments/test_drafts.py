import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection

from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.core.errors import Conflict, Invalid, Refused
from apps.deployments.configuration.schema import Configuration, Variable
from apps.deployments.editing.drafts import (
    confirm_draft,
    discard_draft,
    move_draft,
    save_draft,
    store_secret,
    update_draft,
)
from apps.deployments.editing.services import StaleBase, deploy_code, update_config
from apps.deployments.models import Deployment, Draft, Operation, SecretValue
from apps.organizations.models import Workspace
from tests.deployments.conftest import CONFIGURATION

pytestmark = pytest.mark.django_db

DESCRIBED = replace(CONFIGURATION, description="Nightly loads")


@pytest.fixture
def draft(alice: User, workspace: Workspace, cluster: Cluster, plane: Any) -> Draft:
    return save_draft(
        actor=alice,
        workspace=workspace,
        cluster=cluster,
        configuration=CONFIGURATION,
        name=" etl-prod ",
    )


@pytest.fixture
def edit(alice: User, running: Deployment) -> Callable[..., Draft]:
    def make(configuration: Configuration = DESCRIBED, **fields: Any) -> Draft:
        return save_draft(
            actor=alice,
            workspace=running.workspace,
            cluster=running.cluster,
            configuration=configuration,
            deployment=running,
            base=running.wanted,
            **fields,
        )

    return make


def holding(secret: SecretValue) -> Configuration:
    variable = Variable(key="TOKEN", secret_id=str(secret.pk))
    return replace(CONFIGURATION, variables=(variable,))


def test_confirming_a_draft_creates_the_deployment_once(draft: Draft, alice: User) -> None:
    first = confirm_draft(actor=alice, draft=draft, reason="New warehouse")
    second = confirm_draft(actor=alice, draft=draft)

    assert first == second
    assert Deployment.objects.get().name == "etl-prod"
    assert first.revision is not None
    assert first.revision.reason == "New warehouse"


def test_a_refused_confirm_leaves_the_draft_as_it_is(
    draft: Draft, alice: User, create: Callable[..., Operation]
) -> None:
    create("etl-prod")

    with pytest.raises(Invalid, match="already has a Deployment"):
        confirm_draft(actor=alice, draft=draft)

    draft.refresh_from_db()
    assert draft.operation is None
    update_draft(actor=alice, draft=draft, configuration=CONFIGURATION, name="etl-prod-2")
    assert confirm_draft(actor=alice, draft=draft).deployment.name == "etl-prod-2"


def test_confirming_an_edit_makes_a_revision(edit: Callable[..., Draft], alice: User) -> None:
    operation = confirm_draft(actor=alice, draft=edit())

    assert operation.kind == Operation.Kind.UPDATE
    assert operation.revision is not None
    assert operation.revision.number == 2
    assert operation.deployment.description == "Nightly loads"


def test_a_stale_draft_is_kept_and_can_be_moved_onto_the_newer_revision(
    edit: Callable[..., Draft], alice: User, running: Deployment
) -> None:
    draft = edit()
    other = replace(CONFIGURATION, description="Somebody else")
    update_config(actor=alice, deployment=running, configuration=other, base_revision_number=1)

    with pytest.raises(StaleBase) as caught:
        confirm_draft(actor=alice, draft=draft)
    update_draft(actor=alice, draft=draft, configuration=DESCRIBED, base=caught.value.current)

    operation = confirm_draft(actor=alice, draft=draft)
    assert operation.revision is not None
    assert operation.revision.number == 3


def test_a_draft_that_goes_back_brings_the_old_code_too(
    edit: Callable[..., Draft], alice: User, running: Deployment
) -> None:
    first = running.wanted
    deploy_code(actor=alice, deployment=running, digest="a" * 64, summary="Deploy 1")
    running.refresh_from_db()

    operation = confirm_draft(actor=alice, draft=edit(CONFIGURATION, restores=first))

    assert operation.kind == Operation.Kind.ROLL_BACK
    assert operation.revision is not None
    assert operation.revision.code_digest == ""


def test_a_confirmed_draft_is_not_edited(draft: Draft, alice: User) -> None:
    confirm_draft(actor=alice, draft=draft)

    with pytest.raises(Conflict, match="already applied"):
        update_draft(actor=alice, draft=draft, configuration=DESCRIBED)


def test_a_draft_belongs_to_who_typed_it(draft: Draft, bob: User) -> None:
    with pytest.raises(Refused):
        confirm_draft(actor=bob, draft=draft)
    with pytest.raises(Refused):
        discard_draft(actor=bob, draft=draft)


def test_discarding_a_draft_forgets_its_secrets(
    draft: Draft, alice: User, workspace: Workspace
) -> None:
    secret = store_secret(workspace=workspace, value="hunter2", actor=alice)
    update_draft(actor=alice, draft=draft, configuration=holding(secret))

    discard_draft(actor=alice, draft=draft)

    assert not Draft.objects.exists()
    assert not SecretValue.objects.exists()


def test_moving_a_draft_keeps_the_revision_it_goes_back_to(
    edit: Callable[..., Draft], alice: User, running: Deployment
) -> None:
    first = running.wanted
    draft = edit(CONFIGURATION, restores=first)
    second = deploy_code(actor=alice, deployment=running, digest="a" * 64, summary="x").revision
    assert second is not None

    moved = move_draft(actor=alice, draft=draft, base=second)
    operation = confirm_draft(actor=alice, draft=moved)

    assert moved.restores == first
    assert operation.kind == Operation.Kind.ROLL_BACK
    with pytest.raises(Conflict, match="already applied"):
        move_draft(actor=alice, draft=draft, base=second)


def test_only_its_author_moves_a_draft(
    edit: Callable[..., Draft], bob: User, running: Deployment
) -> None:
    assert running.wanted is not None

    with pytest.raises(Refused, match="Only its author"):
        move_draft(actor=bob, draft=edit(), base=running.wanted)


def test_a_secret_that_is_typed_again_replaces_the_first(
    draft: Draft, alice: User, workspace: Workspace
) -> None:
    first = store_secret(workspace=workspace, value="hunter2", actor=alice)
    second = store_secret(workspace=workspace, value="hunter3", actor=alice)
    update_draft(actor=alice, draft=draft, configuration=holding(first))

    update_draft(actor=alice, draft=draft, configuration=holding(second))

    assert list(SecretValue.objects.all()) == [second]


def test_confirming_binds_the_secret_to_its_deployment(
    draft: Draft, alice: User, workspace: Workspace
) -> None:
    secret = store_secret(workspace=workspace, value="hunter2", actor=alice)
    update_draft(actor=alice, draft=draft, configuration=holding(secret))

    operation = confirm_draft(actor=alice, draft=draft)

    secret.refresh_from_db()
    assert secret.deployment == operation.deployment


@pytest.mark.parametrize("secret_id", ["x", "0d7d3d0a-5b5f-4a5e-9d0b-6c1f8f1c1f11"])
def test_a_secret_that_does_not_exist_is_refused(
    edit: Callable[..., Draft], alice: User, secret_id: str
) -> None:
    variable = Variable(key="TOKEN", secret_id=secret_id)

    with pytest.raises(Invalid, match="value of TOKEN is missing") as caught:
        confirm_draft(actor=alice, draft=edit(replace(CONFIGURATION, variables=(variable,))))

    assert caught.value.field == "variables.0.value"


def test_the_id_of_somebody_elses_secret_opens_nothing(
    edit: Callable[..., Draft],
    alice: User,
    bob: User,
    workspace: Workspace,
    create: Callable[..., Operation],
) -> None:
    bobs = store_secret(workspace=workspace, value="hunter2", actor=bob)
    elsewhere = store_secret(workspace=workspace, value="hunter2", actor=alice)
    create("other", holding(elsewhere))

    for secret in (bobs, elsewhere):
        with pytest.raises(Invalid, match="is missing"):
            confirm_draft(actor=alice, draft=edit(holding(secret)))


@pytest.mark.django_db(transaction=True)
def test_of_two_clicks_at_once_one_creates_and_both_arrive(draft: Draft, alice: User) -> None:
    barrier = threading.Barrier(2)
    operations: list[int] = []

    def click() -> None:
        barrier.wait()
        operations.append(confirm_draft(actor=alice, draft=draft).pk)
        connection.close()

    threads = [threading.Thread(target=click) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(operations) == 2
    assert len(set(operations)) == 1
    assert Deployment.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_edits_at_once_one_is_told_that_it_was_late(
    edit: Callable[..., Draft], alice: User
) -> None:
    drafts = [edit(replace(CONFIGURATION, description=word)) for word in ("one", "two")]
    outcomes: list[str] = []

    def save(draft: Draft) -> None:
        try:
            confirm_draft(actor=alice, draft=draft)
            outcomes.append("saved")
        except StaleBase as error:
            outcomes.append(f"after revision {error.current.number}")
        connection.close()

    threads = [threading.Thread(target=save, args=(draft,)) for draft in drafts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["after revision 2", "saved"]
