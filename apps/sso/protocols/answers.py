"""What a signed SAML response says, after python3-saml has accepted it and a few stricter checks.

python3-saml compares what is there and lets pass what is missing, and compares the beginning of
addresses. The web browser profile demands more (Profiles for SAML 2.0, section 4.1.4): an audience,
and a confirmation that names recipient, end and request. All of it is read from the one assertion,
which its own signature or that of the response covers. The response around a signed assertion
proves nothing, so the request that is answered is taken from the assertion.
"""

import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.urls import reverse
from lxml.etree import XMLSyntaxError
from onelogin.saml2.constants import OneLogin_Saml2_Constants as C
from onelogin.saml2.errors import OneLogin_Saml2_Error, OneLogin_Saml2_ValidationError
from onelogin.saml2.response import OneLogin_Saml2_Response
from onelogin.saml2.utils import OneLogin_Saml2_Utils as Utils
from onelogin.saml2.utils import xmlsec
from onelogin.saml2.xml_utils import OneLogin_Saml2_XML as XML
from onelogin.saml2.xmlparser import DTDForbidden, EntitiesForbidden

from apps.sso.models import SSOConnection
from apps.sso.protocols.failures import ERROR_SENT, TOO_EARLY, TOO_LATE, UNKNOWN_SIGNER, BadAnswer
from apps.sso.protocols.saml import saml_settings

UNREADABLE = "The answer of the identity provider cannot be read: it is not SAML."
DOCTYPE = "The answer of the identity provider declares a document type, which is never accepted."
# One sentence whatever is wrong with an encrypted answer: telling a wrong padding from a wrong
# signature would let an attacker decrypt an assertion by asking (“How to Break XML Encryption”).
ENCRYPTED = (
    "The encrypted answer of the identity provider was refused. Check that it encrypts for the "
    "certificate of this connection, with AES and RSA-OAEP; the portal's log has the reason."
)
NO_KEY = (
    "The answer is encrypted, and this connection has no certificate for that. An owner of your "
    "organization has to save the connection once more and register its metadata again."
)
ELSEWHERE = "The answer is meant for another address: check the ACS URL."
OTHER_AUDIENCE = "The answer is meant for another application: check the audience."
NOT_SIGNED = "The answer is not signed as this connection requires."
OLD_HASH = "The answer is signed with SHA-1: choose SHA-256."
NO_NAME = (
    "The answer names no person: the identity provider has to send a name ID that is not empty."
)
OTHER_NAME = (
    "The name ID of the answer is for another application: the identity provider has to leave out "
    "SPNameQualifier, or send the entity ID of this connection in it."
)
# Errors of python3-saml, shortened to what an administrator of the identity provider can act on.
REASONS = (
    ("expired", TOO_LATE),
    ("not yet valid", TOO_EARLY),
    ("is not a valid audience", OTHER_AUDIENCE),
    ("Invalid issuer", "The answer names another issuer than the metadata of this connection."),
    ("was received at", ELSEWHERE),
    ("Destination", ELSEWHERE),
    ("Signature validation failed", UNKNOWN_SIGNER),
    ("not signed", NOT_SIGNED),
    ("No Signature found", NOT_SIGNED),
    ("Deprecated signature", OLD_HASH),
    ("Deprecated digest", OLD_HASH),
    ("A valid SubjectConfirmation", "The answer is for another address, or it came too late."),
    ("status code of the Response", ERROR_SENT),
    ("NameID not found", NO_NAME),
    ("empty NameID", NO_NAME),
    ("SPNameQualifier", OTHER_NAME),
)
UNUSUAL = (
    "The signature of the answer is made in a way that SAML has no use for: the identity provider "
    "has to sign one element, with exclusive canonicalization."
)
# What signatures in SAML need (Core 5.4.4). Others are programs of whoever sends them: a stylesheet
# or a path runs for as long as it likes, before a signature is known to be good.
TRANSFORMS = frozenset(
    {
        "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
        "http://www.w3.org/2001/10/xml-exc-c14n#",
        "http://www.w3.org/2001/10/xml-exc-c14n#WithComments",
        "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
        "http://www.w3.org/2006/12/xml-c14n11",
    }
)
RSA_1_5 = "http://www.w3.org/2001/04/xmlenc#rsa-1_5"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A believed assertion. `asked` is the id of the request that it answers; times in Unix
    seconds.
    """

    issuer: str
    assertion_id: str
    asked: str
    subject: str
    name_format: str
    attributes: dict[str, list[str]]
    authenticated_at: int
    ends_at: int


def read_answer(connection: SSOConnection, text: str) -> Answer:
    """Check a SAML response in base64 and return what it says; raises BadAnswer with a remedy."""
    try:
        document = XML.to_etree(Utils.b64decode(text))
    except (DTDForbidden, EntitiesForbidden):
        raise BadAnswer(DOCTYPE, "document type declared") from None
    except (binascii.Error, XMLSyntaxError, ValueError, TypeError) as error:
        raise BadAnswer(UNREADABLE, type(error).__name__) from None
    _check_signatures(document)
    if not document.findall("saml:EncryptedAssertion", C.NSMAP):
        return _checked(connection, text)
    if not connection.encryption_key:
        raise BadAnswer(NO_KEY, "encrypted assertion, no key")
    try:
        _refuse_old_encryption(document)
        return _checked(connection, text)
    except BadAnswer as error:
        raise BadAnswer(ENCRYPTED, error.reason) from None


def _checked(connection: SSOConnection, text: str) -> Answer:
    described = saml_settings(connection)
    try:
        response = OneLogin_Saml2_Response(described, text)
        _check_signatures(response.get_xml_document())
        is_valid = response.is_valid(_here(connection))
        if not is_valid:
            raise _bad(response.get_error() or "not valid")
        return _answer(response, described, connection)
    except (OneLogin_Saml2_ValidationError, OneLogin_Saml2_Error) as error:
        raise _bad(str(error)) from None
    except (XMLSyntaxError, xmlsec.Error, ValueError, TypeError) as error:
        raise BadAnswer(UNREADABLE, type(error).__name__) from None


def _answer(response: OneLogin_Saml2_Response, described: Any, connection: SSOConnection) -> Answer:
    document = response.get_xml_document()
    [assertion] = document.findall("saml:Assertion", C.NSMAP)
    here = described.get_sp_data()["assertionConsumerService"]["url"]
    if document.get("Destination") != here:
        raise BadAnswer(ELSEWHERE, "Destination is not this address")
    _check_audience(assertion, described.get_sp_data()["entityId"])
    confirmation = _confirmation(assertion, here)
    asked = confirmation.get("InResponseTo") or ""
    if document.get("InResponseTo", asked) != asked:
        raise BadAnswer(ELSEWHERE, "InResponseTo of response and assertion differ")
    name = response.get_nameid_data()
    return Answer(
        issuer=connection.issuer,
        assertion_id=assertion.get("ID") or "",
        asked=asked,
        subject=name["Value"],
        name_format=name.get("Format", ""),
        attributes=dict(_attributes(response)),
        authenticated_at=_time(assertion.find("saml:AuthnStatement", C.NSMAP).get("AuthnInstant")),
        ends_at=_time(confirmation.get("NotOnOrAfter")),
    )


def _check_audience(assertion: Any, entity_id: str) -> None:
    """Demand that every restriction names the portal, and that there is one."""
    restrictions = assertion.findall("saml:Conditions/saml:AudienceRestriction", C.NSMAP)
    named = [
        [XML.element_text(one) for one in each.findall("saml:Audience", C.NSMAP)]
        for each in restrictions
    ]
    if not named or not all(entity_id in audiences for audiences in named):
        raise BadAnswer(OTHER_AUDIENCE, "no audience restriction names this connection")


def _confirmation(assertion: Any, here: str) -> Any:
    """Return the confirmation of a bearer that is for this address, this minute and a request."""
    reasons = ["no confirmation for bearers"]
    for one in assertion.findall("saml:Subject/saml:SubjectConfirmation", C.NSMAP):
        data = one.find("saml:SubjectConfirmationData", C.NSMAP)
        if one.get("Method") != C.CM_BEARER or data is None:
            continue
        if data.get("Recipient") != here:
            reasons.append("Recipient is not this address")
        elif not data.get("NotOnOrAfter"):
            reasons.append("a confirmation without an end")
        elif _time(data.get("NotOnOrAfter")) <= Utils.now():
            reasons.append("a confirmation that has ended")
        elif data.get("InResponseTo"):
            return data
        else:
            reasons.append("a confirmation that answers no request")
    raise BadAnswer(_message("A valid SubjectConfirmation"), reasons[-1])


def _attributes(response: OneLogin_Saml2_Response) -> Iterator[tuple[str, list[str]]]:
    for name, values in response.get_attributes().items():
        yield name, [one for one in values if isinstance(one, str)]


def _check_signatures(document: Any) -> None:
    """Refuse, before any is verified, signatures over more than one element here, and what lets
    others than the portal say what is computed or fetched.
    """
    for one in document.iterfind(".//ds:Transform", C.NSMAP):
        if one.get("Algorithm") not in TRANSFORMS:
            raise BadAnswer(UNUSUAL, "a transform that SAML does not use")
    for signed in document.iterfind(".//ds:SignedInfo", C.NSMAP):
        if len(signed.findall("ds:Reference", C.NSMAP)) != 1:
            raise BadAnswer(UNUSUAL, "a signature over several elements")
    if document.find(".//xenc:CipherReference", C.NSMAP) is not None:
        raise BadAnswer(UNUSUAL, "encrypted data elsewhere")
    for name in ("Reference", "RetrievalMethod"):
        for one in document.iterfind(f".//ds:{name}", C.NSMAP):
            if (one.get("URI") or "#")[0] != "#":
                raise BadAnswer(UNUSUAL, f"a {name} to elsewhere")


def _refuse_old_encryption(document: Any) -> None:
    """Refuse RSA 1.5 before anything is decrypted: its padding can be asked for, too."""
    for method in document.iterfind(".//xenc:EncryptionMethod", C.NSMAP):
        if method.get("Algorithm") == RSA_1_5:
            raise BadAnswer(ENCRYPTED, "key transport by RSA 1.5")


def _time(text: str | None) -> int:
    return int(Utils.parse_SAML_to_time(text))


def _here(connection: SSOConnection) -> dict[str, Any]:
    origin = settings.PORTAL_URL
    return {
        "https": "on" if origin.startswith("https://") else "off",
        "http_host": origin.partition("://")[2],
        "script_name": "",
        "path_info": reverse("sso:acs", args=[connection.key]),
        "get_data": {},
        "post_data": {},
    }


def _bad(reason: str) -> BadAnswer:
    return BadAnswer(_message(reason), reason[:500])


def _message(reason: str) -> str:
    for part, message in REASONS:
        if part.lower() in reason.lower():
            return message
    return "The answer of the identity provider was refused."
