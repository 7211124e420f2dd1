"""Whom to sign in for an identity that an identity provider asserted.

An identity is the connection's key and the subject there, never an address: addresses change and
are reassigned. An address is trusted only in domains that the connection's organization has
verified, so no organization can assert people of another. A subject that is seen for the first time
is linked to the person with that address, or to a new account where new users are accepted.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from allauth.socialaccount.models import SocialAccount
from django.db import transaction
from django.utils import timezone

from apps.access.audit_labels import record_on
from apps.access.models import Role
from apps.access.services import grant, lock_memberships
from apps.accounts.models import User
from apps.accounts.queries import person_with_email
from apps.accounts.services import AddressTaken, change_address, create_passwordless
from apps.core.errors import Refused
from apps.organizations.models import Organization
from apps.organizations.queries import is_member
from apps.sso.connections.newcomers import newcomer_role
from apps.sso.groups.services import follow_groups
from apps.sso.models import SSOConnection
from apps.sso.queries import owns_address

LONGEST_NAME = 150


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The claims of the identity provider, as unverified text."""

    subject: str
    email: str
    name: str
    groups: tuple[str, ...] = ()


@transaction.atomic
def admit(*, connection: SSOConnection, identity: Identity) -> User:
    """Return the person to sign in, created or linked at the first sign-in. Raises Refused."""
    organization = connection.organization
    lock_memberships(on=organization)
    email = identity.email.strip().lower()
    _check_address(connection, email)
    account = SocialAccount.objects.filter(provider=connection.key, uid=identity.subject).first()
    user = account.user if account else person_with_email(email=email)
    if user is None:
        user = _new_person(connection, email, identity.name)
    if not user.is_active:
        raise Refused("This account is deactivated. Ask an owner of your organization.")
    if account is None:
        _link(connection, identity.subject, user)
    else:
        _forget_claims(account)
        if user.email.lower() != email:
            _follow_address(organization, user, email)
    _let_in(connection, user)
    follow_groups(connection=connection, user=user, groups=identity.groups)
    SSOConnection.objects.filter(pk=connection.pk).update(used_at=timezone.now())
    return user


def identity_from(*, subject: str, email: object, name: object, groups: object) -> Identity:
    """Build an identity from claims of any type."""
    if isinstance(groups, str):
        groups = [groups]
    listed = groups if isinstance(groups, Iterable) and not isinstance(groups, dict) else ()
    return Identity(
        subject=subject,
        email=_text(email),
        name=_text(name)[:LONGEST_NAME],
        groups=tuple(sorted({name for one in listed if (name := _text(str(one)[:200]))})),
    )


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        value = value[0] if value else ""
    return " ".join(value.split()) if isinstance(value, str) and value.isprintable() else ""


def _check_address(connection: SSOConnection, email: str) -> None:
    if not email or email.count("@") != 1:
        raise Refused(
            "The identity provider sent no email address. Its administrator has to add one to "
            "what it sends about people."
        )
    if not owns_address(connection=connection, email=email):
        raise Refused(
            f"{email} is not in a verified domain of {connection.organization}, so its identity "
            "provider is not trusted for it. Use an address of the organization, or ask an owner "
            "to verify that domain."
        )


def _new_person(connection: SSOConnection, email: str, name: str) -> User:
    if _role_of_newcomers(connection) is None:
        raise Refused(
            f"{email} has no account here yet, and {connection.organization} lets people in by "
            "invitation. Ask an owner to invite you."
        )
    try:
        user = create_passwordless(email=email, name=name)
    except AddressTaken:
        # A concurrent sign-in at another organization's identity provider created the same person.
        found = person_with_email(email=email)
        if found is None:
            raise
        return found
    changes = {email: [None, f"by {connection.name}"]}
    record_on(action="person.created", actor=None, on=connection.organization, changes=changes)
    return user


def _link(connection: SSOConnection, subject: str, user: User) -> None:
    other = SocialAccount.objects.filter(provider=connection.key, user=user).first()
    if other is not None:
        raise Refused(
            f"{user.email} is linked to another person of this identity provider. If the address "
            "now belongs to another person, ask an owner to remove the account first."
        )
    SocialAccount.objects.create(provider=connection.key, uid=subject, user=user, extra_data={})
    changes = {user.email: [None, connection.name]}
    record_on(action="identity.linked", actor=user, on=connection.organization, changes=changes)


def _forget_claims(account: SocialAccount) -> None:
    """Remove the claims that allauth stored: they are not used, and they are personal data."""
    account.extra_data = {}
    account.save(update_fields=["extra_data"])


def _follow_address(organization: Organization, user: User, email: str) -> None:
    """Take over an address that changed at the identity provider."""
    taken = person_with_email(email=email)
    if taken is not None and taken.pk != user.pk:
        raise Refused(
            f"Your address changed to {email}, which another account has. Ask an owner to remove "
            "the account that is no longer used."
        )
    changes = {"email": [user.email, email]}
    change_address(user=user, email=email)
    record_on(action="person.address_changed", actor=user, on=organization, changes=changes)


def _let_in(connection: SSOConnection, user: User) -> None:
    organization = connection.organization
    if is_member(user=user, organization=organization):
        return
    role = _role_of_newcomers(connection)
    if role is None:
        raise Refused(
            f"{user.email} is not in {organization}, which lets people in by invitation. Ask an "
            "owner to invite you."
        )
    grant(actor=None, user=user, role=role, on=organization)


def _role_of_newcomers(connection: SSOConnection) -> Role | None:
    return newcomer_role(organization=connection.organization, key=connection.default_role)
