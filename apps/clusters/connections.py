"""From a cluster's row to the data plane behind it: the only factory."""

from functools import cache

from django.conf import settings
from django.utils.module_loading import import_string

from apps.clusters.models import Cluster
from apps.dataplane.base import DataPlane


def plane_for(cluster: Cluster) -> DataPlane:
    """Return the data plane of a cluster. `settings.DATA_PLANES` maps a kind to a factory without
    arguments.
    """
    return _plane(settings.DATA_PLANES[cluster.kind])


@cache
def _plane(factory: str) -> DataPlane:
    plane: DataPlane = import_string(factory)()
    return plane
