"""Which locks of packages, and which images of people's own, are named by what runs or may run
again.
"""

from collections.abc import Set as AbstractSet

from apps.clusters.models import Cluster
from apps.deployments.models import Deployment, Draft, Phase, Revision
from apps.deploys.models import UNDER_WAY, Deploy, Preview, PreviewState, Promotion, Upload

WAITING = (PreviewState.CHECKING, PreviewState.READY, PreviewState.FAILED)


def named_locks(cluster: Cluster) -> set[str]:
    """Return the digests of all locks that Deployments of a cluster name. A revision counts as
    long as its Deployment exists, because people may go back to it.
    """
    promotions = Promotion.objects.filter(state__in=UNDER_WAY)
    named = (
        Revision.objects.values_list("packages_digest"),
        Deploy.objects.values_list("packages_digest"),
        Preview.objects.filter(state__in=WAITING).values_list("packages_digest"),
        promotions.values_list("source__packages_digest"),
    )
    # A promotion copies the image of its source, which may be deleted while it waits.
    copied = promotions.filter(source__deployment__cluster=cluster)
    found = set(copied.values_list("source__packages_digest", flat=True).distinct()) - {""}
    for rows in named:
        of_cluster = rows.filter(deployment__cluster=cluster)
        living = of_cluster.exclude(deployment__phase=Phase.DELETED)
        found.update(digest for (digest,) in living.distinct() if digest)
    return found


def named_images(digests: AbstractSet[str]) -> set[str]:
    """Return which of these digests of images are named by a revision of any Deployment that
    exists, or by an edit that is not applied yet.
    """
    key = "config__image__digest"
    named = {f"{key}__in": list(digests)}
    living = Revision.objects.exclude(deployment__phase=Phase.DELETED)
    found: set[str] = set(living.filter(**named).values_list(key, flat=True))
    return found | set(Draft.objects.filter(**named).values_list(key, flat=True))


def awaited_tags(deployment: Deployment) -> set[str]:
    """Return the tags of images that programs have announced and push in this moment."""
    waiting = Upload.objects.filter(deployment=deployment, finished_at=None, failure="")
    return {one.image_tag for one in waiting if one.has_image}
