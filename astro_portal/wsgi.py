import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "astro_portal.settings")

_django = get_wsgi_application()

# Only now: it needs models, which Django has loaded.
from django.conf import settings  # noqa: E402

from apps.status_pages.serving import StatusPages  # noqa: E402

application = StatusPages(_django, origin=settings.PORTAL_URL, hosts=settings.STATUS_HOSTS)
