"""Which certificates a connection to a cluster trusts, and which one it presents."""

import os
import ssl
import tempfile
from datetime import UTC, datetime

from apps.core.certificates import ca_ends_at
from apps.dataplane.errors import Permanent, Unreachable
from apps.dataplane.kubernetes.config import Connection


class CertificateRefused(Unreachable):
    """The portal does not trust the certificate that the API server presents."""


class AuthorityEnded(CertificateRefused):
    """The CA that a cluster was registered with has ended; the message says what to do."""


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


def untrusted(where: str, *, ca: str) -> CertificateRefused:
    """Return why the certificate that an API, called `where`, presents is not trusted."""
    ends_at = ca_ends_at(ca)
    if ends_at is not None and ends_at <= datetime.now(UTC):
        return AuthorityEnded(
            f"{where} cannot be trusted: the CA certificate that it was registered with ended on "
            f"{ends_at.day} {ends_at:%b %Y}. An owner gives the new one on Credential, on the page "
            "of the cluster."
        )
    return CertificateRefused(
        f"{where} presents a certificate that the registered CA did not sign."
    )


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
