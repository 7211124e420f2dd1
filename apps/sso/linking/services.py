"""Links between identities and accounts, and the proof that an account is the person's own."""

from allauth.socialaccount.models import SocialAccount
from django.db import transaction

from apps.access.effective_grants import roles_within
from apps.access.grants.audit_labels import record_on
from apps.access.grants.services import ensure_can_delegate, lock_memberships
from apps.access.queries import forget_permissions
from apps.accounts.models import User
from apps.accounts.sign_in.address_proof import prove_address
from apps.core.errors import Refused
from apps.sso.models import LinkProof, SSOConnection

CHANGED = "The connection was changed meanwhile. Sign in again."


def current(connection: SSOConnection) -> SSOConnection:
    """Return the connection as it is now, under the lock of its organization.

    Raises Refused when it is off or is another identity provider than the one whose answer was
    checked: that one's people are not these.
    """
    lock_memberships(on=connection.organization)
    rows = SSOConnection.objects.select_related("organization", "configured_by")
    found = rows.filter(pk=connection.pk).first()
    if found is None or not found.is_enabled or found.issuer != connection.issuer:
        raise Refused(CHANGED)
    return found


def add_link(
    *, connection: SSOConnection, subject: str, user: User, keep_key: str | None = None
) -> SocialAccount:
    """Link an identity to an account. What was set up before its address was ever proved ends, but
    for the session `keep_key` and the password that opened it. A connection that the account set up
    itself proves nothing.
    """
    account = SocialAccount.objects.create(
        provider=connection.key, uid=subject, user=user, extra_data={}
    )
    if user.pk not in (connection.configured_by_id, connection.approved_by_id):
        prove_address(
            user=user,
            by=f"single sign-on of {connection.organization}",
            keeps_password=keep_key is not None,
            keep_key=keep_key,
        )
    changes = {user.email: [None, connection.name]}
    record_on(action="identity.linked", actor=user, on=connection.organization, changes=changes)
    return account


@transaction.atomic
def link_with_proof(
    *, connection: SSOConnection, subject: str, user: User, keep_key: str | None = None
) -> None:
    """Link an identity to the account of a person who has just proved that it is theirs.

    With `keep_key`, the session that they signed in to, it takes the place of another identity of
    this connection: whoever can sign in to an account may say who they are at the identity
    provider. Mail alone does not, because addresses pass on to other people. Raises Refused.
    """
    connection = current(connection)
    found = SocialAccount.objects.filter(provider=connection.key, uid=subject).first()
    if found is not None and found.user_id != user.pk:
        raise Refused(CHANGED)
    if found is None:
        former = SocialAccount.objects.filter(provider=connection.key, user=user)
        if keep_key is None and former.exists():
            raise Refused(CHANGED)
        for one in former:
            _unlink(user, connection, one)
        found = add_link(connection=connection, subject=subject, user=user, keep_key=keep_key)
    LinkProof.objects.get_or_create(account=found)
    changes = {user.email: ["unproved", "proved"]}
    record_on(action="identity.proved", actor=user, on=connection.organization, changes=changes)


@transaction.atomic
def remove_link(*, actor: User, connection: SSOConnection, account: SocialAccount) -> None:
    """Unlink an identity; the person's next sign-in there links anew. Raises RightsExceeded for
    people who hold permissions that the actor lacks, and Refused for operators.
    """
    lock_memberships(on=connection.organization)
    if account.user.is_operator and not actor.is_operator:
        raise Refused(f"{account.user} is an operator of this installation.")
    # Rights may have changed while this waited for the lock.
    forget_permissions(actor)
    for way in roles_within(user=account.user, on=connection.organization):
        ensure_can_delegate(actor=actor, role=way.role, on=way.held_on)
    _unlink(actor, connection, account)


def _unlink(actor: User, connection: SSOConnection, account: SocialAccount) -> None:
    changes = {account.user.email: [connection.name, None]}
    record_on(action="identity.unlinked", actor=actor, on=connection.organization, changes=changes)
    account.delete()
