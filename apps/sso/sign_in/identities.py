"""What an identity provider said, read as an identity.

What it says is text of unknown type and origin. A verified address is a matter of its own: many
providers let people write any address into their profile.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.sso.models import SSOConnection
from apps.sso.protocols import vocabulary
from apps.sso.protocols.vocabulary import Said, is_account_name, text_of
from apps.sso.provider import NAME_ID
from apps.sso.queries import domain_of, is_domain_of

LONGEST_NAME = 150
LONGEST_GROUP = 200
TRUE = frozenset({"true", "1", "yes"})


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The claims of the identity provider, as unverified text.

    `groups` is None when they were left out for being too many. `is_verified` is what the provider
    says of the address, None when it says nothing.
    """

    subject: str
    email: str
    name: str
    groups: tuple[str, ...] | None = ()
    is_verified: bool | None = None


def identity_from(*, connection: SSOConnection, subject: str, said: Mapping[str, Any]) -> Identity:
    """Read an identity from attributes or claims, by the connection's names or the usual ones."""
    found = Said(said)
    email, is_verified = _address(connection, found)
    return Identity(
        subject=subject,
        email=email,
        name=_name(connection, found),
        groups=_groups(connection, found),
        is_verified=is_verified,
    )


def _address(connection: SSOConnection, said: Said) -> tuple[str, bool | None]:
    if connection.email_attribute:
        email = text_of(said.first((connection.email_attribute,)))
    else:
        email = _usual_address(connection, said)
    is_verified = _verified(said.first(vocabulary.VERIFIED_NAMES))
    is_stated = email in said.texts(vocabulary.EMAIL_NAMES)
    if is_verified and not is_stated:
        # It is said of another address than the one that was chosen here.
        is_verified = None
    if is_stated and _verified(said.first(vocabulary.OWNED_NAMES)) is False:
        is_verified = False
    if connection.issuer in vocabulary.GOOGLE:
        # Anyone can open an account at Google with the address of another company. Only this claim
        # says that the organization itself manages the account.
        is_theirs = is_domain_of(
            organization=connection.organization, name=text_of(said.first(("hd",)))
        )
        is_verified = bool(is_verified) and is_theirs
    return email, is_verified


def _usual_address(connection: SSOConnection, said: Said) -> str:
    stated = next(said.texts(vocabulary.EMAIL_NAMES), "")
    if stated:
        return stated
    is_entra = connection.issuer.startswith(vocabulary.ENTRA_ISSUERS)
    names = vocabulary.ENTRA_ACCOUNT_NAMES if is_entra else vocabulary.ACCOUNT_NAMES
    accounts = said.texts((*names, NAME_ID))
    return next((one for one in accounts if one.count("@") == 1), "")


def _verified(value: object) -> bool | None:
    if isinstance(value, (list, tuple)):
        value = value[0] if value else None
    if value is None:
        return None
    return value is True or str(value).strip().lower() in TRUE


def _name(connection: SSOConnection, said: Said) -> str:
    if connection.name_attribute:
        return text_of(said.first((connection.name_attribute,)))[:LONGEST_NAME]
    whole = (one for one in said.texts(vocabulary.NAME_NAMES) if not is_account_name(one))
    parts = (
        " ".join(part for name in both for part in said.texts((name,)))
        for both in vocabulary.NAME_PARTS
    )
    return next((one for found in (whole, parts) for one in found if one), "")[:LONGEST_NAME]


def _groups(connection: SSOConnection, said: Said) -> tuple[str, ...] | None:
    names = (connection.groups_attribute,) if connection.groups_attribute else ()
    groups = said.first(names or vocabulary.GROUPS_NAMES)
    if said.is_overage and said.first((*names, *vocabulary.GROUPS_NAMES[:-1])) is None:
        return None
    if isinstance(groups, str):
        groups = [groups]
    listed = groups if isinstance(groups, Iterable) and not isinstance(groups, dict) else ()
    # A shortened name could be that of another group.
    texts = (text_of(str(one)) for one in listed)
    return tuple(sorted({one for one in texts if one and len(one) <= LONGEST_GROUP}))


def counts(*, connection: SSOConnection, identity: Identity) -> bool:
    """Return whether the identity's address may be taken for that of the person.

    If the provider says nothing of it, an owner must have approved the connection: SAML has no word
    for it, and several providers leave the claim out. If it says that the address is not verified,
    an owner must have written why it is.
    """
    if connection.issuer in vocabulary.GOOGLE:
        return bool(identity.is_verified)
    if identity.is_verified is None:
        return connection.approved_at is not None
    return identity.is_verified or bool(connection.addresses_verified_because)


def why_unverified(*, connection: SSOConnection, email: str) -> str:
    """Return the sentence about an address that does not count."""
    if connection.issuer in vocabulary.GOOGLE:
        return (
            f"Google does not say that {domain_of(email)} manages the account of {email}. Sign in "
            "with an account of your organization's Google Workspace."
        )
    if connection.approved_at is None:
        return (
            f"The identity provider does not say that {email} is verified, and no owner has "
            f"approved this connection. Ask an owner of {connection.organization} to approve it."
        )
    return (
        f"The identity provider says that {email} is not verified. Verify it there, or ask an "
        f"owner of {connection.organization} to state in the connection why its addresses are."
    )
