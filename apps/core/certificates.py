"""Certificates that people enter: of clusters, servers and identity providers."""

import warnings
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from apps.core.errors import Invalid

# What reading extensions raises of a certificate that was made by hand, beside ValueError.
BAD_EXTENSIONS = (x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


def certificates_alone(text: str, *, field: str) -> str:
    """Return the certificates of a text (PEM) without what stands between them, "" for none.

    Raises Invalid at `field`, for a private key above all: it would be stored and shown.
    """
    if not text.strip():
        return ""
    if "PRIVATE KEY-----" in text:
        raise Invalid(
            "This has a private key. Enter certificates alone, and replace that key.", field=field
        )
    try:
        return certificates_in(text)
    except ValueError:
        raise Invalid(
            "Enter one or more certificates in PEM, with their BEGIN and END lines.", field=field
        ) from None


def certificates_in(text: str) -> str:
    """Return the certificates of a text (PEM), and nothing else of it. Raises ValueError."""
    found = x509.load_pem_x509_certificates(text.encode())
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in found)


def ca_ends_at(pem: str) -> datetime | None:
    """Return when the last of the certificates that sign ends: old and new ones may stand side by
    side. None without one, or for what cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = x509.load_pem_x509_certificates(pem.encode()) if pem else []
            signing = [one for one in found if _signs(one)]
    except ValueError:
        return None
    return max((one.not_valid_after_utc for one in signing or found), default=None)


def _signs(one: x509.Certificate) -> bool:
    if one.issuer == one.subject:
        return True
    try:
        return bool(one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, *BAD_EXTENSIONS):
        return False
