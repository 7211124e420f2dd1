"""Requests to identity providers: https, to allowed addresses alone, small, quick, no redirects.

An owner configures the server's name, so it could be any host that the portal can reach. The name
is looked up once and the connection goes to the address that was checked.
"""

import socket
import time
from typing import Any

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.ssl_ import create_urllib3_context

from apps.core.addresses import AddressRefused, NameUnknown, allowed_addresses, connect
from apps.core.errors import PortalError

MOST_BYTES = 1024 * 1024
CONNECT_SECONDS, READ_SECONDS, MOST_SECONDS = 3.0, 7.0, 12.0


class OutgoingFailed(PortalError):
    """A request to an identity provider failed. The message discloses only what the owner knows."""


class _Checked:
    host: str
    port: int
    timeout: Any

    def _new_conn(self) -> socket.socket:
        found = allowed_addresses(
            host=self.host,
            port=self.port,
            networks=settings.SSO_NETWORKS,
            setting="PORTAL_SSO_NETWORKS",
        )
        return connect(found, port=self.port, seconds=CONNECT_SECONDS)


class _CheckedHTTP(_Checked, HTTPConnection): ...


class _CheckedHTTPS(_Checked, HTTPSConnection): ...


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _CheckedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _CheckedHTTPS


class _CheckedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        if settings.SSO_CA:
            # Beside the public ones, which requests adds to every context.
            kwargs["ssl_context"] = context = create_urllib3_context()
            context.load_verify_locations(cadata=settings.SSO_CA)
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


class GuardedSession(requests.Session):
    """A session for one exchange with an identity provider. Raises requests' own exceptions."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.adapters.clear()
        adapter = _CheckedAdapter(max_retries=0)
        self.mount("https://", adapter)
        if settings.SSO_ALLOWS_HTTP:
            self.mount("http://", adapter)

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


def fetch(url: str) -> bytes:
    """Return what an address answers with; raises OutgoingFailed with a message."""
    try:
        with GuardedSession() as session:
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
