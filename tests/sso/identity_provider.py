"""A SAML identity provider in a few functions: it says what a test wants, signed or not."""

import base64
import ipaddress
import os
import uuid
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
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
def make_signer(name: str = "idp", days: int = 30, address: str = "") -> Signer:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = [x509.IPAddress(ipaddress.ip_address(address))] if address else []
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    return Signer(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
    )


def metadata(
    *signers: Signer, sso_url: str = SSO_URL, doctype: str = "", entity_id: str = ENTITY_ID
) -> str:
    keys = "".join(_key(one) for one in signers or (make_signer(),))
    return f"""{doctype}<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"
 xmlns:ds="{NS["ds"]}" entityID="{entity_id}"><md:IDPSSODescriptor
 protocolSupportEnumeration="{SAMLP}">{keys}
<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
 Location="{sso_url}"/></md:IDPSSODescriptor></md:EntityDescriptor>"""


def _key(signer: Signer) -> str:
    body = "".join(signer.certificate.splitlines()[1:-1])
    return f"""<md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{body}
</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"""


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
        "confirms": asked,
        "name_id": None,
        "authenticated": 0,
        "encrypted_for": "",
        **changes,
    }
    assertion = _assertion(say, say["confirms"])
    if "assertion" in say["signed"]:
        assertion = _signed(assertion, say)
    if say["encrypted_for"]:
        assertion = _encrypted(assertion, say["encrypted_for"], **say.get("encryption", {}))
    response = f"""{say["doctype"]}<samlp:Response xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}"
 ID="_{uuid.uuid4().hex}" Version="2.0" IssueInstant="{_at(0)}"
 {_optional("Destination", say["destination"])} {_irt(asked)}
><saml:Issuer>{say["issuer"]}</saml:Issuer><samlp:Status><samlp:StatusCode
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
    if say["name_id"] is None:
        name_id = f'<saml:NameID Format="{say["format"]}">{say["subject"]}</saml:NameID>'
    else:
        name_id = say["name_id"]
    ends = None if say["ends"] is None else _at(say["ends"])
    audiences = "".join(
        f"<saml:AudienceRestriction><saml:Audience>{one}</saml:Audience></saml:AudienceRestriction>"
        for one in ([say["audience"]] if isinstance(say["audience"], str) else say["audience"])
    )
    stated = f"<saml:AttributeStatement>{attributes}</saml:AttributeStatement>"
    return f"""<saml:Assertion xmlns:saml="{SAML}" ID="_{uuid.uuid4().hex}" Version="2.0"
 IssueInstant="{_at(0)}"><saml:Issuer>{say["issuer"]}</saml:Issuer><saml:Subject>{name_id}<saml:SubjectConfirmation
 Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData
 {_optional("NotOnOrAfter", ends)} {_optional("Recipient", say["recipient"])} {_irt(asked)}/>
</saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="{_at(say["not_before"])}"
 {_optional("NotOnOrAfter", ends)}>{audiences}</saml:Conditions><saml:AuthnStatement
 AuthnInstant="{_at(say["authenticated"])}"><saml:AuthnContext><saml:AuthnContextClassRef
>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext>
</saml:AuthnStatement>{stated if attributes else ""}
</saml:Assertion>"""


def _optional(name: str, value: str | None) -> str:
    return "" if value is None else f'{name}="{value}"'


def _encrypted(assertion: str, certificate: str, *, transport: str = "oaep") -> str:
    """Encrypt an assertion as identity providers do: AES in CBC mode, its key by RSA."""
    public = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    key, start = os.urandom(32), os.urandom(16)
    missing = 16 - len(assertion.encode()) % 16
    padded = assertion.encode() + bytes(missing - 1) + bytes([missing])
    encryptor = Cipher(algorithms.AES(key), modes.CBC(start)).encryptor()
    body = base64.b64encode(start + encryptor.update(padded) + encryptor.finalize()).decode()
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303 - its default
    wrapped = public.encrypt(key, oaep if transport == "oaep" else padding.PKCS1v15())
    name = {"oaep": "rsa-oaep-mgf1p", "1.5": "rsa-1_5"}[transport]
    xenc = "http://www.w3.org/2001/04/xmlenc#"
    return f"""<saml:EncryptedAssertion><xenc:EncryptedData xmlns:xenc="{xenc}"
 Type="{xenc}Element"><xenc:EncryptionMethod Algorithm="{xenc}aes256-cbc"/><ds:KeyInfo
 xmlns:ds="{NS["ds"]}"><xenc:EncryptedKey><xenc:EncryptionMethod Algorithm="{xenc}{name}"/>
<xenc:CipherData><xenc:CipherValue>{base64.b64encode(wrapped).decode()}</xenc:CipherValue>
</xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo><xenc:CipherData><xenc:CipherValue>{body}
</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData></saml:EncryptedAssertion>"""


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
