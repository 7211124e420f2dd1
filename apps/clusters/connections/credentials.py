"""What people give to reach a cluster, validated field by field. Each refusal is one message.

No message holds any part of a secret, and nothing here resolves a name or opens a file.
"""

import re
import warnings
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from apps.core.errors import Invalid
from apps.dataplane.kubernetes.api.addresses import why_refused
from apps.dataplane.kubernetes.registration.token_renewal import account_token, claims_of

SERVER_LENGTH = 500
PROXY_LENGTH = 300
PEM_BYTES = 150_000
MOST_CERTIFICATES = 100
TOKEN_LENGTH = 16_000
HOST = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?)*\.?"
)
# Tokens of people's sign-ins, which end within a day and which only their makers' programs renew.
# https://docs.aws.amazon.com/eks/latest/best-practices/identity-and-access-management.html,
# https://docs.cloud.google.com/docs/authentication/token-types
SHORT_LIVED = (
    ("k8s-aws-v1.", "an AWS sign-in token, which ends after 15 minutes"),
    ("ya29.", "a Google access token, which ends after an hour"),
    ("sha256~", "an OpenShift session token, which ends within a day"),
)
SHORT_LIVED_ISSUERS = (
    ("https://sts.windows.net/", "a Microsoft Entra token, which ends after about an hour"),
    ("https://login.microsoftonline.com/", "a Microsoft Entra token, which ends within a day"),
    ("https://accounts.google.com", "a Google identity token, which ends after an hour"),
)
SHORTEST_LIFE = timedelta(hours=12)
# Of a service account, which may ask for its next one.
SHORTEST_RENEWED = timedelta(minutes=5)
LASTING = (
    "Use the token of a service account that the manifest on this page makes; for EKS, AKS and GKE "
    "choose the cloud above, and the portal renews tokens itself."
)
NUMERIC_END = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)\.?\Z")


def clean_server(text: str, *, networks: tuple[str, ...], field: str) -> str:
    """Return the normalized address of a Kubernetes API. Raises Invalid at `field`.

    A numeric address is checked at once; a name only when it is resolved.
    """
    text = text.strip().rstrip("/")
    if not text or len(text) > SERVER_LENGTH or not _is_plain(text) or "\\" in text:
        raise Invalid("Give an address like https://cluster.example.org:6443.", field=field)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Invalid("This is no address. It looks like https://host:6443.", field=field) from None
    if parts.scheme != "https":
        raise Invalid(
            "The address must begin with https://. A credential is never sent in clear.",
            field=field,
        )
    if "@" in parts.netloc:
        raise Invalid(
            "The address contains a name or password before the @. Remove it; the portal signs in "
            "with a token or a certificate.",
            field=field,
        )
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise Invalid("The address must end before the ? or #.", field=field)
    if port == 0:
        raise Invalid("The address has the port 0. Use the port of the API.", field=field)
    _clean_host(host, networks, field)
    return text


def clean_proxy(text: str, *, networks: tuple[str, ...], field: str) -> str:
    """Return the normalized address of an HTTP proxy, empty for none. Raises Invalid at `field`."""
    text = text.strip().rstrip("/")
    if not text:
        return ""
    try:
        parts = urlsplit(text)
        is_good = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or len(text) > PROXY_LENGTH or not _is_plain(text) or parts.path or "\\" in text:
        raise Invalid(
            "Give the proxy like http://proxy.example.org:3128. It is an HTTP proxy that takes "
            "CONNECT; SOCKS and proxies behind TLS are not used.",
            field=field,
        )
    if "@" in parts.netloc or "?" in text or "#" in text:
        raise Invalid(
            "The proxy must be without name and password: they would be sent in clear.", field=field
        )
    _clean_host(parts.hostname or "", networks, field)
    return text


def clean_server_name(text: str, *, field: str) -> str:
    """Return the name that the cluster's certificate is checked against. Raises Invalid."""
    name = text.strip().lower()
    if name and not HOST.fullmatch(name) and not _is_ip(name):
        raise Invalid("The TLS server name must be a host name.", field=field)
    return name


def clean_ca(text: str, *, field: str, now: datetime) -> str:
    """Return the certificates of an authority as normalized PEM. Raises Invalid."""
    certificates = _certificates(text, "The CA certificate", field)
    usable = [one for one in certificates if one.not_valid_after_utc > now]
    if not usable:
        last = max(one.not_valid_after_utc for one in certificates)
        raise Invalid(f"The CA certificate expired on {_day(last)}. Use the new one.", field=field)
    return "".join(_pem(one) for one in usable)


def clean_token(text: str, *, field: str, now: datetime) -> tuple[str, datetime | None]:
    """Return a bearer token and when it expires, if it contains that. Raises Invalid."""
    token = text.strip()
    if not token:
        raise Invalid("Paste the token.", field=field)
    # Of a quoted one nothing could be read, when it ends for instance.
    if len(token) > TOKEN_LENGTH or not _is_plain(token) or set(token) & set("\"'`"):
        raise Invalid(
            "This is no token: it has blanks, line breaks or characters that a token cannot have.",
            field=field,
        )
    claims = claims_of(token)
    expires_at = _expiry(claims)
    if expires_at is not None and expires_at <= now:
        raise Invalid(f"The token expired on {_day(expires_at)}. Make a new one.", field=field)
    kind = _short_lived_kind(token, claims)
    if kind:
        raise Invalid(f"This is {kind}. {LASTING}", field=field)
    shortest = SHORTEST_RENEWED if account_token(token) else SHORTEST_LIFE
    if expires_at is not None and expires_at - now < shortest:
        raise Invalid(
            f"The token ends at {expires_at:%H:%M} UTC, and nothing renews it. {LASTING}",
            field=field,
        )
    return token, expires_at


def clean_pair(
    certificate: str, key: str, *, fields: tuple[str, str], now: datetime
) -> tuple[str, str, datetime]:
    """Return a client certificate with its chain and its key as PEM, and when it expires. Raises
    Invalid.
    """
    chain = _certificates(certificate, "The client certificate", fields[0])
    expires_at = chain[0].not_valid_after_utc
    if expires_at <= now:
        raise Invalid(
            f"The client certificate expired on {_day(expires_at)}. Make a new one.",
            field=fields[0],
        )
    private = _private_key(key, fields[1])
    if _public_bytes(private.public_key()) != _public_bytes(chain[0].public_key()):
        raise Invalid("The client key does not belong to the client certificate.", field=fields[1])
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return "".join(_pem(one) for one in chain), pem.decode(), expires_at


def _clean_host(host: str, networks: tuple[str, ...], field: str) -> None:
    if _is_ip(host):
        reason = why_refused(host, networks=networks)
    elif not HOST.fullmatch(host) or NUMERIC_END.fullmatch(host):
        reason = "The address has no host name that could be looked up."
    elif host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost"):
        reason = why_refused("127.0.0.1", networks=networks)
    else:
        reason = ""
    if reason:
        raise Invalid(reason, field=field)


def _is_ip(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_plain(text: str) -> bool:
    return all("!" <= character <= "~" for character in text)


def _certificates(text: str, what: str, field: str) -> list[x509.Certificate]:
    if not text.strip():
        raise Invalid(f"{what} is missing.", field=field)
    if len(text) > PEM_BYTES:
        raise Invalid(f"{what} is too long for a certificate.", field=field)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = x509.load_pem_x509_certificates(text.encode())
            for one in found:
                one.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise Invalid(
            f"{what} cannot be read. It begins with -----BEGIN CERTIFICATE-----.", field=field
        ) from None
    if len(found) > MOST_CERTIFICATES:
        raise Invalid(f"{what} holds {len(found)} certificates, which is too many.", field=field)
    return found


def _private_key(text: str, field: str) -> serialization.SSHCertPrivateKeyTypes:
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except TypeError:
        raise Invalid(
            "The client key is protected by a password. The portal cannot type one.", field=field
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise Invalid("The client key cannot be read.", field=field) from None
    return key  # type: ignore[return-value]  # of a kind that was checked


def _public_bytes(key: object) -> bytes:
    public: bytes = key.public_bytes(  # type: ignore[attr-defined]  # of a kind that was checked
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return public


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _expiry(claims: dict[str, Any]) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return None


def _short_lived_kind(token: str, claims: dict[str, Any]) -> str:
    """Name the kind of a token that ends soon, "" for other kinds. Not all of them say when."""
    issuer = str(claims.get("iss", ""))
    for beginning, kind in SHORT_LIVED:
        if token.startswith(beginning):
            return kind
    for beginning, kind in SHORT_LIVED_ISSUERS:
        if issuer.startswith(beginning):
            return kind
    return ""


def _day(at: datetime) -> str:
    return f"{at.day} {at:%b %Y}"
