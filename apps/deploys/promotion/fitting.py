"""Whether what runs in one Deployment can run in another as that is configured, and whether its
packages have to be brought to the cluster of the target first.

The packages of a promotion are those of one lock. On this machine they are installed from it. On a
cluster they are an image: one that is there, a copy of the one that the source runs, or, where the
source runs on this machine and has none, one that is made of the same lock.
"""

from typing import Literal

from apps.clusters.images import project_image
from apps.deployments.models import Deployment
from apps.deployments.reconciling.compiler import runtime_spec
from apps.deploys.deliveries.queries import most_code_bytes, takes_projects
from apps.deploys.models import Deploy
from apps.deploys.promotion.images import DoesNotFit, brought_image
from apps.deploys.promotion.queries import running_revision


def ensure_fits(deploy: Deploy, target: Deployment) -> None:
    """Raise DoesNotFit, with what to do, unless `deploy` can run in `target`."""
    most = most_code_bytes(target)
    if most is not None and deploy.size_bytes > most:
        raise DoesNotFit(
            f"The code is larger than the {most // 1_000_000} MB that {target.name} accepts."
        )
    image = brought_image(deploy, target)
    if not deploy.packages_digest:
        return
    if image is not None:
        _ensure_same_base(deploy, target)
    if not takes_projects(target):
        raise DoesNotFit(
            f"The code needs packages that were installed for {deploy.deployment.name}, and "
            f"{target.name} has the packages of its image."
        )
    runtime = running_revision(deploy).configuration.runtime
    if target.wanted is not None and target.wanted.configuration.runtime != runtime:
        raise DoesNotFit(
            f"The packages were chosen for runtime {runtime}, and {target.name} has "
            f"{target.wanted.configuration.runtime}. Give both the same runtime first."
        )
    if not image_of(target, deploy.packages_digest):
        _ensure_same_base(deploy, target)


def way_of_packages(deploy: Deploy, target: Deployment) -> Literal["", "copy", "build"]:
    """Return how the image with the packages comes to the cluster of the target; "" where none is
    needed, or it is there.
    """
    needs_image = bool(deploy.packages_digest) and target.cluster.is_kubernetes
    if not needs_image or image_of(target, deploy.packages_digest):
        return ""
    return "copy" if deploy.deployment.cluster.is_kubernetes else "build"


def image_of(deployment: Deployment, packages_digest: str) -> str:
    """Return the image with a lock of packages that the cluster of a Deployment has, "" if none."""
    if deployment.wanted is None or not deployment.cluster.is_kubernetes:
        return ""
    return project_image(
        cluster=deployment.cluster,
        runtime_image=runtime_spec(deployment.wanted.configuration).image,
        packages_digest=packages_digest,
    )


def source_image(deploy: Deploy) -> str:
    """Return the image with the packages of a deploy that its own cluster has, "" if none."""
    return project_image(
        cluster=deploy.deployment.cluster,
        runtime_image=runtime_spec(running_revision(deploy).configuration).image,
        packages_digest=deploy.packages_digest,
    )


def _ensure_same_base(deploy: Deploy, target: Deployment) -> None:
    if target.wanted is None:
        return
    source = deploy.deployment
    base = runtime_spec(running_revision(deploy).configuration).image
    wanted = runtime_spec(target.wanted.configuration).image
    if base != wanted:
        raise DoesNotFit(
            f"The packages were chosen for the image {base}, and {target.name} runs {wanted}. Give "
            "both the same image first."
        )
    is_copied = source.cluster.is_kubernetes and target.cluster.is_kubernetes
    if is_copied and not source_image(deploy):
        raise DoesNotFit(
            f"The image with the packages of {source.name} is not known any more, so it cannot be "
            f"copied. Deploy the same code to {target.name} once."
        )
