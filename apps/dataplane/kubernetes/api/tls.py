"""Which certificates a connection to a cluster trusts, and which one it presents."""

import os
import ssl
import tempfile

from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.config import Connection


def tls_context(connection: Connection) -> ssl.SSLContext:
    """Return the TLS settings of a connection, which trust its own CA alone if it names one.

    Raises Permanent when a certificate cannot be read.
    """
    try:
        context = ssl.create_default_context(cadata=connection.ca_certificate or None)
    except (ssl.SSLError, ValueError):
        raise Permanent("The CA certificate of the cluster cannot be read.") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Cluster CAs often lack the key identifiers that Python 3.13 began to require.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    if connection.client_certificate:
        _load_client_certificate(context, connection)
    return context


def _load_client_certificate(context: ssl.SSLContext, connection: Connection) -> None:
    """Load it from a file that only this user can read: the API accepts files only."""
    handle, path = tempfile.mkstemp(prefix="portal-", suffix=".pem")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(f"{connection.client_certificate}\n{connection.client_key}\n")
        context.load_cert_chain(path)
    except (ssl.SSLError, ValueError):
        raise Permanent("The client certificate and its key do not match.") from None
    finally:
        os.unlink(path)
