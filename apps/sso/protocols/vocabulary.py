"""The names that identity providers have for what they say about people, as they come by default.

Compared without case. The first name that has a usable value wins, so exact ones stand before those
that hold an address only in some set-ups. Sources: the SAML and OpenID Connect pages of Okta,
Microsoft Entra ID, Google Workspace, Keycloak, AD FS, OneLogin, JumpCloud, Auth0, Ping Identity and
Shibboleth.
"""

from collections.abc import Iterator, Mapping
from typing import Any

CLAIMS = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims"
MICROSOFT = "http://schemas.microsoft.com"
EMAIL_NAMES = (
    "email",
    "mail",
    "emailAddress",
    "User.email",
    "urn:oid:0.9.2342.19200300.100.1.3",
    "urn:oid:1.2.840.113549.1.9.1",
    f"{CLAIMS}/emailaddress",
)
# Names of accounts, which Active Directory writes like addresses. Only a directory issues them.
ACCOUNT_NAMES = ("upn", "userPrincipalName", f"{CLAIMS}/upn", f"{CLAIMS}/name")
# Entra ID alone writes the account name into this one; elsewhere people choose it themselves.
ENTRA_ACCOUNT_NAMES = (*ACCOUNT_NAMES, "preferred_username")
ENTRA_ISSUERS = (
    "https://login.microsoftonline.com/",
    "https://login.microsoftonline.us/",
    "https://login.partner.microsoftonline.cn/",
    "https://sts.windows.net/",
)
VERIFIED_NAMES = ("email_verified", "http://schemas.auth0.com/email_verified")
# Whether Entra ID knows the address to be in a domain that its directory has verified: people of
# other directories bring whatever address theirs lets them write.
OWNED_NAMES = ("xms_edov",)
NAME_NAMES = (
    "displayName",
    "name",
    f"{MICROSOFT}/identity/claims/displayname",
    "urn:oid:2.16.840.1.113730.3.1.241",
    "fullName",
    "cn",
    "urn:oid:2.5.4.3",
    f"{CLAIMS}/name",
)
NAME_PARTS = (
    ("given_name", "family_name"),
    ("firstName", "lastName"),
    ("givenName", "surname"),
    ("givenName", "sn"),
    ("User.FirstName", "User.LastName"),
    (f"{CLAIMS}/givenname", f"{CLAIMS}/surname"),
    ("urn:oid:2.5.4.42", "urn:oid:2.5.4.4"),
)
GROUPS_NAMES = (
    "groups",
    "group",
    "memberOf",
    "isMemberOf",
    "urn:oid:1.3.6.1.4.1.5923.1.5.1.1",
    f"{MICROSOFT}/ws/2008/06/identity/claims/groups",
    "http://schemas.xmlsoap.org/claims/Group",
    f"{MICROSOFT}/ws/2008/06/identity/claims/role",
)
# Entra ID sends these in place of groups when a person is in more than it puts into a token.
OVERAGE_NAMES = ("hasgroups", f"{MICROSOFT}/claims/groups.link")
# What the page of a connection lists as understood.
NAMES = (
    ("Email address", (*EMAIL_NAMES, *ACCOUNT_NAMES)),
    ("Name", (*NAME_NAMES, *(" + ".join(both) for both in NAME_PARTS))),
    ("Groups", GROUPS_NAMES),
)
GOOGLE = frozenset({"https://accounts.google.com", "accounts.google.com"})


class Said:
    """What an identity provider said about a person, found by name. Values are of any type."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self._said: dict[str, Any] = {}
        for name, value in said.items():
            self._said.setdefault(str(name).lower(), value)

    def first(self, names: tuple[str, ...]) -> Any:
        """Return the value of the first of these names that has one, None without."""
        return next(self.each(names), None)

    def each(self, names: tuple[str, ...]) -> Iterator[Any]:
        """Yield the values of those of these names that have one."""
        for name in names:
            value = self._said.get(name.lower())
            if value not in (None, "", [], ()):
                yield value

    def texts(self, names: tuple[str, ...]) -> Iterator[str]:
        """Yield the values of those of these names that have a printable one, on one line."""
        for value in self.each(names):
            if text := text_of(value):
                yield text

    @property
    def is_overage(self) -> bool:
        """Whether groups were left out because there are too many."""
        elsewhere = self._said.get("_claim_names")
        left_out = isinstance(elsewhere, Mapping) and "groups" in elsewhere
        return left_out or self.first(OVERAGE_NAMES) not in (None, False, "false", ["false"])


def text_of(value: object) -> str:
    """Return a claim of any type as text on one line, "" for what is no text."""
    if isinstance(value, (list, tuple)):
        value = value[0] if value else ""
    return " ".join(value.split()) if isinstance(value, str) and value.isprintable() else ""


def is_account_name(text: str) -> bool:
    """Return whether a text is the name of an account and not of a person: `u@d` or `D\\u`."""
    return "@" in text or "\\" in text
