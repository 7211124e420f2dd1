"""SAML as python3-saml does it, from a connection's row and the portal's own address.

The settings are built here and not by allauth: addresses come from PORTAL_URL, so that a proxy in
front cannot make Destination and Recipient differ, and several certificates are accepted, so that
an identity provider can rotate its key without an outage.
"""

import binascii
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from django.conf import settings
from django.urls import reverse
from lxml.etree import XMLSyntaxError
from onelogin.saml2.auth import OneLogin_Saml2_Auth
from onelogin.saml2.constants import OneLogin_Saml2_Constants as C
from onelogin.saml2.errors import OneLogin_Saml2_Error
from onelogin.saml2.settings import OneLogin_Saml2_Settings
from onelogin.saml2.xmlparser import DTDForbidden, EntitiesForbidden

from apps.sso.models import SSOConnection
from apps.sso.protocols.failures import BYPASS, TOO_EARLY, TOO_LATE

UNREADABLE = "The answer of the identity provider cannot be read: it is not SAML."
DOCTYPE = "The answer of the identity provider declares a document type, which is never accepted."
UNKNOWN_SIGNER = (
    "The signature is not by a certificate of this connection. If the identity provider has a new "
    f"one, an owner of your organization has to upload its current metadata. {BYPASS}"
)
# Errors of python3-saml, shortened to what an administrator of the identity provider can act on.
REASONS = (
    ("expired", TOO_LATE),
    ("not yet valid", TOO_EARLY),
    ("is not a valid audience", "The answer is meant for another application: check the audience."),
    ("Invalid issuer", "The answer names another issuer than the metadata of this connection."),
    ("was received at", "The answer is meant for another address: check the ACS URL."),
    ("Destination", "The answer is meant for another address: check the ACS URL."),
    ("Recipient", "The answer is meant for another address: check the ACS URL."),
    ("Signature validation failed", UNKNOWN_SIGNER),
    ("not signed", "The answer is not signed as this connection requires."),
    ("Deprecated signature", "The answer is signed with SHA-1: choose SHA-256."),
    ("Deprecated digest", "The answer is signed with SHA-1: choose SHA-256."),
    ("A valid SubjectConfirmation", "The answer is for another address, or it came too late."),
)


@dataclass(frozen=True)
class BadAnswer(Exception):
    """A refused SAML response; `message` may be shown, `reason` is for the log."""

    message: str
    reason: str = ""


def saml_settings(connection: SSOConnection) -> dict[str, Any]:
    """Return python3-saml's settings: assertions must be signed, SHA-1 is refused."""
    config = connection.config
    certificates = config["certificates"]
    return {
        "strict": True,
        "security": {
            "wantAssertionsSigned": True,
            "wantMessagesSigned": False,
            "rejectDeprecatedAlgorithm": True,
            "requestedAuthnContext": False,
            "wantNameId": True,
            "wantAttributeStatement": False,
            "allowRepeatAttributeName": True,
            "allowSingleLabelDomains": True,
            "signatureAlgorithm": C.RSA_SHA256,
            "digestAlgorithm": C.SHA256,
        },
        "idp": {
            "entityId": config["entity_id"],
            "singleSignOnService": {"url": config["sso_url"]},
            "x509cert": certificates[0],
            "x509certMulti": {"signing": certificates},
        },
        "sp": {
            "entityId": address_of(connection, "metadata"),
            "assertionConsumerService": {
                "url": address_of(connection, "acs"),
                "binding": C.BINDING_HTTP_POST,
            },
        },
    }


def address_of(connection: SSOConnection, page: str) -> str:
    """Return the URL to configure at an identity provider; `page` is acs, metadata or callback."""
    return settings.PORTAL_URL + reverse(f"sso:{page}", args=[connection.key])


def certificate_ends(connection: SSOConnection) -> list[datetime]:
    """Return when each certificate of a SAML connection ends.

    Responses are accepted beyond that day, because the metadata vouches for the key; but identity
    providers rotate their keys then.
    """
    certificates = connection.config["certificates"]
    found = [x509.load_pem_x509_certificate(one.encode()) for one in certificates]
    return [one.not_valid_after_utc for one in found]


def new_request(connection: SSOConnection) -> OneLogin_Saml2_Auth:
    """Return the builder of a sign-in request."""
    return OneLogin_Saml2_Auth(_here(connection, {}), saml_settings(connection))


def read_answer(connection: SSOConnection, answer: str) -> OneLogin_Saml2_Auth:
    """Check a SAML response in base64; raises BadAnswer with a remedy."""
    posted = {"SAMLResponse": answer}
    auth = OneLogin_Saml2_Auth(_here(connection, posted), saml_settings(connection))
    try:
        auth.process_response(request_id=None)
    except (DTDForbidden, EntitiesForbidden):
        raise BadAnswer(DOCTYPE, "document type declared") from None
    except (binascii.Error, OneLogin_Saml2_Error, XMLSyntaxError, ValueError, TypeError) as error:
        raise BadAnswer(UNREADABLE, type(error).__name__) from None
    if auth.get_errors() or not auth.is_authenticated():
        reason = auth.get_last_error_reason() or ", ".join(auth.get_errors()) or "not signed in"
        raise BadAnswer(_message(reason), reason[:500])
    return auth


def service_metadata(connection: SSOConnection) -> bytes:
    """Return the portal's service provider metadata.

    It asks for a persistent NameID. Requests leave the choice to the identity provider: some refuse
    a format that they were not set up for.
    """
    described = saml_settings(connection)
    described["sp"]["NameIDFormat"] = C.NAMEID_PERSISTENT
    service = OneLogin_Saml2_Settings(settings=described, sp_validation_only=True)
    metadata = service.get_sp_metadata()
    return metadata if isinstance(metadata, bytes) else str(metadata).encode()


def _here(connection: SSOConnection, posted: dict[str, Any]) -> dict[str, Any]:
    origin = settings.PORTAL_URL
    return {
        "https": "on" if origin.startswith("https://") else "off",
        "http_host": origin.partition("://")[2],
        "script_name": "",
        "path_info": reverse("sso:acs", args=[connection.key]),
        "get_data": {},
        "post_data": posted,
    }


def _message(reason: str) -> str:
    for part, message in REASONS:
        if part.lower() in reason.lower():
            return message
    return "The answer of the identity provider was refused."
