"""A SAML identity provider in a few functions: it says what a test wants, signed or not."""

import base64
import uuid
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from lxml import etree
from onelogin.saml2.constants import OneLogin_Saml2_Constants as C
from onelogin.saml2.utils import OneLogin_Saml2_Utils as Utils

ENTITY_ID = "https://idp.nordhavn.test/metadata"
SSO_URL = "https://idp.nordhavn.test/sso"
SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
NS = {"saml": SAML, "samlp": SAMLP, "ds": "http://www.w3.org/2000/09/xmldsig#"}


@dataclass(frozen=True)
class Signer:
    key: str = field(repr=False)
    certificate: str


@cache
def make_signer(name: str = "idp", days: int = 30) -> Signer:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return Signer(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
    )


def metadata(signer: Signer | None = None, *, sso_url: str = SSO_URL, doctype: str = "") -> str:
    body = "".join((signer or make_signer()).certificate.splitlines()[1:-1])
    return f"""{doctype}<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"
 xmlns:ds="{NS["ds"]}" entityID="{ENTITY_ID}"><md:IDPSSODescriptor
 protocolSupportEnumeration="{SAMLP}"><md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data>
<ds:X509Certificate>{body}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
 Location="{sso_url}"/></md:IDPSSODescriptor></md:EntityDescriptor>"""


def request_id(redirect_url: str) -> str:
    """Read the id of the request that the portal sent the browser away with."""
    packed = parse_qs(urlsplit(redirect_url).query)["SAMLRequest"][0]
    return str(etree.fromstring(zlib.decompress(base64.b64decode(packed), -15)).get("ID"))


def answer(*, base: str, asked: str, **changes: Any) -> bytes:
    """Return a response. `base` is the connection's address; `changes` bend it."""
    say: dict[str, Any] = {
        "subject": "7001",
        "format": "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
        "attributes": {"mail": "dana@nordhavn.test", "displayName": "Dana", "groups": "data-eng"},
        "audience": f"{base}metadata/",
        "recipient": f"{base}acs/",
        "destination": f"{base}acs/",
        "issuer": ENTITY_ID,
        "not_before": -60,
        "ends": 300,
        "signed": ("assertion",),
        "signer": make_signer(),
        "signature": C.RSA_SHA256,
        "digest": C.SHA256,
        "doctype": "",
        **changes,
    }
    assertion = _assertion(say, asked)
    if "assertion" in say["signed"]:
        assertion = _signed(assertion, say)
    response = f"""{say["doctype"]}<samlp:Response xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}"
 ID="_{uuid.uuid4().hex}" Version="2.0" IssueInstant="{_at(0)}" Destination="{say["destination"]}"
 {_irt(asked)}><saml:Issuer>{say["issuer"]}</saml:Issuer><samlp:Status><samlp:StatusCode
 Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>{assertion}</samlp:Response>"""
    if "message" in say["signed"]:
        response = _signed(response, say)
    return response.encode()


def _assertion(say: dict[str, Any], asked: str) -> str:
    attributes = "".join(
        f'<saml:Attribute Name="{name}"><saml:AttributeValue>{value}</saml:AttributeValue>'
        "</saml:Attribute>"
        for name, value in say["attributes"].items()
    )
    return f"""<saml:Assertion xmlns:saml="{SAML}" ID="_{uuid.uuid4().hex}" Version="2.0"
 IssueInstant="{_at(0)}"><saml:Issuer>{say["issuer"]}</saml:Issuer><saml:Subject><saml:NameID
 Format="{say["format"]}">{say["subject"]}</saml:NameID><saml:SubjectConfirmation
 Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData
 NotOnOrAfter="{_at(say["ends"])}" Recipient="{say["recipient"]}" {_irt(asked)}/>
</saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="{_at(say["not_before"])}"
 NotOnOrAfter="{_at(say["ends"])}"><saml:AudienceRestriction><saml:Audience>{say["audience"]}
</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement
 AuthnInstant="{_at(0)}"><saml:AuthnContext><saml:AuthnContextClassRef
>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext>
</saml:AuthnStatement><saml:AttributeStatement>{attributes}</saml:AttributeStatement>
</saml:Assertion>""".replace("\n</saml:Audience>", "</saml:Audience>")


def _signed(xml: str, say: dict[str, Any]) -> str:
    signer: Signer = say["signer"]
    signed = Utils.add_sign(
        xml,
        signer.key,
        signer.certificate,
        sign_algorithm=say["signature"],
        digest_algorithm=say["digest"],
    ).decode()
    return str(signed.partition("?>")[2] if signed.startswith("<?xml") else signed).strip()


def _irt(asked: str) -> str:
    return f'InResponseTo="{asked}"' if asked else ""


def _at(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
