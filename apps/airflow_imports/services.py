"""Taking an Airflow in, making a Deployment of it, letting its DAGs run: one audit event each."""

import os
import shutil
import uuid
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from django.db import transaction
from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.airflow_imports import jobs
from apps.airflow_imports.models import UNFINISHED, AirflowImport, ImportState
from apps.airflow_imports.queries import NO_BUCKET, is_needed, runtimes_for, this_machine
from apps.airflow_imports.source.options import names_in
from apps.airflow_imports.source.sealing import ImportSecrets, open_secrets, seal_secrets
from apps.clusters.models import Cluster
from apps.core.certificates import certificates_alone
from apps.core.encryption.crypto import SecretUnreadable
from apps.core.errors import Conflict, Invalid, Refused
from apps.dataplane.spec import ExecutorName
from apps.deployments.configuration.options import DeploymentOptions, deployment_options
from apps.deployments.editing.code_rights import ensure_may_bring_airflow
from apps.deployments.editing.services import Origin, create_deployment
from apps.deployments.models import Operation, Phase
from apps.object_stores.client import delete
from apps.object_stores.models import ObjectStore
from apps.object_stores.queries import opened, store_for
from apps.organizations.models import Workspace

MOST_IMPORTS, MOST_UNFINISHED = 20, 3
KEPT = timedelta(days=7)
COPY_BYTES = 1024**2
ENCRYPTIONS = ("verified", "unverified", "none")
NO_MACHINE = "Choose a cluster: this workspace cannot use the portal's own machine."


@dataclass(frozen=True, kw_only=True)
class ImportData:
    """Where it comes from: `dump` is the path of an upload, which is moved, else `host` is asked.
    `fernet_key` may be several with commas between, `options` an airflow.cfg or variables.
    """

    name: str
    dump: Path | None = None
    host: str = ""
    port: int = 5432
    database: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    encryption: str = "verified"
    ca_certificate: str = ""
    fernet_key: str = field(default="", repr=False)
    options: str = field(default="", repr=False)


def begin_import(*, actor: User, workspace: Workspace, data: ImportData) -> AirflowImport:
    """Take a file, or the address of a running database, which a job reads. Raises Invalid or
    Refused.
    """
    ensure_may_bring_airflow(actor=actor, workspace=workspace)
    keys = _checked_keys(data.fernet_key)
    _check_server(data)
    row = AirflowImport(
        workspace=workspace,
        name=data.name,
        host="" if data.dump else data.host,
        port=data.port,
        database=data.database,
        user=data.user,
        encryption=data.encryption,
        ca_certificate=certificates_alone(data.ca_certificate, field="ca_certificate"),
        options=names_in(data.options),
        created_by=actor,
    )
    row.sealed = seal_secrets(row, ImportSecrets(password=data.password, fernet_keys=keys))
    if data.dump is not None:
        _keep(data.dump, row.upload)
    try:
        with transaction.atomic():
            _save(actor, workspace, row)
    except BaseException:
        row.upload.unlink(missing_ok=True)
        raise
    return row


def _save(actor: User, workspace: Workspace, row: AirflowImport) -> None:
    Workspace.objects.select_for_update(no_key=True).get(pk=workspace.pk)
    rows = AirflowImport.objects.filter(workspace=workspace)
    if rows.filter(state__in=UNFINISHED).count() >= MOST_UNFINISHED:
        raise Refused(f"{MOST_UNFINISHED} Airflows are being read. Wait until one is ready.")
    if rows.count() >= MOST_IMPORTS:
        raise Refused(f"There are {MOST_IMPORTS} imports here already. Remove some first.")
    row.save(force_insert=True)
    _record("requested", actor, row, {"from": [None, row.host or "an uploaded file"]})
    transaction.on_commit(partial(jobs.request_read, str(row.pk)), robust=True)


@transaction.atomic
def create_from_import(
    *,
    actor: User,
    row: AirflowImport,
    name: str,
    runtime: str,
    executor: ExecutorName = "celery",
    cluster: Cluster | None = None,
) -> Operation:
    """Create a Deployment from what was read, on the portal's own machine unless a cluster is
    named, which gets it from the bucket for backups. All its DAGs are paused. Raises Invalid,
    Refused or Conflict.
    """
    row = AirflowImport.objects.select_for_update(of=("self",)).get(pk=row.pk)
    ensure_may_bring_airflow(actor=actor, workspace=row.workspace)
    if row.state != ImportState.READY:
        raise Conflict("This Airflow is not ready, or a Deployment was created from it already.")
    if not row.archive.is_file():
        raise Refused("What was read is gone. Bring the Airflow again.")
    if runtime not in {one.version for one in runtimes_for(row.airflow_version)}:
        raise Invalid(
            f"Choose a runtime with Airflow {row.airflow_version} or newer.", field="runtime"
        )
    cluster = cluster or this_machine(row.workspace)
    if cluster is None:
        raise Invalid(NO_MACHINE, field="cluster")
    row.store = _store_for(row.workspace, cluster)
    try:
        [fernet_key] = open_secrets(row).fernet_keys
    except (SecretUnreadable, ValueError):
        raise Refused("Its Fernet key cannot be decrypted. Bring the Airflow again.") from None
    options = deployment_options(cluster=cluster, today=timezone.now().date())
    _check_executor(executor, options, cluster)
    configuration = replace(options.new_configuration(), runtime=runtime, executor=executor)
    if executor != "celery":
        configuration = replace(configuration, queues=())
    operation = create_deployment(
        actor=actor,
        workspace=row.workspace,
        cluster=cluster,
        name=name,
        configuration=configuration,
        reason=f"From {row.name}, Airflow {row.report.get('versions', '')}"[:200],
        origin=Origin(restore=_wish(row), fernet_key=fernet_key),
    )
    row.state, row.deployment, row.sealed = ImportState.USED, operation.deployment, None
    row.expires_at, row.attempts = timezone.now() + KEPT, 0
    row.save(update_fields=["state", "deployment", "sealed", "expires_at", "attempts", "store"])
    _record("used", actor, row, {"Deployment": [None, name], "cluster": [None, str(cluster)]})
    if row.store is not None:
        transaction.on_commit(partial(jobs.request_send, str(row.pk)), robust=True)
    return operation


def _store_for(workspace: Workspace, cluster: Cluster) -> ObjectStore | None:
    """Return the bucket from which a cluster gets an archive; None where the data plane reads it
    itself. Raises Refused.
    """
    if not cluster.is_kubernetes:
        return None
    store = store_for(workspace.organization_id, ObjectStore.Use.BACKUPS)
    if store is None:
        raise Refused(NO_BUCKET)
    return store


def _check_executor(executor: str, options: DeploymentOptions, cluster: Cluster) -> None:
    labels = {one.name: one.label for one in options.executors}
    if executor not in labels:
        offered = " or ".join(labels.values())
        raise Invalid(f"{cluster} does not have this executor. Choose {offered}.", field="executor")


@transaction.atomic
def request_unpause(*, actor: User, row: AirflowImport) -> None:
    """Let the DAGs run that ran before. Safe to repeat. Raises Conflict."""
    row = AirflowImport.objects.select_for_update(of=("self",)).get(pk=row.pk)
    deployment = row.deployment
    if deployment is None or deployment.phase != Phase.ACTIVE or deployment.applied_id is None:
        raise Conflict("Wait until the Deployment runs.")
    row.unpause, row.unpaused_by = {"asked": timezone.now().isoformat()}, actor
    row.save(update_fields=["unpause", "unpaused_by"])
    _record("unpaused", actor, row, {"DAGs": [None, len(row.ran_before)]})
    transaction.on_commit(partial(jobs.request_unpause, str(row.pk)), robust=True)


@transaction.atomic
def remove_import(*, actor: User | None, row: AirflowImport) -> None:
    """Remove what was read; a Deployment that was created from it stays. Raises Conflict, and
    BucketFailed when it cannot be deleted from its bucket.
    """
    row = AirflowImport.objects.select_for_update(of=("self",)).get(pk=row.pk)
    if row.lease_until is not None and row.lease_until > timezone.now():
        raise Conflict("A job works on this Airflow. Wait until that is done.")
    if is_needed(row):
        raise Conflict("A Deployment is being created from it. Wait until that is done.")
    if row.store is not None:
        delete(opened(row.store), row.object_key)
    _record("removed", actor, row, {"import": [row.name, None]})
    paths = (row.archive, row.upload)
    row.delete()
    for path in paths:
        transaction.on_commit(partial(path.unlink, missing_ok=True), robust=True)


def _checked_keys(text: str) -> tuple[str, ...]:
    keys = tuple(one.strip() for one in text.split(",") if one.strip())
    try:
        for key in keys:
            Fernet(key)
    except ValueError:
        raise Invalid(
            "This is no Fernet key: one has 44 characters and ends with =. Copy it again.",
            field="fernet_key",
        ) from None
    return keys


def _check_server(data: ImportData) -> None:
    if data.dump is not None:
        return
    for name, words in (
        (
            "host",
            "Upload a dump or an airflow.db, or enter the host name of the PostgreSQL server.",
        ),
        ("database", "Enter the name of the database."),
        ("user", "Enter the user."),
    ):
        value: str = getattr(data, name)
        if not value or not value.isprintable() or any(map(str.isspace, value)):
            raise Invalid(words, field=name)
    if any(one in data.host for one in "/@,:?#") and not _is_ipv6(data.host):
        raise Invalid("Enter the host name alone, such as db.example.org.", field="host")
    if data.encryption not in ENCRYPTIONS:
        raise Invalid("Choose how the connection is encrypted.", field="encryption")


def _is_ipv6(host: str) -> bool:
    return ":" in host and set(host.lower()) <= set("0123456789abcdef:.")


def _keep(dump: Path, path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made so: shared file systems of clouds refuse to change a mode.
        with dump.open("rb") as source, open(path, "xb", opener=_private) as kept:
            shutil.copyfileobj(source, kept, COPY_BYTES)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise Refused(f"The file could not be kept: {error.strerror}. Free some space.") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _wish(row: AirflowImport) -> dict[str, Any]:
    return {
        "key": str(uuid.uuid4()),
        "backup": row.archive_key,
        "sha256": row.sha256,
        "airflow_version": row.airflow_version,
        "pauses_dags": True,
        "made_at": f"{row.ended_at:%Y-%m-%d %H:%M} UTC",
    }


def _record(what: str, actor: User | None, row: AirflowImport, changes: dict[str, Any]) -> None:
    changes = {"import": [row.name, row.name], **changes}
    record_on(action=f"import.{what}", actor=actor, on=row.workspace, changes=changes)
