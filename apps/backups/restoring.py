"""Restoring a backup: a new revision with the configuration and the code of its time, and the
backup in place of the metadata database. The data plane does it once; until that has ended well,
what is there stays.
"""

import uuid
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.backups import jobs
from apps.backups.keys import open_fernet_key
from apps.backups.models import Backup, BackupState
from apps.backups.queries import runtimes_to_restore
from apps.core.encryption.crypto import SecretUnreadable
from apps.core.errors import Conflict, Invalid, Refused
from apps.deployments.configuration.options import deployment_options
from apps.deployments.configuration.schema import Configuration, Variable
from apps.deployments.configuration.validation import Present, validate
from apps.deployments.editing.code_rights import ensure_may_bring_airflow, ensure_may_restore
from apps.deployments.editing.revisions import add_revision
from apps.deployments.editing.services import Origin, create_deployment
from apps.deployments.models import Deployment, Operation, Revision, SecretValue
from apps.deployments.operations import lock_deployment
from apps.deployments.reconciling.compiler import code_name, lock_name
from apps.deployments.secrets.copies import with_copied_secrets
from apps.object_stores.client import BucketFailed, ObjectMissing, size_of
from apps.object_stores.models import ObjectStore
from apps.object_stores.queries import opened

GONE = "The file of this backup is gone, so it cannot be restored."
CUT_OFF = "The file of this backup is cut off, so it cannot be restored."


@transaction.atomic
def restore_backup(*, actor: User, backup: Backup, typed_name: str) -> Operation:
    """Restore a backup in its own Deployment. Whatever was written since then is lost.

    Raises Invalid, with field "typed_name", unless the name is typed exactly; Refused or Conflict.
    """
    deployment = lock_deployment(backup.deployment)
    if typed_name.strip() != deployment.name:
        raise Invalid(f"Type {deployment.name} to restore the backup.", field="typed_name")
    revision = checked_revision(backup)
    configuration = revision.configuration
    ensure_may_restore(actor=actor, deployment=deployment, revision=revision)
    _check(configuration, backup, deployment)
    _fetch(backup)
    return add_revision(
        actor,
        deployment,
        Operation.Kind.RESTORE,
        summary=f"Restore the backup of {_moment(backup)}",
        configuration=configuration,
        code_digest=revision.code_digest,
        packages_digest=revision.packages_digest,
        restore=_wish(backup, pauses_dags=False),
    )


@transaction.atomic
def restore_as_new(*, actor: User, backup: Backup, name: str, runtime: str = "") -> Operation:
    """Create a Deployment in the same workspace from a backup, with its own runtime or a newer one,
    to which the database is migrated. Its DAGs are paused, because the other Deployment may run
    them, too. Raises Invalid, with field "runtime" or "name", Refused or Conflict.
    """
    ensure_may_bring_airflow(actor=actor, workspace=backup.deployment.workspace)
    revision, source = checked_revision(backup), backup.deployment
    runtime = _runtime(backup, revision, runtime)
    code_digest, packages_digest = _kept_code(revision)
    if packages_digest and runtime != revision.configuration.runtime:
        # They were chosen for the other runtime, and the code needs them.
        code_digest = packages_digest = ""
    try:
        fernet_key = open_fernet_key(backup)
        configuration = with_copied_secrets(
            actor=actor,
            workspace=source.workspace,
            deployment=source,
            configuration=replace(revision.configuration, image=None, runtime=runtime),
        )
    except SecretUnreadable as error:
        raise Refused(f"A secret of this backup cannot be decrypted. {error}") from error
    _fetch(backup)
    return create_deployment(
        actor=actor,
        workspace=source.workspace,
        cluster=source.cluster,
        name=name,
        configuration=configuration,
        reason=f"From the backup of {source.name}, {_moment(backup)}",
        origin=Origin(
            code_digest=code_digest,
            packages_digest=packages_digest,
            restore=_wish(backup, pauses_dags=True),
            fernet_key=fernet_key,
        ),
    )


def checked_revision(backup: Backup) -> Revision:
    """Return the revision of a backup that can be restored. Raises Conflict or Refused. Its
    checksum is compared by the data plane, which reads the file anyway.
    """
    if backup.state != BackupState.DONE or backup.revision is None:
        raise Conflict("This backup is not complete, so it cannot be restored.")
    if backup.store is not None:
        _check_object(backup, backup.store)
    problem = why_unusable(backup)
    if problem:
        raise Refused(problem)
    return backup.revision


def _check_object(backup: Backup, store: ObjectStore) -> None:
    try:
        size = size_of(opened(store), backup.object_key)
    except ObjectMissing:
        raise Refused(f"This backup is no longer in the bucket {store}.") from None
    except BucketFailed as error:
        raise Refused(error.message) from error
    if size != backup.size_bytes:
        raise Refused(CUT_OFF)


def why_unusable(backup: Backup) -> str:
    """Say what is wrong with the file of a complete backup, empty if its size is right. A bucket is
    asked only when the backup is to be restored.
    """
    if backup.store_id is not None:
        return ""
    try:
        size = Path(backup.path).stat().st_size
    except OSError:
        return GONE
    return "" if size == backup.size_bytes else CUT_OFF


def _check(configuration: Configuration, backup: Backup, deployment: Deployment) -> None:
    options = deployment_options(cluster=deployment.cluster, today=timezone.now().date())
    # What ran with this database may run with it again, although it is no longer offered.
    present = Present(
        runtimes=frozenset({configuration.runtime}), database_airflow=backup.airflow_version
    )
    problems = validate(configuration=configuration, options=options, present=present)
    if problems:
        raise Refused(f"This backup cannot be restored. {problems[0].message}")


def _runtime(backup: Backup, revision: Revision, wanted: str) -> str:
    """Return the runtime of a new Deployment: that of the backup where none is wanted."""
    offered = [one.version for one in runtimes_to_restore(backup)]
    runtime = wanted or revision.configuration.runtime
    if runtime in offered:
        return runtime
    if not offered:
        raise Refused(
            f"No runtime is offered for Airflow {backup.airflow_version} or newer, so this backup "
            "becomes no new Deployment. Restore it in its own one."
        )
    raise Invalid(
        f"Runtime {runtime} is not offered for a new Deployment from this backup. Choose one with "
        f"Airflow {backup.airflow_version} or newer, such as {offered[-1]}.",
        field="runtime",
    )


def _fetch(backup: Backup) -> None:
    if backup.store_id is not None and not backup.deployment.cluster.is_kubernetes:
        transaction.on_commit(partial(jobs.request_fetch, str(backup.pk)), robust=True)


def _wish(backup: Backup, *, pauses_dags: bool) -> dict[str, Any]:
    return {
        "key": str(uuid.uuid4()),
        "backup": str(backup.pk),
        "sha256": backup.sha256,
        # A cluster gets it itself.
        "is_fetched": backup.store_id is not None and not backup.deployment.cluster.is_kubernetes,
        "airflow_version": backup.airflow_version,
        "pauses_dags": pauses_dags,
        "made_at": _moment(backup),
    }


def _kept_code(revision: Revision) -> tuple[str, str]:
    """Return the digests of code and packages of a revision, empty if they were removed with its
    Deployment.
    """
    names = [code_name(revision.code_digest)] if revision.code_digest else []
    names += [lock_name(revision.packages_digest)] if revision.packages_digest else []
    if not all(map(default_storage.exists, names)):
        return "", ""
    return revision.code_digest, revision.packages_digest


def lost_variables(backup: Backup) -> list[Variable]:
    """Return the secret variables of a backup whose values went with their Deployment."""
    if backup.revision is None:
        return []
    secret = [one for one in backup.revision.configuration.variables if one.is_secret]
    ids = [one.secret_id for one in secret]
    rows = SecretValue.objects.filter(pk__in=ids, deployment=backup.deployment_id) if ids else ()
    known = {str(row.pk) for row in rows}
    return [one for one in secret if one.secret_id not in known]


def _moment(backup: Backup) -> str:
    return f"{backup.made_at:%Y-%m-%d %H:%M} UTC"
