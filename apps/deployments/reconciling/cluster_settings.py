"""Bring changed settings of a cluster to the Deployments that run there: some at a time.

Each gets an operation of its own that applies its revision again, so that its page shows the steps
and what failed. A failed one keeps its slot, so that broken settings break only a few Deployments.
"""

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from apps.deployments.models import Deployment, Operation, Phase, Revision, RevisionState
from apps.deployments.operations import begin_operation, lock_deployment, record_change
from apps.deployments.reconciling import lifecycle

AT_ONCE = 10


def is_behind(deployment: Deployment) -> bool:
    """Return whether the settings of its cluster changed since a Deployment was applied. Needs
    `cluster`.
    """
    if deployment.applied_id is None:
        return False
    is_of_cluster = deployment.settings_version < deployment.cluster.settings_version
    return is_of_cluster or deployment.layers_applied < deployment.layers_version


def changed_place(deployment: Deployment) -> str:
    """Name whose settings a Deployment is behind. Needs `cluster` and `workspace`."""
    if deployment.settings_version < deployment.cluster.settings_version:
        return deployment.cluster.name
    return "a layer above"


def begin_some() -> int:
    """Begin to apply changed settings to Deployments without another operation in progress, on each
    reachable cluster at most `AT_ONCE` at a time. Returns how many were begun.
    """
    begun = 0
    behind = _behind().filter(cluster__blind_until=None)
    for cluster_id in behind.values_list("cluster_id", flat=True).distinct():
        here = _behind().filter(cluster=cluster_id)
        free = AT_ONCE - _under_way(here)
        ready = here.filter(wanted__state=RevisionState.APPLIED, quarantined_at=None)
        for deployment in ready.order_by("pk")[: max(free, 0)]:
            begun += _begin(deployment)
    return begun


def _behind() -> QuerySet[Deployment]:
    of_cluster = Q(settings_version__lt=F("cluster__settings_version"))
    of_layers = Q(layers_applied__lt=F("layers_version"))
    behind = Deployment.objects.filter(of_cluster | of_layers)
    return behind.filter(phase=Phase.ACTIVE, applied__isnull=False)


def _under_way(here: QuerySet[Deployment]) -> int:
    """Count the operations that were begun and have not succeeded, failed ones included."""
    begun = here.exclude(wanted__state=RevisionState.APPLIED)
    mine = begun.filter(wanted__operations__kind=Operation.Kind.SETTINGS)
    return mine.distinct().count()


@transaction.atomic
def _begin(deployment: Deployment) -> bool:
    deployment = lock_deployment(deployment, even_deleting=True)
    wanted = deployment.wanted
    if deployment.phase != Phase.ACTIVE or wanted is None or not is_behind(deployment):
        return False
    rows = Revision.objects.filter(pk=wanted.pk, state=RevisionState.APPLIED)
    if not lifecycle.move(rows, "revision", RevisionState.PENDING):
        return False
    is_of_cluster = deployment.settings_version < deployment.cluster.settings_version
    title = f"Apply the settings of {deployment.cluster.name}"
    if not is_of_cluster:
        title = "Apply changed settings"
    begin_operation(None, deployment, Operation.Kind.SETTINGS, title=title, revision=wanted)
    versions = [deployment.settings_version, deployment.cluster.settings_version]
    record_change(None, deployment, "deployment.settings_applied", {"settings": versions})
    Deployment.objects.filter(pk=deployment.pk).update(next_reconcile_at=Now())
    return True
