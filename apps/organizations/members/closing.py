"""Deactivating, by owners of an organization, the account of a person who is in no other one.

A closed account signs in nowhere: its sessions end at once, and so do the API tokens whose secret
that person made. Roles and Teams stay for the day it is opened again.
"""

from django.db import transaction

from apps.access.effective_grants import roles_within
from apps.access.grants.audit_labels import record_on
from apps.access.grants.services import ensure_can_delegate, keep_an_owner, lock_memberships
from apps.access.queries import forget_permissions
from apps.accounts.models import User
from apps.accounts.services import deactivate_person, reactivate_person
from apps.core.errors import Refused
from apps.organizations.models import Organization, OrganizationGrant


@transaction.atomic
def close_account(*, actor: User, user: User, organization: Organization) -> None:
    """Deactivate a person's account. Safe to repeat.

    Raises Refused for oneself, for operators and for people of other organizations, LastOwner, and
    RightsExceeded for people who hold permissions that the actor lacks.
    """
    lock_memberships(on=organization)
    _check(actor, user, organization)
    keep_an_owner(on=organization, leaving=user)
    deactivate_person(user=user)
    changes = {f"account of {user.email}": ["open", "closed"]}
    record_on(action="account.closed", actor=actor, on=organization, changes=changes)


@transaction.atomic
def reopen_account(*, actor: User, user: User, organization: Organization) -> None:
    """Reactivate a person's account, with the roles they hold. Raises as `close_account` does."""
    lock_memberships(on=organization)
    _check(actor, user, organization)
    reactivate_person(user=user)
    changes = {f"account of {user.email}": ["closed", "open"]}
    record_on(action="account.reopened", actor=actor, on=organization, changes=changes)


def why_not_closable(*, actor: User, user: User, organization: Organization) -> str:
    """Return why an owner here may not deactivate this account, empty when they may."""
    if user == actor:
        return "You cannot deactivate your own account."
    if user.is_operator:
        return f"{user} is an operator of this installation and cannot be deactivated here."
    elsewhere = OrganizationGrant.objects.live().filter(user=user)
    if elsewhere.exclude(content_object=organization).exists():
        return f"{user} is also in other organizations. Remove them from this one instead."
    return ""


def _check(actor: User, user: User, organization: Organization) -> None:
    reason = why_not_closable(actor=actor, user=user, organization=organization)
    if reason:
        raise Refused(reason)
    # Rights may have changed while this waited for the lock.
    forget_permissions(actor)
    for way in roles_within(user=user, on=organization):
        ensure_can_delegate(actor=actor, role=way.role, on=way.held_on)
