"""The product's settings with what tests need: the services of `tests.services`, a cheap hasher, no
manifest.
"""

import gc
import os
from pathlib import Path

import tests.migrated
import tests.services  # starts them, and names them in the environment, before settings are read
from apps.core.encryption.crypto import KeyRing
from astro_portal.settings import *  # noqa: F403 - settings on top of the product's

# Cycles are looked for seldom, from the first import of a test on: it took a tenth of the time.
gc.set_threshold(100_000, 20, 50)
SECRET_KEY = "only-for-tests"
ENCRYPTION_KEYS = KeyRing(current="t1", keys={"t1": b"0" * 32})
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
_socket = Path(os.environ["PORTAL_HOME"], "postgres", f".s.PGSQL.{DATABASES['default']['PORT']}")  # noqa: F405
if len(str(_socket)) < 100:  # the kernel takes no longer path
    DATABASES["default"]["HOST"] = str(_socket.parent)  # noqa: F405
if os.environ[tests.services.IS_MIGRATED]:
    DATABASES["default"]["TEST"] = {"TEMPLATE": tests.migrated.TEMPLATE}  # noqa: F405
STORAGES = {
    **STORAGES,  # noqa: F405 - settings on top of the product's
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Static files are found where they are; nothing is collected for a test.
WHITENOISE_AUTOREFRESH = True
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
# No process serves them, and browsers would say so.
HAS_STREAMS = False
DATA_PLANES = dict.fromkeys(("local", "kubernetes"), "apps.dataplane.fake.plane.FakePlane")
IMPORT_READER = "apps.dataplane.fake.plane.import_database"
ACCOUNT_RATE_LIMITS = False
# No test asks the internet.
PACKAGE_INDEX = "https://127.0.0.1:9/simple"
# Tests empty the cache, so every worker of pytest-xdist has a database of its own in Valkey.
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
CACHES = {
    **CACHES,  # noqa: F405 - settings on top of the product's
    "default": {
        **CACHES["default"],  # noqa: F405 - settings on top of the product's
        # Settings on top of the product's.
        "LOCATION": f"{REDIS_URL.rpartition('/')[0]}/{_worker + 1}",  # noqa: F405
    },
}
