import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from celery import current_app
from django.utils import timezone
from redis.exceptions import OutOfMemoryError

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.clusters.models import Cluster
from apps.core.errors import Conflict, Invalid, Refused
from apps.dataplane.errors import Permanent
from apps.dataplane.fake.plane import FakePlane
from apps.deployments import tasks
from apps.deployments.configuration.schema import Variable
from apps.deployments.editing.services import (
    StaleBase,
    create_deployment,
    delete_deployment,
    deploy_code,
    new_ref,
    restore_revision,
    retry,
    update_config,
)
from apps.deployments.models import (
    Deployment,
    Operation,
    OperationState,
    OperationStep,
    Phase,
    RevisionState,
)
from apps.organizations.models import Organization, Workspace
from tests.deployments.conftest import CONFIGURATION, QUEUE, drive

pytestmark = pytest.mark.django_db

WIDER = replace(CONFIGURATION, queues=(replace(QUEUE, max_workers=5),))


def test_it_creates_a_deployment_with_a_first_revision_an_operation_and_an_audit_event(
    create: Callable[..., Operation], alice: User
) -> None:
    operation = create("ETL prod (Norway)")

    deployment = operation.deployment
    assert deployment.name == "ETL prod (Norway)"
    assert deployment.ref.startswith("etl-prod-norway-")
    assert deployment.wanted is not None
    assert (deployment.wanted.number, deployment.wanted.state) == (1, RevisionState.PENDING)
    assert (operation.kind, operation.number) == (Operation.Kind.CREATE, 1)
    event = AuditEvent.objects.get(action="deployment.created")
    assert (event.actor, event.target_label) == (alice, "ETL prod (Norway)")
    assert event.organization_id == deployment.workspace.organization_id


def test_it_tells_at_the_name_that_it_is_taken_whatever_its_case(
    create: Callable[..., Operation],
) -> None:
    create("etl-prod")

    with pytest.raises(Invalid, match="already has a Deployment called ETL-Prod") as caught:
        create("ETL-Prod")

    assert caught.value.field == "name"
    assert Deployment.objects.count() == 1


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "a\x00b", "a\nb"])
def test_it_refuses_a_name_that_is_none(create: Callable[..., Operation], name: str) -> None:
    with pytest.raises(Invalid) as caught:
        create(name)

    assert caught.value.field == "name"


def test_it_refuses_a_cluster_of_another_organization(
    alice: User, workspace: Workspace, db: None
) -> None:
    other = Organization.objects.create(name="Other", slug="other-org")
    cluster = Cluster.objects.create(organization=other, kind="local", name="Theirs")

    with pytest.raises(Invalid, match="cannot use the cluster Theirs"):
        create_deployment(
            actor=alice,
            workspace=workspace,
            cluster=cluster,
            name="x",
            configuration=CONFIGURATION,
        )


@pytest.mark.parametrize(
    "name", ["prod", "42", "—", "Ærø!", "a" * 60, "x_y", "a_ b", "x _ y", "4 _-", "-"]
)
def test_a_ref_fits_every_data_plane(name: str) -> None:
    ref = new_ref(name)

    assert len(ref) <= 40
    assert ref[0].isalpha()
    assert ref.replace("-", "a").isalnum()
    assert "--" not in ref


def test_an_edit_makes_the_next_revision(running: Deployment, alice: User) -> None:
    operation = update_config(
        actor=alice,
        deployment=running,
        configuration=WIDER,
        base_revision_number=1,
        reason="More work in October",
    )

    assert operation.revision is not None
    assert operation.revision.number == 2
    assert operation.revision.summary == "default: max workers 2 to 5"
    assert operation.title == "Apply revision 2"
    event = AuditEvent.objects.get(action="deployment.updated")
    assert event.changes["default, max workers"] == ["2", "5"]
    assert event.changes["reason"] == [None, "More work in October"]


def test_it_refuses_a_stale_base_revision_and_carries_the_current_one(
    running: Deployment, alice: User
) -> None:
    update_config(actor=alice, deployment=running, configuration=WIDER, base_revision_number=1)

    with pytest.raises(StaleBase) as caught:
        update_config(
            actor=alice, deployment=running, configuration=CONFIGURATION, base_revision_number=1
        )

    assert caught.value.current.number == 2


def test_it_refuses_an_edit_that_changes_nothing(running: Deployment, alice: User) -> None:
    with pytest.raises(Invalid, match="Nothing has changed"):
        update_config(
            actor=alice, deployment=running, configuration=CONFIGURATION, base_revision_number=1
        )


def test_a_newer_revision_replaces_one_that_is_under_way(
    running: Deployment, alice: User, plane: type[FakePlane]
) -> None:
    plane.store.apply_passes_needed = 3
    first = update_config(
        actor=alice, deployment=running, configuration=WIDER, base_revision_number=1
    )
    drive(running)

    update_config(
        actor=alice,
        deployment=running,
        configuration=replace(CONFIGURATION, description="Newer"),
        base_revision_number=2,
    )

    first.refresh_from_db()
    assert first.state == OperationState.SUPERSEDED
    assert first.ended_at is not None
    assert first.revision is not None
    first.revision.refresh_from_db()
    assert first.revision.state == RevisionState.SUPERSEDED
    assert running.operations.filter(state=OperationState.RUNNING).count() == 1


def test_code_makes_a_revision_with_the_same_configuration(
    running: Deployment, alice: User
) -> None:
    operation = deploy_code(
        actor=alice, deployment=running, digest="a" * 64, summary="Deploy 1: etl.py"
    )

    assert operation.revision is not None
    assert running.wanted is not None
    assert operation.revision.config == running.wanted.config
    assert operation.revision.code_digest == "a" * 64
    assert (operation.kind, operation.title) == (Operation.Kind.DEPLOY, "Deploy 1: etl.py")


def test_an_edit_keeps_the_code(running: Deployment, alice: User) -> None:
    deploy_code(actor=alice, deployment=running, digest="a" * 64, summary="Deploy 1")

    operation = update_config(
        actor=alice, deployment=running, configuration=WIDER, base_revision_number=2
    )

    assert operation.revision is not None
    assert operation.revision.code_digest == "a" * 64


def test_going_back_makes_a_new_revision_with_old_configuration_and_code(
    running: Deployment, alice: User
) -> None:
    first = running.wanted
    assert first is not None
    deploy_code(actor=alice, deployment=running, digest="a" * 64, summary="Deploy 1")
    update_config(actor=alice, deployment=running, configuration=WIDER, base_revision_number=2)

    operation = restore_revision(actor=alice, deployment=running, revision=first)

    assert operation.revision is not None
    assert operation.revision.number == 4
    assert operation.revision.config == first.config
    assert operation.revision.code_digest == ""
    assert operation.title == "Restore revision 1"


def test_it_does_not_go_back_over_a_migration_of_the_database(
    create: Callable[..., Operation], alice: User
) -> None:
    deployment = create(configuration=replace(CONFIGURATION, runtime="3.2.2-1")).deployment
    first = deployment.wanted
    assert first is not None
    update_config(
        actor=alice, deployment=deployment, configuration=CONFIGURATION, base_revision_number=1
    )
    drive(deployment)

    with pytest.raises(Refused, match=r"cannot be downgraded from 3\.3\.2 to 3\.2\.2"):
        restore_revision(actor=alice, deployment=deployment, revision=first)


def upgraded(create: Callable[..., Operation], alice: User, **step: Any) -> Deployment:
    """An applied Airflow 3.2.2 whose upgrade to 3.3.2 came as far as the step says."""
    deployment = create(configuration=replace(CONFIGURATION, runtime="3.2.2-1")).deployment
    drive(deployment)
    deployment.refresh_from_db()
    upgrade = update_config(
        actor=alice, deployment=deployment, configuration=CONFIGURATION, base_revision_number=1
    )
    OperationStep.objects.create(operation=upgrade, position=0, title="…", **step)
    deployment.refresh_from_db()
    return deployment


def test_an_upgrade_that_has_not_touched_the_database_can_be_undone(
    create: Callable[..., Operation], alice: User
) -> None:
    deployment = upgraded(create, alice, key="migrate", state="waiting")
    assert deployment.applied is not None

    operation = restore_revision(actor=alice, deployment=deployment, revision=deployment.applied)

    assert operation.revision is not None
    assert operation.revision.configuration.runtime == "3.2.2-1"


@pytest.mark.parametrize("key", ["migrate", "migration"])
@pytest.mark.parametrize("state", ["running", "failed", "done"])
def test_an_upgrade_that_began_to_migrate_cannot_be_undone(
    create: Callable[..., Operation], alice: User, key: str, state: str
) -> None:
    began = timezone.now()
    deployment = upgraded(create, alice, key=key, state=state, started_at=began)
    assert deployment.applied is not None

    with pytest.raises(Refused, match=r"cannot be downgraded from 3\.3\.2 to 3\.2\.2"):
        restore_revision(actor=alice, deployment=deployment, revision=deployment.applied)
    with pytest.raises(Invalid, match="cannot be downgraded"):
        update_config(
            actor=alice,
            deployment=deployment,
            configuration=replace(CONFIGURATION, runtime="3.2.2-1"),
            base_revision_number=2,
        )


def test_nothing_is_tried_again_that_has_not_failed(running: Deployment, alice: User) -> None:
    with pytest.raises(Conflict, match="Nothing has failed"):
        retry(actor=alice, deployment=running)


def test_a_failed_revision_can_be_tried_again(
    created: Deployment, alice: User, plane: type[FakePlane]
) -> None:
    plane.store.fail("apply", Permanent("The disk is full."))
    drive(created)

    operation = retry(actor=alice, deployment=created)
    again = retry(actor=alice, deployment=created)

    assert operation == again
    assert operation.title == "Retry revision 1"
    row = drive(created)
    assert row.wanted is not None
    assert row.wanted.state == RevisionState.APPLIED
    operation.refresh_from_db()
    assert operation.state == OperationState.SUCCEEDED


def test_it_deletes_only_who_typed_the_name(running: Deployment, alice: User) -> None:
    with pytest.raises(Invalid, match="Type etl-prod to delete it") as caught:
        delete_deployment(actor=alice, deployment=running, typed_name="etl")

    assert caught.value.field == "typed_name"
    running.refresh_from_db()
    assert running.phase == Phase.ACTIVE


def test_nothing_can_be_changed_while_it_is_deleted(running: Deployment, alice: User) -> None:
    first = delete_deployment(actor=alice, deployment=running, typed_name="etl-prod")

    again = delete_deployment(actor=alice, deployment=running, typed_name="etl-prod")

    assert again == first
    with pytest.raises(Conflict, match="being deleted"):
        update_config(actor=alice, deployment=running, configuration=WIDER, base_revision_number=1)
    with pytest.raises(Conflict, match="being deleted"):
        deploy_code(actor=alice, deployment=running, digest="a" * 64, summary="x")


def test_the_name_of_a_deleted_deployment_is_free(
    running: Deployment, alice: User, create: Callable[..., Operation]
) -> None:
    delete_deployment(actor=alice, deployment=running, typed_name="etl-prod")
    with pytest.raises(Invalid):
        create("etl-prod")
    drive(running)

    assert create("etl-prod").deployment.pk != running.pk
    with pytest.raises(Conflict, match="is deleted"):
        retry(actor=alice, deployment=running)


def test_a_configuration_with_a_broken_rule_is_refused_at_its_field(
    running: Deployment, alice: User
) -> None:
    broken = replace(CONFIGURATION, variables=(Variable(key="PATH", value="/tmp"),))  # noqa: S108

    with pytest.raises(Invalid) as caught:
        update_config(actor=alice, deployment=running, configuration=broken, base_revision_number=1)

    assert caught.value.field == "variables.0.key"


def test_a_worker_is_woken_when_the_edit_is_committed(
    running: Deployment, alice: User, django_capture_on_commit_callbacks: Callable[..., object]
) -> None:
    with django_capture_on_commit_callbacks() as callbacks:  # type: ignore[attr-defined]
        update_config(actor=alice, deployment=running, configuration=WIDER, base_revision_number=1)

    assert len(callbacks) == 1


def test_a_broker_that_does_not_answer_delays_an_edit_by_less_than_two_seconds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        monkeypatch.setattr(current_app.conf, "broker_write_url", url)
        began = time.monotonic()

        tasks.hint(1)

        assert time.monotonic() - began < 2
    assert "hints not sent" in caplog.text


def test_a_broker_whose_memory_is_full_delays_an_edit_until_the_next_sweep(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(**_: Any) -> None:
        raise OutOfMemoryError("OOM command not allowed when used memory > 'maxmemory'.")

    monkeypatch.setattr(tasks.reconcile, "apply_async", refuse)

    tasks.hint(1)

    assert "hints not sent" in caplog.text
