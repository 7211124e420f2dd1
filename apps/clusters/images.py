"""Which image of a cluster holds which packages of projects."""

from apps.clusters.models import Cluster, ProjectImage


def project_image(*, cluster: Cluster, runtime_image: str, packages_digest: str) -> str:
    """Return the image with the packages of a lock, "" if none was made yet."""
    rows = ProjectImage.objects.filter(
        cluster=cluster, runtime_image=runtime_image, packages_digest=packages_digest
    )
    return rows.values_list("image", flat=True).first() or ""


def hold_project_image(*, cluster: Cluster, packages_digest: str) -> None:
    """Keep the images with the packages of a lock from being removed. Waits for a removal that has
    begun: what is looked for then is not there any more.
    """
    rows = ProjectImage.objects.filter(cluster=cluster, packages_digest=packages_digest)
    rows.update(unused_since=None, removal_error="")


def unremoved_images(cluster: Cluster) -> tuple[int, str]:
    """Return how many images nothing needs and the registry has all the same, and why."""
    rows = ProjectImage.objects.filter(cluster=cluster).exclude(removal_error="")
    errors = list(rows.values_list("removal_error", flat=True))
    return len(errors), errors[0] if errors else ""


def keep_project_image(
    *, cluster: Cluster, runtime_image: str, packages_digest: str, image: str
) -> None:
    """Remember the image that holds the packages of a lock on this cluster."""
    ProjectImage.objects.update_or_create(
        cluster=cluster,
        runtime_image=runtime_image,
        packages_digest=packages_digest,
        defaults={"image": image, "unused_since": None, "removal_error": ""},
    )
