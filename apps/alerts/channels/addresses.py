"""Whether text is the address of a receiver. Where it leads is checked when a message is sent."""

from django.conf import settings

from apps.core.errors import Invalid
from apps.core.outbound.guarded_http import parts_of_address

WRONG = "Enter an address that begins with https://, such as https://hooks.example.org/abc."


def checked_address(url: str) -> str:
    """Return an address as it is. Raises Invalid: only plain https addresses are any use."""
    parts = parts_of_address(url, allows_http=settings.ALERTS_ALLOW_HTTP)
    if parts is None:
        raise Invalid(WRONG, field="url")
    if parts.username or parts.password:
        raise Invalid("Leave the user and the password out of the address.", field="url")
    return url
