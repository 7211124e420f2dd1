"""What the Deployments of a workspace may request on clusters."""

from typing import Any

from django.db import connection

from apps.clusters.models import Cluster
from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.render.sizes import Most, most_requests
from apps.layers.catalogue import production_of
from apps.layers.queries import layer_of, layers_above, layers_over
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


def requested_in(
    workspace: Workspace, *, saying: Said | None = None, joining: Any = None
) -> dict[str, Most]:
    """Return the quota of each Deployment on a cluster that is there or about to be, by ref; as if
    the workspace were `saying` something else, or a Deployment were `joining` it. One query, and
    one for each cluster.
    """
    there = workspace.deployments.filter(
        wanted__isnull=False, cluster__kind=Cluster.Kind.KUBERNETES
    ).exclude(phase="deleted")
    rows = list(there.select_related("wanted", "cluster"))
    if joining is not None and joining.wanted is not None and joining.cluster.is_kubernetes:
        rows.append(joining)
    clusters = {row.cluster_id: row.cluster for row in rows}
    said = {
        pk: _saying(layers_above(cluster=cluster, workspace_id=workspace.pk), saying)
        for pk, cluster in clusters.items()
    }
    found = {row.ref: _most(row, said[row.cluster_id]) for row in rows}
    return {ref: most for ref, most in found.items() if most is not None}


def over_quota(
    workspace: Workspace, *, saying: Said | None = None, joining: Any = None
) -> tuple[str, str] | None:
    """Return the setting and a sentence where what is changed lets the Deployments of a workspace
    request more together than its quota; None where it does not, or they request no more than
    before.
    """
    own = layer_of(workspace)
    mine = saying or (own.said if own else None)
    effective = resolve((*layers_over(workspace), *((mine,) if mine else ())))
    limits = production_of(
        {name: effective[name].value for name in ("workspace_cpu", "workspace_memory")}
    )
    if limits.workspace_cpu is None and limits.workspace_memory is None:
        return None
    before = requested_in(workspace).values()
    after = requested_in(workspace, saying=saying, joining=joining).values()
    for name, limit, had, wanted, words in (
        (
            "quota_cpu",
            limits.workspace_cpu,
            sum(most.cpu_millis for most in before),
            sum(most.cpu_millis for most in after),
            cpu_in_words,
        ),
        (
            "quota_memory",
            limits.workspace_memory,
            sum(most.memory_mib for most in before),
            sum(most.memory_mib for most in after),
            memory_in_words,
        ),
    ):
        if limit is not None and had < wanted > limit:
            return name, (
                f"The quota of {workspace} is {words(limit)}. Its Deployments may request "
                f"{words(had)} of it now, and would request {words(wanted)}: lower their quotas "
                "or sizes first."
            )
    return None


def cpu_in_words(millis: int) -> str:
    return f"{millis / 1000:g} CPU"


def memory_in_words(mebibytes: int) -> str:
    return f"{mebibytes / 1024:g} GiB"


def _saying(said: tuple[Said, ...], instead: Said | None) -> tuple[Said, ...]:
    if instead is None:
        return said
    return (*(one for one in said if one.layer != instead.layer), instead)


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
