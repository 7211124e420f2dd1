"""Factories of data planes, named by `settings.DATA_PLANES`."""

from dataclasses import replace

from django.conf import settings

from apps.dataplane.base import DataPlane
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.plane import LocalPlane


def local() -> DataPlane:
    config = LocalConfig.from_environment(settings.PORTAL_HOME)
    return LocalPlane(settings.PORTAL_HOME, replace(config, edge_url=settings.AIRFLOW_URL))
