"""Copying a Deployment: configuration, and as much of the rest as is wanted. Whoever copies sees no
secret, and needs the rights to change the one and to create the other.
"""

from dataclasses import dataclass, replace

from django.db import transaction
from django.utils import timezone

from apps.access.scoped import require
from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.clusters.queries import clusters_for
from apps.core.encryption.crypto import SecretUnreadable
from apps.core.errors import Conflict, Invalid, Refused
from apps.deployments.configuration.fitting import fitted
from apps.deployments.configuration.options import deployment_options
from apps.deployments.configuration.schema import Configuration
from apps.deployments.configuration.validation import Problem, validate
from apps.deployments.editing.code_rights import ensure_gains_no_code
from apps.deployments.editing.services import Origin, create_deployment
from apps.deployments.models import Deployment, Operation, Phase
from apps.deployments.secrets.copies import with_copied_secrets
from apps.deploys.deliveries.enforcement import enforcement_of, set_for_deployment
from apps.deploys.deliveries.images import image_json
from apps.deploys.deliveries.origins import source_of
from apps.deploys.deliveries.recording import require_stored, same_code
from apps.deploys.models import Deploy
from apps.deploys.promotion.conditions import ensure_may_bring
from apps.deploys.promotion.fitting import ensure_fits, way_of_packages
from apps.deploys.promotion.images import DoesNotFit
from apps.deploys.promotion.queries import DELIVER, SEE, running_deploy
from apps.deploys.promotion.rules import approval_of, set_approval
from apps.environment.objects.copying import copy_links, copy_own_objects
from apps.organizations.models import Workspace
from apps.package_indexes.services import copy_indexes

UPDATE, CREATE = "deployment.update", "workspace.deployments.create"
LINK = "workspace.environment.manage"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What goes along besides the settings: the code that runs, the environment variables of the
    configuration, and the connections, variables and package indexes that reach the Deployment.
    With `fits` settings that another cluster does not offer become what is usual there.
    """

    code: bool = True
    variables: bool = True
    objects: bool = True
    fits: bool = False


@transaction.atomic
def copy_deployment(
    *,
    actor: User,
    source: Deployment,
    workspace: Workspace,
    name: str,
    parts: Parts,
    cluster: Cluster | None = None,
) -> Operation:
    """Create a Deployment that is configured as another one runs, with a database of its own, on
    `cluster` or the same one. Code is that which runs there, byte by byte; nothing is built.

    Raises PermissionMissing, Invalid with field "name" where that is taken or bad, or "cluster"
    where the workspace may not use it or the settings do not fit, Conflict where the source never
    ran or is being deleted or its code does not fit, and Refused.
    """
    require(user=actor, permission=UPDATE, on=source)
    require(user=actor, permission=CREATE, on=workspace)
    if workspace.organization_id != source.workspace.organization_id:
        raise Refused("Copy within one organization only.")
    if parts.variables or parts.objects:
        ensure_gains_no_code(actor=actor, deployment=source, workspace=workspace)
    source = _as_it_is(source)
    deploy = _code(actor, source) if parts.code else None
    configuration = _of_source(source, parts)
    if cluster is not None and cluster != source.cluster:
        configuration = _on_cluster(configuration, cluster, workspace, parts)
    operation = create_deployment(
        actor=actor,
        workspace=workspace,
        cluster=cluster or source.cluster,
        name=name,
        configuration=_with_secrets(actor, source, workspace, configuration),
        reason=f"Copy of {source.name}",
        origin=_origin(deploy),
    )
    made = operation.deployment
    _copy_rules(actor, source, made)
    if deploy is not None:
        _record_code(actor, deploy, operation)
    if parts.objects:
        _copy_objects(actor, source, made)
    return operation


def _as_it_is(source: Deployment) -> Deployment:
    """Read the source, which is not locked: a change that comes meanwhile is not in the copy."""
    related = ("wanted", "applied", "cluster", "workspace__organization")
    source = Deployment.objects.select_related(*related).get(pk=source.pk)
    if source.phase != Phase.ACTIVE:
        raise Conflict(f"{source.name} is being deleted, so it cannot be copied.")
    return source


def _code(actor: User, source: Deployment) -> Deploy | None:
    require(user=actor, permission=SEE, on=source)
    deploy = running_deploy(source)
    if deploy is None and source.applied is not None and source.applied.code_digest:
        raise Refused(
            f"The code of {source.name} came with a backup. Deploy to it once, or copy it without "
            "code."
        )
    if deploy is not None:
        deploy.deployment = source
        require_stored(deploy)
    return deploy


def _origin(deploy: Deploy | None) -> Origin:
    if deploy is None:
        return Origin()
    return Origin(code_digest=deploy.digest, packages_digest=deploy.packages_digest)


def _of_source(source: Deployment, parts: Parts) -> Configuration:
    revision = source.applied or source.wanted
    if revision is None:
        raise Conflict(f"{source.name} has no revision yet, so there is nothing to copy.")
    configuration = revision.configuration
    return configuration if parts.variables else replace(configuration, variables=())


def _on_cluster(
    configuration: Configuration, cluster: Cluster, workspace: Workspace, parts: Parts
) -> Configuration:
    """Return the configuration for another cluster. Raises Invalid with all that does not fit; of
    a cluster that the workspace may not use nothing is told.
    """
    if not clusters_for(workspace=workspace).filter(pk=cluster.pk).exists():
        message = f"{workspace} cannot use this cluster. Choose another one."
        raise Invalid(message, field="cluster")
    today = timezone.now().date()
    options = deployment_options(cluster=cluster, workspace=workspace, today=today)
    if parts.fits:
        configuration = fitted(configuration, options)
    if problems := validate(configuration=configuration, options=options):
        raise Invalid(_what_does_not_fit(problems), field="cluster")
    return configuration


def _what_does_not_fit(problems: list[Problem]) -> str:
    """Say all of it in one message, and what to do."""
    found = " ".join(dict.fromkeys(one.message for one in problems))
    return f"{found} Choose another cluster, or let the copy have what this one offers."


def _with_secrets(
    actor: User, source: Deployment, workspace: Workspace, configuration: Configuration
) -> Configuration:
    try:
        return with_copied_secrets(
            actor=actor, workspace=workspace, deployment=source, configuration=configuration
        )
    except SecretUnreadable as error:
        raise _unreadable(source) from error


def _record_code(actor: User, deploy: Deploy, operation: Operation) -> None:
    """Record where the code came from. What may not be delivered here does not come by a copy."""
    made = operation.deployment
    require(user=actor, permission=DELIVER, on=made)
    ensure_may_bring(actor, deploy, made)
    ensure_fits(deploy, made)
    if way_of_packages(deploy, made):
        raise DoesNotFit(
            f"The packages of {deploy.deployment.name} are not in the registry of {made.cluster}. "
            "Copy it without code, and promote the code to it."
        )
    new = same_code(
        deploy,
        deployment=made,
        number=1,
        revision=operation.revision,
        description=f"Copied from {deploy.deployment.name}",
        promoted_from=deploy,
        image=image_json(operation.revision.configuration.image) if operation.revision else None,
        created_by=actor,
        source=source_of(actor),
    )
    new.save(force_insert=True)


def _copy_rules(actor: User, source: Deployment, made: Deployment) -> None:
    """Keep what was decided for the source: how code may come, and who approves promotions."""
    is_enforced, _ = enforcement_of(source)
    set_for_deployment(actor=actor, deployment=made, is_on=is_enforced)
    needs_approval, _ = approval_of(source)
    set_approval(actor=actor, deployment=made, is_on=needs_approval)


def _copy_objects(actor: User, source: Deployment, made: Deployment) -> None:
    is_here = source.workspace_id == made.workspace_id
    try:
        copy_own_objects(actor=actor, source=source, target=made)
        if is_here and source.environment_links.exists():
            require(user=actor, permission=LINK, on=made.workspace)
            copy_links(actor=actor, source=source, target=made)
        copy_indexes(actor=actor, source=source, target=made)
    except SecretUnreadable as error:
        raise _unreadable(source) from error


def _unreadable(source: Deployment) -> Refused:
    return Refused(
        f"A secret of {source.name} cannot be decrypted. Enter it again there, or copy without "
        "variables, connections and package indexes."
    )
