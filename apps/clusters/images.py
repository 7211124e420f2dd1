"""Which image of a cluster holds which packages of projects."""

from apps.clusters.models import Cluster, ProjectImage


def project_image(*, cluster: Cluster, runtime_image: str, packages_digest: str) -> str:
    """Return the image with the packages of a lock, "" if none was made yet."""
    rows = ProjectImage.objects.filter(
        cluster=cluster, runtime_image=runtime_image, packages_digest=packages_digest
    )
    return rows.values_list("image", flat=True).first() or ""


def keep_project_image(
    *, cluster: Cluster, runtime_image: str, packages_digest: str, image: str
) -> None:
    """Remember the image that holds the packages of a lock on this cluster."""
    ProjectImage.objects.update_or_create(
        cluster=cluster,
        runtime_image=runtime_image,
        packages_digest=packages_digest,
        defaults={"image": image},
    )
