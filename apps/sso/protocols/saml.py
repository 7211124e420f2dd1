"""SAML as python3-saml does it, from a connection's row and the portal's own address.

The settings are built here and not by allauth: addresses come from PORTAL_URL, so that a proxy in
front cannot make Destination and Recipient differ, and several certificates are accepted, so that
an identity provider can rotate its key without an outage.
"""

from typing import Any

from lxml import etree
from onelogin.saml2.auth import OneLogin_Saml2_Auth
from onelogin.saml2.constants import OneLogin_Saml2_Constants as C
from onelogin.saml2.metadata import OneLogin_Saml2_Metadata
from onelogin.saml2.settings import OneLogin_Saml2_Settings

from apps.sso.encryption import encryption_key_of
from apps.sso.models import SSOConnection
from apps.sso.protocols.addresses import address_of


def saml_settings(connection: SSOConnection) -> OneLogin_Saml2_Settings:
    """Return python3-saml's settings: SHA-1 is refused, and an assertion must be signed, by itself
    or with the response that it is in.
    """
    config = connection.config
    certificates = config["certificates"]
    return OneLogin_Saml2_Settings(
        {
            "strict": True,
            "security": {
                # python3-saml demands one of both signatures whatever is set here.
                "wantAssertionsSigned": False,
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
                "privateKey": encryption_key_of(connection),
            },
        }
    )


def new_request(connection: SSOConnection) -> OneLogin_Saml2_Auth:
    """Return the builder of a sign-in request."""
    return OneLogin_Saml2_Auth({"get_data": {}, "post_data": {}}, saml_settings(connection))


def service_metadata(connection: SSOConnection) -> bytes:
    """Return the portal's service provider metadata. It states no end: nothing in it changes.

    It asks for a persistent NameID. Requests leave the choice to the identity provider: some refuse
    a format that they were not set up for.
    """
    service = saml_settings(connection).get_sp_data()
    text = OneLogin_Saml2_Metadata.builder(
        {**service, "NameIDFormat": C.NAMEID_PERSISTENT},
        wsign=True,
        valid_until="",
        cache_duration="",
    )
    root = etree.fromstring(text.encode())
    if connection.encryption_certificate:
        root[0].insert(0, _key_for_encryption(connection.encryption_certificate))
    found: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
    return found


def _key_for_encryption(certificate: str) -> Any:
    descriptor = etree.Element(f"{{{C.NS_MD}}}KeyDescriptor", use="encryption")
    info = etree.SubElement(descriptor, f"{{{C.NS_DS}}}KeyInfo", nsmap={"ds": C.NS_DS})
    data = etree.SubElement(info, f"{{{C.NS_DS}}}X509Data")
    body = etree.SubElement(data, f"{{{C.NS_DS}}}X509Certificate")
    body.text = "".join(certificate.split("-----")[2].split())
    return descriptor
