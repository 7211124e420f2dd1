"""What the Deployments of a workspace may request on clusters."""

from typing import Any

from django.db import connection

from apps.clusters.models import Cluster
from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.render.sizes import Most, most_requests
from apps.layers.catalogue import production_of
from apps.layers.queries import layers_above
from apps.layers.resolving import Said, resolve
from apps.organizations.models import Workspace

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('portal.quota'), hashtext(%s))"


def hold_quota(workspace: Workspace) -> None:
    """Let no other request take the rest of the quota of a workspace until the transaction ends.

    Not by the row of the workspace: others lock it before they change its Deployments, and who
    comes here has a Deployment already.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [str(workspace.pk)])


def requested_in(workspace: Workspace) -> dict[str, Most]:
    """Return the quota of each Deployment on a cluster that is there or about to be, by ref. One
    query, and one for each cluster.
    """
    there = workspace.deployments.filter(
        wanted__isnull=False, cluster__kind=Cluster.Kind.KUBERNETES
    ).exclude(phase="deleted")
    rows = list(there.select_related("wanted", "cluster"))
    clusters = {row.cluster_id: row.cluster for row in rows}
    said = {
        pk: layers_above(cluster=cluster, workspace_id=workspace.pk)
        for pk, cluster in clusters.items()
    }
    found = {row.ref: _most(row, said[row.cluster_id]) for row in rows}
    return {ref: most for ref, most in found.items() if most is not None}


def _most(deployment: Any, said: tuple[Said, ...]) -> Most | None:
    configuration = deployment.wanted.configuration
    own = Said(layer="deployment", values=configuration.own_settings)
    effective = resolve((*said, own))
    settings = production_of({name: one.value for name, one in effective.items()})
    try:
        return most_requests(settings, executor=configuration.executor, queues=configuration.queues)
    except Permanent:
        # Its size of workers is gone: nothing of it can be applied.
        return None
