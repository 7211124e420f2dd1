"""Whom to sign in for an identity that an identity provider asserted.

An identity is the connection's key and the subject there, never an address: addresses change and
are reassigned. An address is trusted only in domains that the connection's organization has
verified, so no organization can assert people of another. A subject that is seen for the first time
is linked to the person with that address, or to a new account where new users are accepted.

An account that was there before is linked by its address alone only where an owner approved the
connection and the account is within its reach; all others are proved once (`apps.sso.linking`).
"""

from allauth.socialaccount.models import SocialAccount
from django.db import transaction
from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.access.grants.services import grant
from apps.access.models import Role
from apps.accounts.models import User
from apps.accounts.queries import person_with_email
from apps.accounts.services import AddressTaken, change_address, create_passwordless
from apps.core.errors import Refused
from apps.organizations.queries import is_member
from apps.sso.connections.newcomers import newcomer_role
from apps.sso.groups.services import follow_groups
from apps.sso.linking.reach import is_beyond, is_reached, may_give
from apps.sso.linking.services import add_link, current
from apps.sso.models import SSOConnection
from apps.sso.queries import owns_address
from apps.sso.sign_in.identities import Identity, counts, why_unverified

AGAIN = "Your account was created just now by another sign-in. Sign in again."


class ProofNeeded(Refused):
    """The person has to prove that the account is theirs before this identity signs in to it.

    `replaces` tells that another identity of the connection is linked to it.
    """

    def __init__(self, user: User, *, replaces: bool) -> None:
        super().__init__(f"Confirm that the account {user.email} is yours.")
        self.user = user
        self.replaces = replaces


@transaction.atomic
def admit(*, connection: SSOConnection, identity: Identity) -> User:
    """Return the person to sign in, created or linked at the first sign-in.

    Raises Refused, and ProofNeeded where the account is beyond what the connection reaches by
    itself.
    """
    connection = current(connection)
    email = identity.email.strip().lower()
    _check_address(connection, email)
    account = SocialAccount.objects.filter(provider=connection.key, uid=identity.subject).first()
    user = account.user if account else person_with_email(email=email)
    if user is None:
        user = _new_person(connection, identity, email)
        add_link(connection=connection, subject=identity.subject, user=user)
    else:
        _check_active(user)
        _ensure_reached(connection, identity, account, user)
        if account is None:
            add_link(connection=connection, subject=identity.subject, user=user)
        else:
            _forget_claims(account)
            _follow_address(connection, identity, user, email)
    _let_in(connection, user)
    used = {"used_at": timezone.now()}
    if identity.groups is None:
        used["overage_at"] = timezone.now()
    else:
        follow_groups(connection=connection, user=user, groups=identity.groups)
    SSOConnection.objects.filter(pk=connection.pk).update(**used)
    return user


def _check_active(user: User) -> None:
    if not user.is_active:
        raise Refused("This account is deactivated. Ask an owner of your organization.")


def _ensure_reached(
    connection: SSOConnection, identity: Identity, account: SocialAccount | None, user: User
) -> None:
    """Raise ProofNeeded unless the connection reaches the account, by itself or by a proof."""
    if account is not None:
        if not is_reached(connection=connection, account=account):
            raise ProofNeeded(user, replaces=False)
        return
    replaces = SocialAccount.objects.filter(provider=connection.key, user=user).exists()
    is_counted = counts(connection=connection, identity=identity)
    if replaces or not is_counted or connection.approved_at is None:
        raise ProofNeeded(user, replaces=replaces)
    if is_beyond(connection=connection, user=user):
        raise ProofNeeded(user, replaces=False)


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


def _new_person(connection: SSOConnection, identity: Identity, email: str) -> User:
    if not counts(connection=connection, identity=identity):
        raise Refused(why_unverified(connection=connection, email=email))
    if _role_of_newcomers(connection) is None:
        raise Refused(
            f"{email} has no account here yet, and {connection.organization} lets people in by "
            "invitation. Ask an owner to invite you."
        )
    try:
        user = create_passwordless(email=email, name=identity.name)
    except AddressTaken:
        # A concurrent sign-in at another organization's identity provider created the same person.
        raise Refused(AGAIN) from None
    changes = {email: [None, f"by {connection.name}"]}
    record_on(action="person.created", actor=None, on=connection.organization, changes=changes)
    return user


def _forget_claims(account: SocialAccount) -> None:
    """Remove the claims that allauth stored: they are not used, and they are personal data."""
    account.extra_data = {}
    account.save(update_fields=["extra_data"])


def _follow_address(connection: SSOConnection, identity: Identity, user: User, email: str) -> None:
    """Take over an address that changed at the identity provider and counts.

    Mail to the address resets the password, so it is left alone on accounts that the connection
    does not reach by itself, whatever their owner proved.
    """
    is_counted = counts(connection=connection, identity=identity)
    if user.email.lower() == email or not is_counted or is_beyond(connection=connection, user=user):
        return
    taken = person_with_email(email=email)
    if taken is not None and taken.pk != user.pk:
        raise Refused(
            f"Your address changed to {email}, which another account has. Ask an owner to remove "
            "the account that is no longer used."
        )
    changes = {"email": [user.email, email]}
    change_address(user=user, email=email)
    organization = connection.organization
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
    role = newcomer_role(organization=connection.organization, key=connection.default_role)
    if role is not None and not may_give(connection=connection, role=role):
        raise Refused(
            f"New users of {connection} become {role}, which by now has permissions that whoever "
            f"set the connection up lacks. Ask an owner of {connection.organization} to approve it."
        )
    return role
