"""What gunicorn serves. It loads this once and forks: see `deploy/web.yaml`."""

import gc
import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from apps.core.database.patience import WEB_SECONDS, PatientConnection

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "astro_portal.settings")

_django = get_wsgi_application()

PatientConnection.patience_seconds = WEB_SECONDS

# Only now: it needs models, which Django has loaded.
from apps.status_pages.serving import StatusPages  # noqa: E402 - see above

application = StatusPages(_django, origin=settings.PORTAL_URL, hosts=settings.STATUS_HOSTS)
# Import every view before the fork, and keep the garbage collector from copying what is shared.
get_resolver().url_patterns  # noqa: B018 - the property does the import
gc.collect()
gc.freeze()
