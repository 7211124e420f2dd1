"""The product's settings, with what a comparison needs beside it: Django's admin, and a data plane
that has nothing to do.
"""

from astro_portal.settings import *  # noqa: F403 - settings on top of the product's
from astro_portal.settings import INSTALLED_APPS, STORAGES

INSTALLED_APPS = [*INSTALLED_APPS, "django.contrib.admin"]
ROOT_URLCONF = "bench.urls"
# Files are not collected for a measurement; hashed names would come from memory anyway.
STORAGES = {
    **STORAGES,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
DATA_PLANES = {
    "local": "bench.settled_plane.SettledPlane",
    "kubernetes": "bench.cluster_plane.ClusterPlane",
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CELERY_IMPORTS = ["bench.bare_jobs"]
SILENCED_SYSTEM_CHECKS = ["guardian.W001", "admin.E408", "admin.E409", "admin.E410", "admin.E403"]
ALLOWED_HOSTS = ["*"]
LOGGING_CONFIG = None
CLUSTER_NETWORKS = ("127.0.0.0/8",)
# A measurement calls more often than a client may; the calls are counted all the same.
API_CALLS_PER_MINUTE = 1_000_000
