"""The CAs of a company beside the public ones.

Programs read one file and forget their own roots, so the file has both: a company's alone would
break every public address. What is public comes with the portal (certifi).
"""

import hashlib
from functools import cache

import certifi

from apps.dataplane.production import ProductionSpec

FILE = "ca-bundle.pem"
# Of OpenSSL and Python, requests, curl, the SDKs of AWS, Node, git, pip, gRPC and httplib2.
READ_BY = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "HTTPLIB2_CA_CERTS",
)


def trusted(settings: ProductionSpec) -> str:
    """Return the file of all CAs that are trusted (PEM), empty where there are only public ones."""
    if not settings.ca_bundle:
        return ""
    return f"{settings.ca_bundle.rstrip()}\n{_public_roots()}"


def trust(settings: ProductionSpec, *, path: str) -> dict[str, str]:
    """Return the variables that name the file at `path`. One more changes with the company's CAs
    and with nothing else: other public roots, of a newer portal, restart no Airflow.
    """
    if not settings.ca_bundle:
        return {}
    digest = hashlib.sha256(settings.ca_bundle.encode()).hexdigest()[:16]
    return {**dict.fromkeys(READ_BY, path), "PORTAL_CA_BUNDLE": digest}


@cache
def _public_roots() -> str:
    return certifi.contents()
