"""Requests to identity providers: https, to allowed addresses alone, small, quick, no redirects.

An owner configures the server's name, so it could be any host that the portal can reach. The name
is looked up once and the connection goes to the address that was checked.
"""

import time
from typing import Any

import requests
from django.conf import settings

from apps.core.errors import PortalError
from apps.core.outbound.addresses import AddressRefused, NameUnknown
from apps.core.outbound.guarded_http import CONNECT_SECONDS, Reach, guard_session

MOST_BYTES = 1024 * 1024
READ_SECONDS, MOST_SECONDS = 7.0, 12.0


class OutgoingFailed(PortalError):
    """A request to an identity provider failed. The message discloses only what the owner knows."""


class GuardedSession(requests.Session):
    """A session for one exchange with an identity provider. Raises requests' own exceptions. `ca`
    (PEM) is trusted besides the public authorities and that of the installation.
    """

    def __init__(self, *, ca: str = "") -> None:
        super().__init__()
        reach = Reach(
            networks=settings.SSO_NETWORKS,
            setting="PORTAL_SSO_NETWORKS",
            allows_http=settings.SSO_ALLOWS_HTTP,
            ca="\n".join(one for one in (settings.SSO_CA, ca) if one),
        )
        guard_session(self, reach)

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs.update(allow_redirects=False, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS))
        try:
            response = super().request(method, url, *args, **kwargs)
            response._content = _bounded(response)
        except (AddressRefused, NameUnknown) as error:
            raise requests.ConnectionError(error.message) from None
        return response


def _bounded(response: requests.Response) -> bytes:
    content = b""
    deadline = time.monotonic() + MOST_SECONDS
    for chunk in response.iter_content(16 * 1024):
        content += chunk
        if len(content) > MOST_BYTES or time.monotonic() > deadline:
            response.close()
            raise requests.exceptions.ContentDecodingError("The answer is too long.")
    return content


def fetch(url: str, *, ca: str = "") -> bytes:
    """Return what an address answers with; raises OutgoingFailed with a message. `ca` as above."""
    try:
        with GuardedSession(ca=ca) as session:
            response = session.get(url)
    except requests.exceptions.InvalidSchema:
        raise OutgoingFailed("Only https addresses are fetched.") from None
    except requests.RequestException as error:
        cause = next((arg for arg in error.args if isinstance(arg, str)), "")
        is_ours = cause.endswith(".") and "object at" not in cause
        message = cause if is_ours else "That address does not answer as it should."
        raise OutgoingFailed(message) from None
    if response.status_code != 200:
        raise OutgoingFailed(f"That address answered with status {response.status_code}.")
    return response.content
