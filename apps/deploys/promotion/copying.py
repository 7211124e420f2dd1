"""The job of a promotion whose packages are not on the cluster of the target yet.

copying ─► claimed ─► image copied, or made of the same lock ─► deployed
              │  registry away: again, three times at most
              ▼
           failed: nothing of the target has changed

A row is claimed for as long as that may take, so that a worker that was killed is followed by
another. Every step can be repeated.
"""

from datetime import datetime, timedelta

from django.db.models import F, Q
from django.utils import timezone

from apps.clusters.connections.planes import plane_for
from apps.clusters.images import hold_project_image, keep_project_image
from apps.core.errors import PortalError
from apps.dataplane.base import SupportsImageCopies, SupportsProjects
from apps.dataplane.errors import DataPlaneError, Permanent, Temporary
from apps.deployments.models import Deployment, Revision
from apps.deployments.reconciling.compiler import compile_spec, runtime_spec
from apps.deploys.deliveries.packages import with_package_indexes
from apps.deploys.models import Deploy, Promotion, PromotionState
from apps.deploys.promotion import services
from apps.deploys.promotion.fitting import source_image, way_of_packages

LEASE = timedelta(minutes=20)
PAUSE = timedelta(minutes=1)
MOST_ATTEMPTS = 3
INTERRUPTED = (
    "Copying the packages was interrupted three times, so it was given up. Promote it again."
)


def due(*, now: datetime) -> list[int]:
    """Return the promotions that wait for a worker."""
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    rows = Promotion.objects.filter(free, state=PromotionState.COPYING)
    return list(rows.order_by("created_at").values_list("pk", flat=True)[:20])


def copy(*, promotion_id: int, now: datetime) -> None:
    """Bring the packages of one promotion, and deploy it, unless another worker does."""
    promotion = _claim(promotion_id, now)
    if promotion is None:
        return
    try:
        _bring(promotion)
        services.finish(promotion=promotion, now=timezone.now())
    except Temporary as error:
        if promotion.attempts >= MOST_ATTEMPTS:
            services.fail(promotion=promotion, problem=error.message)
        else:
            _later(promotion, error)
    except (DataPlaneError, PortalError) as error:
        services.fail(promotion=promotion, problem=error.message)


def _claim(promotion_id: int, now: datetime) -> Promotion | None:
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    rows = Promotion.objects.filter(free, pk=promotion_id, state=PromotionState.COPYING)
    above = ("deployment__workspace__organization", "deployment__cluster", "deployment__wanted")
    spent = rows.filter(attempts__gte=MOST_ATTEMPTS).select_related(*above, "source").first()
    if spent is not None:
        services.fail(promotion=spent, problem=INTERRUPTED)
        return None
    if not rows.update(lease_until=now + LEASE, attempts=F("attempts") + 1):
        return None
    found = Promotion.objects.select_related(
        *above, "source__deployment__cluster", "source__deployment__applied", "source__revision"
    )
    return found.get(pk=promotion_id)


def _bring(promotion: Promotion) -> None:
    """Let the cluster of the target have the image; see `fitting`."""
    deploy, target = promotion.source, promotion.deployment
    if deploy is None or target.wanted is None:
        # Finishing it says what is wrong.
        return
    way, cluster = way_of_packages(deploy, target), target.cluster
    if not way:
        return
    hold_project_image(cluster=cluster, packages_digest=deploy.packages_digest)
    image = _copied(deploy, target) if way == "copy" else _built(deploy, target, target.wanted)
    keep_project_image(
        cluster=cluster,
        runtime_image=runtime_spec(target.wanted.configuration).image,
        packages_digest=deploy.packages_digest,
        image=image,
    )


def _copied(deploy: Deploy, target: Deployment) -> str:
    plane = plane_for(target.cluster)
    image = source_image(deploy)
    if not image or not isinstance(plane, SupportsImageCopies):
        raise Permanent(
            f"The image with the packages cannot be copied. Deploy the same code to {target.name} "
            "once."
        )
    return plane.copy_image(image=image, source=plane_for(deploy.deployment.cluster))


def _built(deploy: Deploy, target: Deployment, wanted: Revision) -> str:
    """Make an image of the lock that the source runs, whose hashes name the same files."""
    plane = plane_for(target.cluster)
    if not isinstance(plane, SupportsProjects):
        raise Permanent("The cluster of the target cannot install packages.")
    revision = Revision(
        deployment=target,
        number=wanted.number + 1,
        config=wanted.config,
        code_digest=deploy.digest,
        packages_digest=deploy.packages_digest,
    )
    spec = compile_spec(deployment=target, revision=revision)
    return plane.install_packages(spec=with_package_indexes(spec, target)).image


def _later(promotion: Promotion, error: DataPlaneError) -> None:
    rows = Promotion.objects.filter(pk=promotion.pk, state=PromotionState.COPYING)
    rows.update(lease_until=timezone.now() + PAUSE, problem=error.message[:1500])
