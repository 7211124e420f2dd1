"""Every write to a Deployment: one transaction and one audit event each.

A write locks the row, makes an immutable revision where the configuration or the code changes,
begins the operation that people follow, and makes the row due. The message to a worker is a hint.
"""

import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.text import slugify

from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.clusters.queries import clusters_for, deployments_on
from apps.core.errors import Conflict, Invalid, Refused
from apps.deployments.configuration.changes import changes, summary_of
from apps.deployments.configuration.options import deployment_options, limits_workspaces
from apps.deployments.configuration.requested import hold_quota
from apps.deployments.configuration.schema import Configuration
from apps.deployments.configuration.validation import validate, validate_name
from apps.deployments.database_version import present_of
from apps.deployments.editing.code_rights import ensure_may_configure, ensure_may_restore
from apps.deployments.editing.revisions import (
    InvalidConfiguration,
    add_revision,
    make_due,
    supersede,
)
from apps.deployments.models import (
    Deployment,
    Operation,
    OperationState,
    Phase,
    Revision,
    RevisionState,
)
from apps.deployments.operations import begin_operation, lock_deployment, record_change
from apps.deployments.reconciling import lifecycle
from apps.deployments.secrets import sealed
from apps.organizations.models import Workspace
from apps.organizations.tokens.services import revoke_tokens_in

REF_ALPHABET = string.ascii_lowercase + string.digits
NAME_CONSTRAINT = "deployment_name_unique_in_workspace"


class StaleBase(Conflict):
    """A concurrent edit was saved first. `current` is the current revision."""

    def __init__(self, *, current: Revision) -> None:
        super().__init__(
            f"Someone else saved first: revision {current.number} is newer than the one you edited."
        )
        self.current = current


def create_deployment(
    *,
    actor: User,
    workspace: Workspace,
    cluster: Cluster,
    name: str,
    configuration: Configuration,
    reason: str = "",
    origin: "Origin | None" = None,
) -> Operation:
    """Create a Deployment with its first revision. Raises Invalid, with field "name" when taken."""
    name = name.strip()
    problems = validate_name(name)
    if problems:
        raise InvalidConfiguration(problems)
    try:
        with transaction.atomic():
            return _create(actor, workspace, cluster, name, configuration, reason, origin)
    except IntegrityError as error:
        raise name_taken(error, name) from error


def name_taken(error: IntegrityError, name: str) -> Exception:
    """Return what to raise for a row that was not saved: Invalid, with field "name", if the name is
    taken in its workspace, else the error itself.
    """
    if NAME_CONSTRAINT not in str(error):
        return error
    message = f"This workspace already has a Deployment called {name}. Choose another name."
    return Invalid(message, field="name")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a new Deployment begins with, if not with nothing: code with its packages, a backup as
    `Revision.restore` names it, and the Fernet key that is needed to read that.
    """

    code_digest: str = ""
    packages_digest: str = ""
    restore: Mapping[str, Any] | None = None
    fernet_key: str = field(default="", repr=False)


@transaction.atomic
def update_config(
    *,
    actor: User,
    deployment: Deployment,
    configuration: Configuration,
    base_revision_number: int,
    reason: str = "",
) -> Operation:
    """Make a revision on top of the one that was edited. Raises StaleBase, Invalid or Conflict, and
    Refused for what takes the right to deploy code.
    """
    deployment = lock_deployment(deployment)
    current = _wanted(deployment)
    if current.number != base_revision_number:
        raise StaleBase(current=current)
    before = current.configuration
    _check(configuration, deployment.cluster, deployment.workspace, deployment, is_applied=True)
    ensure_may_configure(actor=actor, deployment=deployment, before=before, after=configuration)
    differences = changes(before, configuration)
    if not differences:
        raise Invalid("Nothing has changed, so there is nothing to apply.")
    return add_revision(
        actor,
        deployment,
        Operation.Kind.UPDATE,
        summary=summary_of(differences),
        configuration=configuration,
        code_digest=current.code_digest,
        packages_digest=current.packages_digest,
        reason=reason,
    )


@transaction.atomic
def deploy_code(
    *,
    actor: User | None,
    deployment: Deployment,
    digest: str,
    summary: str,
    packages_digest: str = "",
    configuration: Configuration | None = None,
    kind: Operation.Kind = Operation.Kind.DEPLOY,
    reason: str = "",
) -> Operation:
    """Make a revision with other code and, unless one is given that the code brings, the same
    configuration: `operation.revision`.

    `packages_digest` is that of the lock of what the code needs beside the runtime, if it does.
    Raises InvalidConfiguration.
    """
    deployment = lock_deployment(deployment)
    if configuration is not None:
        _check(configuration, deployment.cluster, deployment.workspace, deployment)
    return add_revision(
        actor,
        deployment,
        kind,
        summary=summary,
        configuration=configuration or _wanted(deployment).configuration,
        code_digest=digest,
        reason=reason,
        packages_digest=packages_digest,
    )


@transaction.atomic
def restore_revision(
    *,
    actor: User,
    deployment: Deployment,
    revision: Revision,
    base_revision_number: int | None = None,
    reason: str = "",
) -> Operation:
    """Make a new revision with the configuration and the code of an earlier one.

    Raises StaleBase, or Refused when Airflow cannot be downgraded that far.
    """
    deployment = lock_deployment(deployment)
    current = _wanted(deployment)
    if base_revision_number not in (None, current.number):
        raise StaleBase(current=current)
    if revision.deployment_id != deployment.pk:
        raise Invalid("That revision belongs to another Deployment.")
    ensure_may_restore(actor=actor, deployment=deployment, revision=revision)
    configuration = revision.configuration
    try:
        _check(
            configuration,
            deployment.cluster,
            deployment.workspace,
            deployment,
            has_settings=True,
            is_applied=True,
        )
    except InvalidConfiguration as error:
        raise Refused(f"Revision {revision.number} cannot be restored. {error.message}") from error
    return add_revision(
        actor,
        deployment,
        Operation.Kind.ROLL_BACK,
        summary=f"Restore revision {revision.number}",
        configuration=configuration,
        code_digest=revision.code_digest,
        packages_digest=revision.packages_digest,
        reason=reason,
    )


@transaction.atomic
def retry(*, actor: User, deployment: Deployment) -> Operation:
    """Retry what failed, or a Deployment in quarantine. Raises Conflict when nothing has failed.

    A second call returns the operation of the first.
    """
    deployment = lock_deployment(deployment, even_deleting=True)
    running = deployment.operations.filter(state=OperationState.RUNNING).first()
    if running is not None and deployment.quarantined_at is None:
        return running
    revision = deployment.wanted
    is_failed = revision is not None and revision.state == RevisionState.FAILED
    is_deleting = deployment.phase == Phase.DELETING
    if not (is_failed or is_deleting or deployment.quarantined_at):
        raise Conflict("Nothing has failed, so there is nothing to retry.")
    if revision is not None and not is_deleting:
        rows = Revision.objects.filter(pk=revision.pk)
        lifecycle.move(rows, "revision", RevisionState.PENDING, failure="")
    kind = Operation.Kind.DELETE if is_deleting else Operation.Kind.RETRY
    target = None if is_deleting else revision
    title = f"Delete {deployment.name}" if target is None else f"Retry revision {target.number}"
    operation = begin_operation(actor, deployment, kind, title=title, revision=target)
    record_change(actor, deployment, "deployment.retried", {"operation": [None, operation.number]})
    make_due(deployment)
    return operation


@transaction.atomic
def delete_deployment(*, actor: User | None, deployment: Deployment, typed_name: str) -> Operation:
    """Begin to delete; a second call returns the operation of the first. Tokens are revoked at
    once. No actor means that the portal does it by itself.

    Raises Invalid, with field "typed_name", unless the name is typed exactly.
    """
    # First, because assigning a role locks the organization before the Deployment.
    revoke_tokens_in(actor=actor, on=deployment)
    deployment = lock_deployment(deployment, even_deleting=True)
    if typed_name.strip() != deployment.name:
        raise Invalid(f"Type {deployment.name} to delete it.", field="typed_name")
    rows = Deployment.objects.filter(pk=deployment.pk)
    if lifecycle.move(rows, "phase", Phase.DELETING):
        supersede(deployment)
    running = deployment.operations.filter(state=OperationState.RUNNING).first()
    if running is not None:
        return running
    operation = begin_operation(
        actor, deployment, Operation.Kind.DELETE, title=f"Delete {deployment.name}", revision=None
    )
    record_change(actor, deployment, "deployment.delete_requested", {})
    make_due(deployment)
    return operation


def new_ref(name: str) -> str:
    """Make the permanent name on the data plane: readable, unique, beginning with a letter."""
    stem = slugify(name.replace("_", "-"))[:30].strip("-")
    if not stem[:1].isalpha():
        stem = f"airflow-{stem}"[:30].strip("-")
    return f"{stem}-{''.join(secrets.choice(REF_ALPHABET) for _ in range(4))}"


def _create(
    actor: User,
    workspace: Workspace,
    cluster: Cluster,
    name: str,
    configuration: Configuration,
    reason: str,
    origin: Origin | None,
) -> Operation:
    origin = origin or Origin()
    cluster = _usable_cluster(workspace, cluster)
    _check(configuration, cluster, workspace, is_applied=True)
    deployment = Deployment.objects.create(
        workspace=workspace,
        cluster=cluster,
        ref=new_ref(name),
        name=name,
        created_by=actor,
        database_server=cluster.database_server,
        namespace=_free_namespace(cluster),
    )
    ensure_may_configure(actor=actor, deployment=deployment, before=None, after=configuration)
    deployment.airflow_secrets = sealed.new_airflow_secrets(
        deployment_id=deployment.pk, fernet_key=origin.fernet_key
    )
    deployment.save(update_fields=["airflow_secrets"])
    return add_revision(
        actor,
        deployment,
        Operation.Kind.CREATE,
        summary="Created",
        configuration=configuration,
        code_digest=origin.code_digest,
        packages_digest=origin.packages_digest,
        restore=origin.restore,
        reason=reason,
    )


def _free_namespace(cluster: Cluster) -> str:
    """Return a namespace that no Deployment has, of a locked cluster that names them; planes learn
    of it by another version of the connection. Raises Invalid when all are taken.
    """
    if not cluster.namespaces:
        return ""
    there = deployments_on(cluster=cluster)
    taken = set(there.values_list("namespace", flat=True))
    free = next((one for one in cluster.named_namespaces if one not in taken), None)
    if free is None:
        count = len(cluster.named_namespaces)
        raise Invalid(
            f"Deployments have taken all {count} namespaces of {cluster}. Its owners can add one "
            "in the settings of the cluster.",
            field="cluster",
        )
    Cluster.objects.filter(pk=cluster.pk).update(connection_version=F("connection_version") + 1)
    return free


def _usable_cluster(workspace: Workspace, cluster: Cluster) -> Cluster:
    """Lock a cluster and return it as it is now. Raises Invalid for one that the workspace may not
    use, or that was removed concurrently.
    """
    locked = Cluster.objects.select_for_update(no_key=True).get(pk=cluster.pk)
    if not clusters_for(workspace=workspace).filter(pk=cluster.pk).exists():
        message = f"{workspace} cannot use the cluster {cluster}. Choose another one."
        raise Invalid(message, field="cluster")
    return locked


def _wanted(deployment: Deployment) -> Revision:
    if deployment.wanted is None:
        raise Conflict(f"{deployment.name} has no revision yet.")
    return deployment.wanted


def ensure_valid(*, configuration: Configuration, deployment: Deployment) -> None:
    """Raise InvalidConfiguration for one that `update_config` would refuse. Needs `cluster` and
    `workspace`.
    """
    _check(configuration, deployment.cluster, deployment.workspace, deployment)


def _check(
    configuration: Configuration,
    cluster: Cluster,
    workspace: Workspace,
    deployment: Deployment | None = None,
    *,
    has_settings: bool = False,
    is_applied: bool = False,
) -> None:
    """Refuse a configuration that breaks a rule. With `has_settings` the Deployment had these
    settings before, so that it may have them again although they were locked since. Where one
    `is_applied` in this transaction, two at once cannot both take the rest of a quota.
    """
    today = timezone.now().date()
    options = deployment_options(cluster=cluster, workspace=workspace, today=today)
    if is_applied and limits_workspaces(options.said):
        hold_quota(workspace)
        options = deployment_options(cluster=cluster, workspace=workspace, today=today)
    present = present_of(deployment, options) if deployment else None
    if present and has_settings:
        present = replace(present, settings=configuration.own_settings)
    problems = validate(configuration=configuration, options=options, present=present)
    if problems:
        raise InvalidConfiguration(problems)
