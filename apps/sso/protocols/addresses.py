"""What an identity provider is told about the portal."""

from django.conf import settings
from django.urls import reverse

from apps.sso.models import SSOConnection

SCOPES = ("openid", "email", "profile")


def address_of(connection: SSOConnection, page: str) -> str:
    """Return the URL to configure at an identity provider; `page` is acs, metadata, callback or
    start.
    """
    return settings.PORTAL_URL + reverse(f"sso:{page}", args=[connection.key])
