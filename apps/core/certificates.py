"""When certificates end that people enter: of clusters, servers and identity providers."""

import warnings
from datetime import datetime

from cryptography import x509

# What reading extensions raises of a certificate that was made by hand, beside ValueError.
BAD_EXTENSIONS = (x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


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
