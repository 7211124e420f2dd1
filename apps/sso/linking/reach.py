"""Whom a connection may sign in by itself.

Whoever controls the identity provider controls the accounts that are linked to it. So a connection
reaches by itself no account that may do more than the person who set it up: an owner's approval
makes it reach all people of the organization; operators and people of other organizations are never
reached. They prove once that the account is theirs (`linking.services`).
"""

from allauth.socialaccount.models import SocialAccount

from apps.access.effective_grants import EffectiveGrant, roles_within
from apps.access.grants.services import least_role
from apps.access.models import Role
from apps.access.queries import permissions_held
from apps.accounts.models import User
from apps.organizations.models import Organization, OrganizationGrant
from apps.sso.models import LinkProof, SSOConnection


def is_owner(*, user: User, organization: Organization) -> bool:
    """Return whether a person may do all that an owner of the organization may."""
    owner = Role.objects.get(key="owner", scope="organization", organization=None)
    return permissions_held(user=user, on=organization).issuperset(owner.permissions)


def is_beyond(*, connection: SSOConnection, user: User) -> bool:
    """Return whether a person may do more than the connection reaches by itself."""
    if user.is_operator:
        return True
    elsewhere = OrganizationGrant.objects.live().filter(user=user)
    if elsewhere.exclude(content_object=connection.organization_id).exists():
        return True
    if connection.approved_at is not None:
        return False
    held = roles_within(user=user, on=connection.organization)
    return any(_exceeds(connection, way) for way in held)


def may_give(*, connection: SSOConnection, role: Role) -> bool:
    """Return whether a connection may give new users a role of the organization by itself. What the
    role holds may have grown since it was chosen; what the least role holds, everybody may have.
    """
    if connection.approved_at is not None:
        return True
    maker, organization = connection.configured_by, connection.organization
    held = permissions_held(user=maker, on=organization) if maker else frozenset()
    everyones = frozenset(least_role(on=organization).permissions)
    return frozenset(role.permissions) <= held | everyones


def is_reached(*, connection: SSOConnection, account: SocialAccount) -> bool:
    """Return whether a connection may sign in to the account of a linked identity: because the
    person proved it, or by itself.
    """
    is_proved = LinkProof.objects.filter(account=account).exists()
    return is_proved or not is_beyond(connection=connection, user=account.user)


def _exceeds(connection: SSOConnection, way: EffectiveGrant) -> bool:
    is_organization = isinstance(way.held_on, Organization)
    if is_organization and way.team is None and way.role.key == connection.default_role:
        return not may_give(connection=connection, role=way.role)
    maker = connection.configured_by
    if maker is None:
        return True
    return not permissions_held(user=maker, on=way.held_on).issuperset(way.role.permissions)
