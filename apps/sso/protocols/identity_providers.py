"""How an identity provider describes itself: SAML metadata, or OpenID Connect discovery."""

import base64
import binascii
import json
import textwrap
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from django.conf import settings

from apps.core.certificates import ca_ends_at
from apps.core.errors import Invalid
from apps.sso.models import SSOConnection
from apps.sso.protocols.addresses import SCOPES
from apps.sso.protocols.outgoing import OutgoingFailed, fetch

LONGEST_URL = 500
MOST_CERTIFICATES = 5
WELL_KNOWN = "/.well-known/openid-configuration"
DESCRIPTOR = ".//{urn:oasis:names:tc:SAML:2.0:metadata}IDPSSODescriptor"
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")


def read_metadata(*, xml: bytes, now: datetime) -> dict[str, Any]:
    """Return `entity_id`, `sso_url` and `certificates` (PEM) of SAML metadata; raises Invalid."""
    # What reads XML takes 12 MB: a portal without SAML never loads it.
    from lxml.etree import XMLSyntaxError  # noqa: PLC0415 - see above
    from onelogin.saml2.idp_metadata_parser import (  # noqa: PLC0415 - see above
        OneLogin_Saml2_IdPMetadataParser,
    )
    from onelogin.saml2.xml_utils import OneLogin_Saml2_XML as XML  # noqa: PLC0415 - see above
    from onelogin.saml2.xmlparser import (  # noqa: PLC0415 - see above
        DTDForbidden,
        EntitiesForbidden,
    )

    try:
        described = len(XML.to_etree(xml).findall(DESCRIPTOR))
        parsed = OneLogin_Saml2_IdPMetadataParser.parse(xml)
    except (DTDForbidden, EntitiesForbidden):
        raise Invalid(
            "This metadata declares a document type, which is never accepted.", field="metadata"
        ) from None
    except (XMLSyntaxError, ValueError, TypeError):
        raise Invalid("This is not SAML metadata: it is not XML.", field="metadata") from None
    if described > 1:
        raise Invalid(
            f"This metadata is that of {described} identity providers, as a federation publishes "
            "it. Get the metadata of yours alone.",
            field="metadata",
        )
    identity_provider = parsed.get("idp", {})
    entity_id = str(identity_provider.get("entityId") or "")
    if not entity_id:
        raise Invalid("This metadata is not that of an identity provider.", field="metadata")
    sso_url = str(identity_provider.get("singleSignOnService", {}).get("url") or "")
    if not sso_url:
        raise Invalid(
            "This metadata names no address for sign-in with the redirect binding.",
            field="metadata",
        )
    check_url(sso_url, field="metadata")
    if len(entity_id) > LONGEST_URL:
        raise Invalid("The entity ID of this metadata is too long.", field="metadata")
    certificates = _certificates(identity_provider)
    return {
        "entity_id": entity_id,
        "sso_url": sso_url,
        "certificates": _checked_certificates(certificates, now=now),
    }


def certificate_ends(connection: SSOConnection) -> list[datetime]:
    """Return when each certificate of a SAML connection ends.

    Responses are accepted beyond that day, because the metadata vouches for the key; but identity
    providers rotate their keys then.
    """
    return _ends(connection.config["certificates"])


def provider_ends_at(config: Mapping[str, Any]) -> datetime | None:
    """Return when the last certificate ends that a connection (its `config`) trusts an identity
    provider by: of SAML, or of the authority of an OpenID Connect server. None where it has none.
    """
    ends = _ends(config.get("certificates", ()))
    return max(ends, default=None) or ca_ends_at(config.get("ca_certificate", ""))


def _ends(certificates: Iterable[str]) -> list[datetime]:
    found = [x509.load_pem_x509_certificate(one.encode()) for one in certificates]
    return [one.not_valid_after_utc for one in found]


def fetch_metadata(*, url: str, now: datetime) -> dict[str, Any]:
    """Fetch SAML metadata once, guarded, and return what `read_metadata` does; raises Invalid."""
    check_url(url, field="metadata_url")
    try:
        return read_metadata(xml=fetch(url), now=now)
    except (OutgoingFailed, Invalid) as error:
        raise Invalid(error.message, field="metadata_url") from None


def discover(*, issuer: str, ca: str = "") -> dict[str, Any]:
    """Read the discovery document of an issuer; return `issuer` as the document states it, and
    `scopes`, those to request, and `ca_certificate` if one was given: the authority of its server,
    in PEM. `issuer` may be the address of the document, and lack a slash at the end or have one.

    Raises Invalid.
    """
    ca = read_ca(ca)
    place = issuer.strip().rstrip("/").removesuffix(WELL_KNOWN).rstrip("/")
    check_url(place, field="issuer")
    found = _configuration(configuration_address(place), ca)
    stated = _issuer_in(found, place)
    for name in ENDPOINTS:
        _check_endpoint(found, name)
    offered = found.get("scopes_supported")
    has_groups = isinstance(offered, list) and "groups" in offered
    scopes = [*SCOPES, "groups"] if has_groups else list(SCOPES)
    return {"issuer": stated, "scopes": scopes, **({"ca_certificate": ca} if ca else {})}


def configuration_address(issuer: str) -> str:
    """Return where the discovery document of an issuer is, which has one slash before its name:
    OpenID Connect Discovery 1.0, section 4.
    """
    return issuer.rstrip("/") + WELL_KNOWN


def _configuration(url: str, ca: str) -> dict[str, Any]:
    try:
        found = json.loads(fetch(url, ca=ca))
    except OutgoingFailed as error:
        raise Invalid(f"{error.message} The portal asked for {url}.", field="issuer") from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Invalid("That address is not an OpenID Connect issuer.", field="issuer")
    return found


def _issuer_in(found: dict[str, Any], place: str) -> str:
    stated = str(found.get("issuer"))
    if "{" in stated:
        raise Invalid(
            "This address is that of every organization at this provider. Enter the one of yours: "
            "at Microsoft Entra it has your tenant ID in place of “common”.",
            field="issuer",
        )
    if stated.rstrip("/") != place or len(stated) > LONGEST_URL:
        raise Invalid(
            f"The issuer of this server is {stated[:200]}: enter exactly that.", field="issuer"
        )
    return stated


def _check_endpoint(found: dict[str, Any], name: str) -> None:
    try:
        check_url(str(found.get(name) or ""), field="issuer")
    except Invalid:
        raise Invalid(
            f"The configuration of this provider names no usable address as {name}, which "
            "sign-in needs. Ask its administrator for it.",
            field="issuer",
        ) from None


def read_ca(text: str) -> str:
    """Return certificates of authorities in PEM, "" for none; raises Invalid."""
    text = text.strip()
    if not text:
        return ""
    try:
        is_pem = "-----BEGIN" in text
        found = x509.load_pem_x509_certificates((text if is_pem else _in_pem(text)).encode())
    except ValueError:
        raise Invalid(
            "This is no certificate. It begins with -----BEGIN CERTIFICATE-----.",
            field="ca_certificate",
        ) from None
    if len(found) > MOST_CERTIFICATES:
        raise Invalid(
            f"At most {MOST_CERTIFICATES} certificates can be trusted.", field="ca_certificate"
        )
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in found)


def check_url(url: str, *, field: str) -> None:
    """Raise Invalid unless it is a plain https address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Invalid("This is not an address.", field=field) from None
    schemes = ("https", "http") if settings.SSO_ALLOWS_HTTP else ("https",)
    if not parts.hostname or len(url) > LONGEST_URL or not url.isprintable() or port == 0:
        raise Invalid("This is not an address.", field=field)
    if parts.scheme not in schemes:
        raise Invalid("Only https addresses are used for sign-in.", field=field)
    if parts.username or parts.password or parts.fragment:
        raise Invalid("The address must not carry a user, a password or a fragment.", field=field)


def _certificates(identity_provider: dict[str, Any]) -> list[str]:
    several = identity_provider.get("x509certMulti", {}).get("signing", [])
    found = several or [identity_provider.get("x509cert") or ""]
    found = [one for one in dict.fromkeys(found) if one]
    if not found:
        raise Invalid("This metadata holds no certificate for signatures.", field="metadata")
    if len(found) > MOST_CERTIFICATES:
        raise Invalid(
            f"This metadata holds more than {MOST_CERTIFICATES} certificates.", field="metadata"
        )
    return found


def _checked_certificates(texts: list[str], *, now: datetime) -> list[str]:
    """Return those that have not ended, in PEM: metadata keeps the former one for a while. Raises
    Invalid when all have ended, or one cannot be read.
    """
    ended = [end for text in texts if (end := _end_of(text)) < now]
    if len(ended) == len(texts):
        raise Invalid(
            f"A certificate of this metadata ended on {max(ended):%d %B %Y}. "
            "Get the current metadata from the identity provider.",
            field="metadata",
        )
    return [_in_pem(text) for text in texts if _end_of(text) >= now]


def _end_of(text: str) -> datetime:
    try:
        certificate = x509.load_der_x509_certificate(base64.b64decode(text, validate=True))
        return certificate.not_valid_after_utc
    except (binascii.Error, ValueError):
        raise Invalid("A certificate of this metadata cannot be read.", field="metadata") from None


def _in_pem(text: str) -> str:
    body = "\n".join(textwrap.wrap("".join(text.split()), 64))
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
