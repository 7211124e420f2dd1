"""Whether text is the address of a receiver. Where it leads is checked when a message is sent."""

from urllib.parse import urlsplit

from django.conf import settings

from apps.core.errors import Invalid

LONGEST = 2000
WRONG = "Enter an address that begins with https://, such as https://hooks.example.org/abc."


def checked_address(url: str) -> str:
    """Return an address as it is. Raises Invalid: only plain https addresses are any use."""
    allowed = ("https", "http") if settings.ALERTS_ALLOW_HTTP else ("https",)
    try:
        parts = urlsplit(url)
        port_is_good = parts.port is None or 0 < parts.port < 65_536
    except ValueError:
        raise Invalid(WRONG, field="url") from None
    is_plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= LONGEST
    if parts.scheme not in allowed or not parts.hostname or not is_plain or not port_is_good:
        raise Invalid(WRONG, field="url")
    if parts.username or parts.password:
        raise Invalid("Leave the user and the password out of the address.", field="url")
    return url
