"""Which locks of packages are named, by what a cluster runs or may run again."""

from apps.clusters.models import Cluster
from apps.deployments.models import Phase, Revision
from apps.deploys.models import Deploy, Preview, PreviewState, Promotion, PromotionState

WAITING = (PreviewState.CHECKING, PreviewState.READY, PreviewState.FAILED)


def named_locks(cluster: Cluster) -> set[str]:
    """Return the digests of all locks that Deployments of a cluster name. A revision counts as
    long as its Deployment exists, because people may go back to it.
    """
    promotions = Promotion.objects.filter(state=PromotionState.OPEN)
    named = (
        Revision.objects.values_list("packages_digest"),
        Deploy.objects.values_list("packages_digest"),
        Preview.objects.filter(state__in=WAITING).values_list("packages_digest"),
        promotions.values_list("source__packages_digest"),
    )
    found: set[str] = set()
    for rows in named:
        of_cluster = rows.filter(deployment__cluster=cluster)
        living = of_cluster.exclude(deployment__phase=Phase.DELETED)
        found.update(digest for (digest,) in living.distinct() if digest)
    return found
