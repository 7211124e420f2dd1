"""What the usual identity providers send by default signs in with no configuration.

Each shape is that of the vendor's own documentation for an application that was just added, with
the attributes or claims that its pages suggest.
"""

from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import User
from apps.core.errors import Refused
from apps.organizations.models import Organization
from apps.organizations.teams.services import create_team
from apps.sso.groups.services import map_group
from apps.sso.models import SSOConnection
from apps.sso.provider import NAME_ID
from apps.sso.sign_in.admission import admit
from apps.sso.sign_in.identities import Identity, counts, identity_from
from tests.sso.conftest import Browser

pytestmark = pytest.mark.django_db
UNSPECIFIED = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
EMAIL = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
WINDOWS = "urn:oasis:names:tc:SAML:1.1:nameid-format:WindowsDomainQualifiedName"
XMLSOAP = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims"
MICROSOFT = "http://schemas.microsoft.com"
DANA = "dana@nordhavn.test"

# Name ID format, name ID, attributes, and the name and groups that are read from them.
SAML: dict[str, tuple[str, str, dict[str, Any], str, tuple[str, ...]]] = {
    "Okta, nothing configured": (UNSPECIFIED, DANA, {}, "", ()),
    "Okta, its suggested attributes": (
        UNSPECIFIED,
        DANA,
        {"firstName": "Dana", "lastName": "Lind", "email": DANA, "groups": ["data-eng"]},
        "Dana Lind",
        ("data-eng",),
    ),
    "Entra ID": (
        EMAIL,
        DANA,
        {
            f"{MICROSOFT}/identity/claims/tenantid": "t",
            f"{MICROSOFT}/identity/claims/objectidentifier": "o",
            f"{MICROSOFT}/identity/claims/displayname": "Dana Lind",
            f"{XMLSOAP}/givenname": "Dana",
            f"{XMLSOAP}/surname": "Lind",
            f"{XMLSOAP}/emailaddress": DANA,
            f"{XMLSOAP}/name": DANA,
            f"{MICROSOFT}/ws/2008/06/identity/claims/groups": ["g-1", "g-2"],
        },
        "Dana Lind",
        ("g-1", "g-2"),
    ),
    "Entra ID, a person without a mailbox": (
        PERSISTENT,
        "opaque",
        {f"{XMLSOAP}/givenname": "Dana", f"{XMLSOAP}/surname": "Lind", f"{XMLSOAP}/name": DANA},
        "Dana Lind",
        (),
    ),
    "Google, nothing configured": (UNSPECIFIED, DANA, {}, "", ()),
    "Google, mapped": (
        EMAIL,
        DANA,
        {"firstName": "Dana", "lastName": "Lind", "groups": ["data-eng"]},
        "Dana Lind",
        ("data-eng",),
    ),
    "Keycloak, X500 mappers": (
        UNSPECIFIED,
        "dana",
        {
            "urn:oid:1.2.840.113549.1.9.1": DANA,
            "urn:oid:2.5.4.42": "Dana",
            "urn:oid:2.5.4.4": "Lind",
            "Role": ["offline_access"],
        },
        "Dana Lind",
        (),
    ),
    "Keycloak, group list mapper": (
        UNSPECIFIED,
        "dana",
        {"email": DANA, "member": "x", "group": ["/data-eng"]},
        "",
        ("/data-eng",),
    ),
    "AD FS by UPN": (
        UNSPECIFIED,
        "NORDHAVN\\dana",
        {f"{XMLSOAP}/upn": DANA, f"{XMLSOAP}/name": "NORDHAVN\\dana"},
        "",
        (),
    ),
    "AD FS, LDAP attributes and groups": (
        WINDOWS,
        "NORDHAVN\\dana",
        {
            f"{XMLSOAP}/emailaddress": DANA,
            f"{XMLSOAP}/givenname": "Dana",
            f"{XMLSOAP}/surname": "Lind",
            "http://schemas.xmlsoap.org/claims/Group": ["Domain Users", "data-eng"],
        },
        "Dana Lind",
        ("Domain Users", "data-eng"),
    ),
    "AD FS, groups as roles": (
        EMAIL,
        DANA,
        {f"{MICROSOFT}/ws/2008/06/identity/claims/role": ["data-eng"]},
        "",
        ("data-eng",),
    ),
    "OneLogin": (
        EMAIL,
        DANA,
        {
            "User.email": DANA,
            "User.FirstName": "Dana",
            "User.LastName": "Lind",
            "memberOf": ["data-eng"],
        },
        "Dana Lind",
        ("data-eng",),
    ),
    "JumpCloud": (
        EMAIL,
        DANA,
        {"email": DANA, "firstname": "Dana", "lastname": "Lind", "memberOf": ["data-eng"]},
        "Dana Lind",
        ("data-eng",),
    ),
    "Auth0": (
        UNSPECIFIED,
        "auth0|1",
        {
            f"{XMLSOAP}/nameidentifier": "auth0|1",
            f"{XMLSOAP}/emailaddress": DANA,
            f"{XMLSOAP}/name": "Dana Lind",
            "http://schemas.auth0.com/email_verified": "true",
            "http://schemas.xmlsoap.org/claims/Group": ["data-eng"],
        },
        "Dana Lind",
        ("data-eng",),
    ),
    "PingOne": (
        EMAIL,
        DANA,
        {"email": DANA, "given_name": "Dana", "family_name": "Lind", "memberOf": ["data-eng"]},
        "Dana Lind",
        ("data-eng",),
    ),
    "Shibboleth, a transient name ID": (
        TRANSIENT,
        "_a1",
        {
            "urn:oasis:names:tc:SAML:attribute:subject-id": "dana1@nordhavn.test",
            "urn:oid:0.9.2342.19200300.100.1.3": DANA,
            "urn:oid:2.16.840.1.113730.3.1.241": "Dana Lind",
            "urn:oid:1.3.6.1.4.1.5923.1.5.1.1": ["urn:mace:nordhavn:data-eng"],
        },
        "Dana Lind",
        ("urn:mace:nordhavn:data-eng",),
    ),
}


@pytest.mark.parametrize(
    ("name_format", "subject", "said", "name", "groups"), SAML.values(), ids=SAML
)
def test_saml_of_a_vendor_needs_no_configuration(
    browser: Browser,
    saml: SSOConnection,
    name_format: str,
    subject: str,
    said: dict[str, Any],
    name: str,
    groups: tuple[str, ...],
) -> None:
    joined = {
        key: "</saml:AttributeValue><saml:AttributeValue>".join(value)
        if isinstance(value, list)
        else value
        for key, value in said.items()
    }

    browser.sign_in(format=name_format, subject=subject, attributes=joined)

    found = User.objects.get(pk=browser.user_id)
    assert (found.email, found.name) == (DANA, name)
    listed = {key: value if isinstance(value, list) else [value] for key, value in said.items()}
    identity = identity_from(connection=saml, subject="s", said={**listed, NAME_ID: subject})
    assert identity.groups == groups


OKTA, GOOGLE = "https://nordhavn.okta.test", "https://accounts.google.com"
ENTRA = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0"
OIDC: dict[str, tuple[str, dict[str, Any], str, tuple[str, ...]]] = {
    "Okta": (
        OKTA,
        {"email": DANA, "email_verified": True, "name": "Dana Lind", "preferred_username": DANA},
        "Dana Lind",
        (),
    ),
    "Entra ID": (
        ENTRA,
        {"email": DANA, "name": "Dana Lind", "preferred_username": DANA, "groups": ["g-1"]},
        "Dana Lind",
        ("g-1",),
    ),
    "Entra ID, a person without a mailbox": (
        ENTRA,
        {"name": "Dana Lind", "preferred_username": DANA},
        "Dana Lind",
        (),
    ),
    "Google": (
        GOOGLE,
        {"email": DANA, "email_verified": True, "hd": "nordhavn.test", "name": "Dana Lind"},
        "Dana Lind",
        (),
    ),
    "Keycloak": (
        "https://keycloak.test/realms/a",
        {"email": DANA, "email_verified": True, "name": "Dana Lind", "preferred_username": "dana"},
        "Dana Lind",
        (),
    ),
    "AD FS": (
        "https://adfs.test/adfs",
        {"upn": DANA, "unique_name": "NORDHAVN\\dana", "group": ["data-eng"]},
        "",
        ("data-eng",),
    ),
    "OneLogin": (
        "https://nordhavn.onelogin.test/oidc/2",
        {"email": DANA, "name": "Dana Lind", "groups": ["data-eng"]},
        "Dana Lind",
        ("data-eng",),
    ),
    "JumpCloud": (
        "https://oauth.id.jumpcloud.com/",
        {"email": DANA, "email_verified": True, "given_name": "Dana", "family_name": "Lind"},
        "Dana Lind",
        (),
    ),
    "Auth0": (
        "https://nordhavn.auth0.test/",
        {"email": DANA, "email_verified": True, "name": DANA, "nickname": "dana"},
        "",
        (),
    ),
    "PingOne": (
        "https://auth.pingone.test/e/as",
        {"email": DANA, "given_name": "Dana", "family_name": "Lind"},
        "Dana Lind",
        (),
    ),
}


def at(issuer: str, connection: SSOConnection) -> SSOConnection:
    """Return a connection as if it were one to this issuer."""
    connection.protocol = "openid_connect"
    connection.config = {"issuer": issuer}
    return connection


@pytest.mark.parametrize(("issuer", "claims", "name", "groups"), OIDC.values(), ids=OIDC)
def test_openid_connect_of_a_vendor_needs_no_configuration(
    saml: SSOConnection, issuer: str, claims: dict[str, Any], name: str, groups: tuple[str, ...]
) -> None:
    connection = at(issuer, saml)

    found = identity_from(connection=connection, subject="1", said=claims)

    assert (found.email, found.name, found.groups) == (DANA, name, groups)
    assert counts(connection=connection, identity=found)


@pytest.mark.parametrize(
    ("issuer", "claims"),
    [
        (OKTA, {"email": DANA, "email_verified": False}),
        (OKTA, {"email": DANA, "email_verified": "false"}),
        (OKTA, {"email": DANA, "email_verified": [False]}),
        (OKTA, {"email": DANA, "email_verified": 0}),
        (OKTA, {"email": DANA, "http://schemas.auth0.com/email_verified": "false"}),
        (ENTRA, {"email": DANA, "xms_edov": False}),
        (ENTRA, {"email": DANA, "xms_edov": "0", "email_verified": True}),
        (GOOGLE, {"email": DANA, "email_verified": True}),
        (GOOGLE, {"email": DANA, "email_verified": True, "hd": "evil.test"}),
        (GOOGLE, {"email": DANA, "hd": "nordhavn.test"}),
        (GOOGLE, {"email": DANA, "email_verified": True, "hd": ""}),
    ],
)
def test_an_address_that_is_not_verified_makes_nobody(
    saml: SSOConnection, issuer: str, claims: dict[str, Any]
) -> None:
    connection = at(issuer, saml)

    found = identity_from(connection=connection, subject="1", said=claims)

    assert not counts(connection=connection, identity=found)


@pytest.mark.parametrize(("issuer", "is_counted"), [(OKTA, True), (GOOGLE, False)])
def test_a_reason_of_an_owner_counts_but_not_for_accounts_that_anyone_opens(
    saml: SSOConnection, issuer: str, is_counted: bool
) -> None:
    connection = at(issuer, saml)
    connection.addresses_verified_because = "Only administrators write addresses."
    claims = {"email": DANA, "email_verified": False}

    found = identity_from(connection=connection, subject="1", said=claims)

    assert counts(connection=connection, identity=found) is is_counted


def test_silence_counts_once_an_owner_approved_the_connection(saml: SSOConnection) -> None:
    identity = Identity(subject="1", email=DANA, name="")
    approved = counts(connection=saml, identity=identity)
    saml.approved_at = None

    assert approved
    assert not counts(connection=saml, identity=identity)


def test_what_is_said_of_one_address_says_nothing_of_another(saml: SSOConnection) -> None:
    saml.email_attribute, saml.approved_at = "preferred_username", None
    said = {"email": "mallory@evil.test", "email_verified": True, "preferred_username": DANA}

    found = identity_from(connection=saml, subject="1", said=said)

    assert (found.email, found.is_verified) == (DANA, None)
    assert not counts(connection=saml, identity=found)


@pytest.mark.parametrize("name", ["preferred_username", "username", "nickname"])
def test_a_name_that_people_choose_is_no_address(saml: SSOConnection, name: str) -> None:
    found = identity_from(connection=at(OKTA, saml), subject="1", said={name: DANA})

    assert found.email == ""


def test_a_long_name_of_a_group_is_not_that_of_another(saml: SSOConnection) -> None:
    group = "CN=" + "x" * 200

    found = identity_from(connection=saml, subject="1", said={"groups": [group, "data"]})

    assert found.groups == ("data",)


@pytest.mark.parametrize(
    "said",
    [
        {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "x"}}},
        {"hasgroups": True},
        {"hasgroups": "true"},
        {f"{MICROSOFT}/claims/groups.link": ["https://graph.windows.net/x"]},
        {"hasgroups": True, f"{MICROSOFT}/ws/2008/06/identity/claims/role": ["admin"]},
    ],
)
def test_groups_that_were_left_out_for_being_too_many_are_unknown(
    saml: SSOConnection, said: dict[str, Any]
) -> None:
    assert identity_from(connection=saml, subject="1", said=said).groups is None


@pytest.mark.parametrize("said", [{}, {"_claim_names": {"x": "y"}}, {"hasgroups": False}])
def test_no_groups_are_no_overage(saml: SSOConnection, said: dict[str, Any]) -> None:
    assert identity_from(connection=saml, subject="1", said=said).groups == ()


def test_an_overage_takes_no_team_away_and_is_said(
    browser: Browser,
    new_browser: Callable[[], Browser],
    saml: SSOConnection,
    organization: Organization,
    alice: User,
) -> None:
    team = create_team(actor=alice, organization=organization, name="Data")
    map_group(actor=alice, connection=saml, group="data-eng", team=team)
    browser.sign_in()
    link = {"mail": DANA, f"{MICROSOFT}/claims/groups.link": "https://graph.windows.net/x"}
    new_browser().sign_in(attributes=link)

    assert team.group.user_set.count() == 1
    saml.refresh_from_db()
    assert saml.overage_at


def test_an_unverified_address_opens_no_account(saml: SSOConnection) -> None:
    identity = Identity(subject="1", email=DANA, name="", is_verified=False)

    with pytest.raises(Refused, match="is not verified"):
        admit(connection=saml, identity=identity)

    assert not User.objects.filter(email=DANA).exists()
