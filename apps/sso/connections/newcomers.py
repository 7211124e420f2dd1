"""The default role of new users of an identity provider: an organization role, custom or built-in,
that its administrator may assign; never owner.
"""

from django.db.models import Q

from apps.access.grants.services import ensure_can_delegate
from apps.access.models import Role
from apps.access.queries import permissions_held, roles_for
from apps.accounts.models import User
from apps.core.errors import Invalid
from apps.organizations.models import Organization

OWNER = "owner"


def newcomer_role(*, organization: Organization, key: str) -> Role | None:
    """Return the default role of new users; None when they must be invited, also when the role was
    deleted.
    """
    known = Role.objects.filter(
        Q(organization=None) | Q(organization=organization), scope="organization"
    )
    return known.filter(key=key).exclude(key=OWNER).first()


def roles_of_newcomers(*, actor: User, organization: Organization, key: str = "") -> list[Role]:
    """List the roles that the actor may choose as default role, and the present one."""
    within = permissions_held(user=actor, on=organization)
    return [
        role
        for role in roles_for(on=organization)
        if role.key != OWNER and (role.key == key or within.issuperset(role.permissions))
    ]


def check_newcomer_role(*, actor: User, organization: Organization, key: str) -> None:
    """Raise Invalid or RightsExceeded unless the actor may assign new users this role."""
    if not key:
        return
    role = newcomer_role(organization=organization, key=key)
    if role is None:
        raise Invalid("New users cannot get this role. Choose another one.", field="default_role")
    ensure_can_delegate(actor=actor, role=role, on=organization)


def newcomers_in_words(*, organization: Organization, key: str) -> str:
    """Label the default role of new users for the audit log."""
    role = newcomer_role(organization=organization, key=key)
    return role.name if role else "must be invited"
