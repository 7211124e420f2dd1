"""Factories of data planes, named by `settings.DATA_PLANES`."""

from django.conf import settings

from apps.dataplane.base import DataPlane
from apps.dataplane.local.plane import LocalPlane


def local() -> DataPlane:
    return LocalPlane(settings.PORTAL_HOME, airflow_url=settings.AIRFLOW_URL)
