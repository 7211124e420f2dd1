from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.core.encryption.crypto import KeyRing
from apps.dataplane.errors import Permanent
from apps.dataplane.fake.plane import FakePlane
from apps.deployments.configuration.schema import Variable
from apps.deployments.editing.drafts import store_secret
from apps.deployments.editing.services import deploy_code
from apps.deployments.models import (
    Deployment,
    Operation,
    OperationStep,
    Revision,
    RevisionState,
    SecretValue,
)
from apps.deployments.reconciling.compiler import compile_spec
from apps.organizations.models import Workspace
from tests.deployments.conftest import CONFIGURATION, drive

pytestmark = pytest.mark.django_db

CANARY = "canary-5c1b9e-never-shown"


@pytest.fixture
def secretive(create: Callable[..., Operation], alice: User, workspace: Workspace) -> Deployment:
    secret = store_secret(workspace=workspace, value=CANARY, actor=alice)
    variables = (Variable(key="PLAIN", value="x"), Variable(key="TOKEN", secret_id=str(secret.pk)))
    return create("etl-prod", replace(CONFIGURATION, variables=variables)).deployment


def wanted(deployment: Deployment) -> Revision:
    assert deployment.wanted is not None
    return deployment.wanted


def test_it_compiles_everything_a_plane_must_know(secretive: Deployment, settings: Any) -> None:
    spec = compile_spec(deployment=secretive, revision=wanted(secretive))

    assert (spec.ref, spec.revision, spec.executor) == (secretive.ref, 1, "celery")
    assert spec.runtime.airflow_version == "3.3.2"
    assert spec.runtime.lock_path.endswith("airflow-3.3.2.txt")
    assert [queue.name for queue in spec.queues] == ["default"]
    assert [(v.key, v.value, v.is_secret) for v in spec.variables] == [
        ("PLAIN", "x", False),
        ("TOKEN", CANARY, True),
    ]
    assert spec.code is None
    assert spec.sign_in.issuer == settings.PORTAL_URL
    assert spec.sign_in.audience == f"airflow:{secretive.ref}"
    assert load_pem_public_key(spec.sign_in.public_key_pem.encode())


def test_code_is_where_the_storage_keeps_it(secretive: Deployment, alice: User) -> None:
    operation = deploy_code(actor=alice, deployment=secretive, digest="a" * 64, summary="Deploy 1")
    assert operation.revision is not None

    spec = compile_spec(deployment=secretive, revision=operation.revision)

    assert spec.code is not None
    assert spec.code.archive_path.endswith(f"/code/{'a' * 64}.zip")


def test_a_secret_shows_in_no_repr_row_event_or_log(
    secretive: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")

    drive(secretive)

    spec = compile_spec(deployment=secretive, revision=wanted(secretive))
    assert CANARY not in repr(spec)
    assert CANARY not in caplog.text
    for model in (Deployment, Revision, Operation, OperationStep, AuditEvent, SecretValue):
        assert CANARY not in repr(list(model.objects.values()))  # type: ignore[attr-defined]


def test_a_secret_that_cannot_be_opened_fails_the_revision_with_a_sentence(
    secretive: Deployment, settings: Any
) -> None:
    settings.ENCRYPTION_KEYS = KeyRing(current="t9", keys={"t9": b"9" * 32})

    row = drive(secretive)

    assert wanted(row).state == RevisionState.FAILED
    assert "cannot be decrypted" in wanted(row).failure
    assert "t1" in wanted(row).failure


def test_a_runtime_that_left_the_catalogue_fails_the_revision(created: Deployment) -> None:
    Revision.objects.update(config=replace(CONFIGURATION, runtime="2.0.0-1").to_json())

    row = drive(created)

    assert wanted(row).failure == "The runtime 2.0.0-1 is not available here. Choose another one."


def test_a_plane_gets_the_secret_and_the_configuration_its_id(
    secretive: Deployment, plane: type[FakePlane]
) -> None:
    drive(secretive)

    applied = plane.store.airflows[secretive.ref].wanted
    assert applied.variables[1].value == CANARY
    configuration = wanted(secretive).configuration
    assert configuration.variables[1].value == ""


def test_a_worker_needs_the_public_key_alone(created: Deployment, settings: Any) -> None:
    given = compile_spec(deployment=created, revision=wanted(created)).sign_in.public_key_pem
    settings.AIRFLOW_SIGN_IN_PUBLIC_KEY, settings.AIRFLOW_SIGN_IN_KEY = given, ""

    spec = compile_spec(deployment=created, revision=wanted(created))

    assert spec.sign_in.public_key_pem == given
    assert given.startswith("-----BEGIN PUBLIC KEY-----")


def test_without_a_key_for_signing_in_nothing_is_applied(
    created: Deployment, settings: Any
) -> None:
    settings.AIRFLOW_SIGN_IN_KEY = ""

    with pytest.raises(Permanent, match="PORTAL_AIRFLOW_SIGN_IN_KEY"):
        compile_spec(deployment=created, revision=wanted(created))
