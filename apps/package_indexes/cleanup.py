"""Daily cleanup of package indexes of Deployments that are gone."""

from apps.deployments.models import Phase
from apps.package_indexes.models import PackageIndex


def remove_of_deleted_deployments() -> int:
    """Remove the package indexes of deleted Deployments, with their passwords. Returns how many."""
    count, _ = PackageIndex.objects.filter(deployment__phase=Phase.DELETED).delete()
    return count
