"""Grant and revoke roles. Grants are written here alone, by `upsert_grant` and `delete_grants`;
those of Teams, too.
"""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.access.grants.audit_labels import holder_in_words, record_on, role_in_words, role_of
from apps.access.grants.expiry import delete_expired
from apps.access.models import Role
from apps.access.queries import forget_permissions, permissions_held
from apps.access.scopes import (
    Scoped,
    grant_model,
    models_with_roles,
    organization_over,
    with_ancestors,
)
from apps.accounts.models import User, UserKind
from apps.core.errors import Refused


class RightsExceeded(Refused):
    """Assigning or revoking a role needs every permission that the role holds."""


class LastOwner(Refused):
    """An organization keeps an owner who holds the role in person and without an expiry."""


class RoleNotApplicable(Refused):
    """A role cannot be held on this object, or not by this holder."""


@transaction.atomic
def grant(
    *, actor: User | None, user: User, role: Role, on: Scoped, expires_at: datetime | None = None
) -> None:
    """Assign `user` the role on the object, in place of a role held there before, until
    `expires_at` or without an expiry.

    One role per person and object keeps the answer to "what may this person do here" a single word;
    permissions of several objects add up. `actor` None is the portal itself. Raises RightsExceeded,
    LastOwner and RoleNotApplicable.
    """
    lock_memberships(on=on)
    if actor is not None:
        forget_permissions(actor)
    _keep_an_owner(on, leaving=user, next_role=role, expires_at=expires_at)
    previous = upsert_grant(
        grants=grant_model(type(on)).objects,
        holder={"user": user},
        actor=actor,
        role=role,
        on=on,
        expires_at=expires_at,
    )
    forget_permissions(user)
    changes = {role_of(user): [previous, role_in_words(role, expires_at)]}
    record_on(action="role.granted", actor=actor, on=on, changes=changes)


@transaction.atomic
def grant_with_entry(
    *, actor: User | None, user: User, role: Role, on: Scoped, expires_at: datetime | None = None
) -> None:
    """Grant the role, and the least role on each object above where the user holds none that lasts
    as long, from the top down.

    A role on a Deployment is of no use to a person who cannot enter its workspace. Raises as
    `grant` does.
    """
    for above in reversed(with_ancestors(on)[1:]):
        least = least_role(on=above)
        held = grant_model(type(above)).objects.live().filter(user=user, content_object=above)
        if not held.filter(_lasts(expires_at) | ~Q(permission=least.permission)).exists():
            grant(actor=actor, user=user, role=least, on=above, expires_at=expires_at)
    grant(actor=actor, user=user, role=role, on=on, expires_at=expires_at)


@transaction.atomic
def revoke(*, actor: User | None, user: User, on: Scoped) -> None:
    """Revoke the role of `user` on the object itself. Raises RightsExceeded or LastOwner."""
    lock_memberships(on=on)
    if actor is not None:
        forget_permissions(actor)
    _keep_an_owner(on, leaving=user, next_role=None)
    delete_grants(
        grants=grant_model(type(on)).objects,
        holder={"user": user},
        label=role_of(user),
        # People may give up their own roles.
        actor=actor,
        is_free=actor == user,
        on=on,
    )
    forget_permissions(user)


@transaction.atomic
def revoke_everywhere(*, actor: User | None, user: User, on: Scoped) -> None:
    """Revoke every role that `user` holds on the object and on all that lies in it. Raises as
    `revoke` does.

    What lies in it is found through the models that roles exist for and their `access_paths`.
    """
    revoke(actor=actor, user=user, on=on)
    scope = type(on).access_scope
    for model in models_with_roles():
        path = model.access_paths.get(scope)
        if not path:
            continue
        grants = grant_model(model).objects.filter(user=user, **{f"content_object__{path}": on})
        delete_expired(grants)
        for one in grants.select_related("permission__role", "content_object"):
            if actor is not None and actor != user:
                ensure_can_delegate(actor=actor, role=one.role, on=one.content_object)
            _record_revoked(actor, role_of(user), one, one.content_object)
        grants.delete()
    forget_permissions(user)


@transaction.atomic
def cap_expiry(*, actor: User | None, user: User, within: Scoped, expires_at: datetime) -> None:
    """Limit every role of `user` on what lies in the object to a time; roles that expire earlier
    stay as they are. Raises RightsExceeded.
    """
    scope = type(within).access_scope
    for model in models_with_roles():
        path = model.access_paths.get(scope)
        if not path:
            continue
        grants = grant_model(model).objects.filter(user=user, **{f"content_object__{path}": within})
        longer = grants.filter(Q(expires_at=None) | Q(expires_at__gt=expires_at))
        for one in longer.select_related("user", "permission__role", "content_object"):
            if actor is not None:
                ensure_can_delegate(actor=actor, role=one.role, on=one.content_object)
            before, after = (role_in_words(one.role, at) for at in (one.expires_at, expires_at))
            changes = {holder_in_words(one): [before, after]}
            record_on(action="role.granted", actor=actor, on=one.content_object, changes=changes)
        longer.update(expires_at=expires_at)


def upsert_grant(
    *,
    grants: Any,
    holder: dict[str, Any],
    actor: User | None,
    role: Role,
    on: Scoped,
    expires_at: datetime | None,
) -> str | None:
    """Write a grant of `holder`; return the label of the role it replaces, None if there was none.

    Raises RightsExceeded and RoleNotApplicable.
    """
    if actor is not None:
        ensure_can_delegate(actor=actor, role=role, on=on)
    ensure_applicable(role=role, on=on)
    here = grants.filter(content_object=on, **holder)
    written = {"granted_by": actor, "granted_at": timezone.now(), "expires_at": expires_at}
    # Callers hold the lock, so no other transaction adds a grant in between.
    if not here.exists():
        grants.create(**holder, permission=role.permission, content_object=on, **written)
        return None
    delete_expired(here)
    previous = here.select_related("permission__role").first()
    if previous is not None and actor is not None:
        ensure_can_delegate(actor=actor, role=previous.role, on=on)
    here.exclude(permission=role.permission).delete()
    grants.update_or_create(
        **holder, permission=role.permission, content_object=on, defaults=written
    )
    return role_in_words(previous.role, previous.expires_at) if previous else None


def delete_grants(
    *,
    grants: Any,
    holder: dict[str, Any],
    label: str,
    actor: User | None,
    is_free: bool,
    on: Scoped,
) -> None:
    """Delete the grants of `holder` on the object itself. `is_free` skips the check of permissions,
    for one's own roles.

    Raises RightsExceeded.
    """
    held = grants.filter(content_object=on, **holder)
    delete_expired(held)
    for one in held.select_related("permission__role"):
        if actor is not None and not is_free:
            ensure_can_delegate(actor=actor, role=one.role, on=on)
        _record_revoked(actor, label, one, on)
    held.delete()


def _lasts(until: datetime | None) -> Q:
    return Q(expires_at=None) | (Q(expires_at__gte=until) if until else Q(pk__in=[]))


def lock_memberships(*, on: Scoped) -> None:
    """Serialize changes of grants and members of one organization.

    Decisions that depend on grants (the last owner, membership, what the actor may delegate) are
    made after taking this lock. Rows that only refer to the organization are not blocked.
    """
    organization = organization_over(on)
    manager = type(organization)._default_manager
    manager.select_for_update(no_key=True).get(pk=organization.pk)


def ensure_can_delegate(*, actor: User, role: Role, on: Scoped) -> None:
    """Raise RightsExceeded when the role holds permissions that the actor does not have there."""
    missing = frozenset(role.permissions) - permissions_held(user=actor, on=on)
    if missing:
        raise RightsExceeded(
            f"You cannot assign or remove the role {role.name}: it has permissions that you lack."
        )


def ensure_applicable(*, role: Role, on: Scoped) -> None:
    """Raise RoleNotApplicable for a role of another organization or limited to other workspaces."""
    if role.organization_id is None:
        return
    chain = with_ancestors(on)
    if role.organization_id != chain[-1].pk:
        raise RoleNotApplicable(f"{role.name} belongs to another organization.")
    if role.is_limited:
        near = [one.pk for one in chain if type(one).access_scope == "workspace"]
        if not role.workspaces.filter(pk__in=near).exists():
            raise RoleNotApplicable(f"The role {role.name} is limited to other workspaces.")


def least_role(*, on: Scoped) -> Role:
    """Return the least built-in role of the object's scope."""
    roles = Role.objects.filter(scope=type(on).access_scope, organization=None)
    return roles.order_by("rank")[0]


def keep_an_owner(*, on: Scoped, leaving: User) -> None:
    """Raise LastOwner unless another person is owner in person and without an expiry."""
    _keep_an_owner(on, leaving=leaving, next_role=None)


def _keep_an_owner(
    on: Scoped, *, leaving: User, next_role: Role | None, expires_at: datetime | None = None
) -> None:
    """Raise LastOwner unless an owner remains, in person and without an expiry."""
    stays = next_role is not None and next_role.key == "owner" and expires_at is None
    if type(on).access_scope != "organization" or stays:
        return
    owners = (
        grant_model(type(on))
        .objects.live()
        .filter(content_object=on, permission__role__key="owner")
    )
    is_owner = owners.filter(user=leaving).exists()
    others = owners.filter(user__is_active=True, user__kind=UserKind.PERSON, expires_at=None)
    if is_owner and not others.exclude(user=leaving).exists():
        raise LastOwner(
            f"{leaving} is the last owner of {on} whose role does not expire. "
            "Make another member an owner first."
        )


def _record_revoked(actor: User | None, label: str, held: Any, on: Scoped) -> None:
    changes = {label: [role_in_words(held.role, held.expires_at), None]}
    record_on(action="role.revoked", actor=actor, on=on, changes=changes)
