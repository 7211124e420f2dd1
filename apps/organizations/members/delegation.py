"""Whom a delegated channel may touch. A provisioning token and a single sign-on connection act for
the person who made or approved them, for years, through whoever runs the identity provider. So they
may do to people what that person may do at the time, and never more.

What every member of the organization may do does not count: else a role that may only set up
provisioning could not provision anybody.
"""

from apps.access.effective_grants import EffectiveGrant, all_roles
from apps.access.grants.services import least_role
from apps.access.queries import forget_permissions, permissions_held
from apps.access.scopes import organization_over
from apps.accounts.models import User, UserKind
from apps.core.errors import Refused
from apps.organizations.models import Organization


class OutOfReach(Refused):
    """A delegated channel may not touch this person."""


def why_out_of_reach(*, user: User, maker: User | None, organization: Organization) -> str:
    """Return why a channel may not change what a person is in the organization, empty if it may.

    `maker` is who made or approved the channel; None, or a person who is deactivated or has left,
    has no rights left to delegate. Operators are out of reach of every channel. The rights of both
    are those of now: of a maker who lost some, the lesser ones count.
    """
    return _why(user, maker, [one for one in all_roles(user=user) if _is_in(one, organization)])


def why_account_out_of_reach(*, user: User, maker: User | None, organization: Organization) -> str:
    """Return why a channel may not touch the account itself, empty if it may: its address, its
    name, whether it is open, and the first link to an identity.

    An account is one for the whole portal, so besides what `why_out_of_reach` asks, it must have no
    role in another organization.
    """
    roles = all_roles(user=user)
    reason = _why(user, maker, [one for one in roles if _is_in(one, organization)])
    if reason or all(_is_in(one, organization) for one in roles):
        return reason
    return f"{user.email} is also in another organization, which shares the account."


def is_elsewhere(*, user: User, organization: Organization) -> bool:
    """Return whether a person holds a live role in another organization."""
    return not all(_is_in(one, organization) for one in all_roles(user=user))


def _why(user: User, maker: User | None, roles: list[EffectiveGrant]) -> str:
    if user.kind != UserKind.PERSON:
        return f"{user} is not a person."
    if user.is_operator:
        return (
            f"{user.email} is an operator of this installation, and operators are managed by hand."
        )
    if maker is not None:
        forget_permissions(maker)
    if any(_exceeds(one, maker) for one in roles):
        made_by = maker.email if maker is not None else "the account that set this up"
        return f"{user.email} has permissions that {made_by} lacks."
    return ""


def _exceeds(grant: EffectiveGrant, maker: User | None) -> bool:
    everyones = frozenset(least_role(on=organization_over(grant.held_on)).permissions)
    held = permissions_held(user=maker, on=grant.held_on) if maker is not None else frozenset()
    return not frozenset(grant.role.permissions) <= held | everyones


def _is_in(grant: EffectiveGrant, organization: Organization) -> bool:
    return bool(organization_over(grant.held_on).pk == organization.pk)
