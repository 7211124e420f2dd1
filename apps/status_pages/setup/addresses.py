"""Where a page is read."""

from urllib.parse import urlsplit

from django.conf import settings

from apps.core.errors import Invalid
from apps.status_pages.setup.models import StatusPage


def portal_address(page: StatusPage) -> str:
    """Return where the portal serves a page, and takes what is sent from it."""
    return f"{settings.PORTAL_URL}/status/{page.address}/"


def page_url(page: StatusPage) -> str:
    """Return where readers find a page: at its own host name, if it has one."""
    if page.host and page.is_public:
        return f"{urlsplit(settings.PORTAL_URL).scheme}://{page.host}/"
    return portal_address(page)


def checked_host(text: str) -> str:
    """Return a host name in lower case, empty for none. Raises Invalid unless the operator allows
    status pages there: an organization must not take over the portal's own name, or another's.
    """
    host = text.strip().lower().removesuffix(".")
    if host and host not in settings.STATUS_HOSTS:
        raise Invalid(
            "The operator of this portal has not allowed this host name (PORTAL_STATUS_HOSTS).",
            field="host",
        )
    return host
