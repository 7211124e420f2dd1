"""Give and take roles. The only place that writes grants."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import transaction

from apps.access.catalogue import BUILT_IN_ROLES, BuiltInRole
from apps.access.models import Role
from apps.access.queries import (
    forget_permissions,
    grant_model,
    models_with_roles,
    permissions_held,
    roles_of_scope,
    with_all_above,
)
from apps.accounts.models import User
from apps.audit.services import record
from apps.core.errors import Refused


class RightsExceeded(Refused):
    """Nobody gives or takes a role with rights that they do not hold themselves."""


class LastOwner(Refused):
    """The last owner of an object stays."""


def sync_built_in_roles(*, models_by_scope: dict[str, Any]) -> None:
    """Make the rows of built-in roles agree with the catalogue. Safe to repeat."""
    for built_in in BUILT_IN_ROLES:
        _sync_role(built_in, models_by_scope[built_in.scope])


def _sync_role(built_in: BuiltInRole, model: Any) -> None:
    content_type = ContentType.objects.get_for_model(model)
    permission, _ = Permission.objects.get_or_create(
        content_type=content_type,
        codename=f"role:{built_in.scope}:{built_in.key}",
        defaults={"name": built_in.name},
    )
    Role.objects.update_or_create(
        scope=built_in.scope,
        key=built_in.key,
        defaults={
            "name": built_in.name,
            "description": built_in.description,
            "rank": built_in.rank,
            "permissions": sorted(built_in.permissions),
            "permission": permission,
        },
    )


@transaction.atomic
def grant(
    *, actor: User | None, user: User, role: Role, on: Any, expires_at: datetime | None = None
) -> None:
    """Give `user` the role on the object, in place of a role held there before.

    One role per person and object keeps "what may she do here" a single word; rights of several
    objects add up. `actor` None is the portal itself. Raises RightsExceeded or LastOwner.
    """
    lock_people(on=on)
    if actor is not None:
        forget_permissions(actor)
        check_reach(actor=actor, role=role, on=on)
    _keep_an_owner(on, leaving=user, next_role=role)
    grants = grant_model(type(on))
    previous = (
        grants.objects.filter(user=user, content_object=on)
        .select_related("permission__role")
        .first()
    )
    if previous is not None and actor is not None:
        check_reach(actor=actor, role=previous.role, on=on)
    grants.objects.filter(user=user, content_object=on).exclude(permission=role.permission).delete()
    grants.objects.update_or_create(
        user=user,
        permission=role.permission,
        content_object=on,
        defaults={"granted_by": actor, "expires_at": expires_at},
    )
    forget_permissions(user)
    record_on(
        action="role.granted",
        actor=actor,
        on=on,
        changes={_role_of(user): [previous.role.name if previous else None, role.name]},
    )


@transaction.atomic
def grant_with_entry(*, actor: User | None, user: User, role: Role, on: Any) -> None:
    """Grant the role, and the least role on each object above where the user holds none, from the
    top down.

    A role on a Deployment is of no use to somebody who cannot enter its workspace. Raises as
    `grant` does.
    """
    for above in reversed(with_all_above(on)[1:]):
        if (
            not grant_model(type(above))
            .objects.live()
            .filter(user=user, content_object=above)
            .exists()
        ):
            least = roles_of_scope(scope=type(above).access_scope)[0]
            grant(actor=actor, user=user, role=least, on=above)
    grant(actor=actor, user=user, role=role, on=on)


@transaction.atomic
def revoke(*, actor: User | None, user: User, on: Any) -> None:
    """Take from `user` the role held on the object itself. Raises RightsExceeded or LastOwner."""
    lock_people(on=on)
    if actor is not None:
        forget_permissions(actor)
    held = (
        grant_model(type(on))
        .objects.filter(user=user, content_object=on)
        .select_related("permission__role", "user")
    )
    for one in held:
        if actor is not None and actor != user:
            check_reach(actor=actor, role=one.role, on=on)
        _keep_an_owner(on, leaving=user, next_role=None)
        _record_revoked(actor, one, on)
    held.delete()
    forget_permissions(user)


@transaction.atomic
def revoke_everywhere(*, actor: User | None, user: User, on: Any) -> None:
    """Take from `user` every role held on the object and on all that lies in it. Raises as `revoke`
    does.

    What lies in it is found through the models that roles exist for and their `access_paths`.
    """
    revoke(actor=actor, user=user, on=on)
    scope = type(on).access_scope
    for model in models_with_roles():
        path = model.access_paths.get(scope)
        if not path:
            continue
        grants = grant_model(model).objects.filter(user=user, **{f"content_object__{path}": on})
        for one in grants.select_related("permission__role", "user", "content_object"):
            _record_revoked(actor, one, one.content_object)
        grants.delete()
    forget_permissions(user)


def lock_people(*, on: Any) -> None:
    """Let changes of who holds what in one organization wait for each other.

    Whoever decides by what people hold (the last owner, who is a member, what the actor may give)
    reads it after this lock. Rows that only refer to the organization are written meanwhile.
    """
    organization = with_all_above(on)[-1]
    manager = type(organization)._default_manager
    manager.select_for_update(no_key=True).get(pk=organization.pk)


def check_reach(*, actor: User, role: Role, on: Any) -> None:
    """Raise RightsExceeded when the role holds rights that the actor does not have there."""
    missing = frozenset(role.permissions) - permissions_held(user=actor, on=on)
    if missing:
        raise RightsExceeded(
            f"You cannot give or take the role {role.name}: it holds rights that you do not have."
        )


def _keep_an_owner(on: Any, *, leaving: User, next_role: Role | None) -> None:
    if type(on).access_scope != "organization" or (next_role and next_role.key == "owner"):
        return
    owners = (
        grant_model(type(on))
        .objects.live()
        .filter(content_object=on, permission__role__key="owner")
    )
    is_owner = owners.filter(user=leaving).exists()
    others = owners.filter(user__is_active=True, expires_at=None).exclude(user=leaving)
    if is_owner and not others.exists():
        raise LastOwner(f"{leaving} is the last owner of {on}. Make somebody else an owner first.")


def record_on(*, action: str, actor: User | None, on: Any, changes: Mapping[str, Any]) -> None:
    """Write an audit event about an organization, a workspace or a Deployment. See `record`."""
    record(
        action=action,
        actor=actor,
        organization_id=with_all_above(on)[-1].pk,
        target_kind=type(on).access_scope,
        target_id=on.pk,
        target_label=str(on),
        changes=changes,
    )


def _record_revoked(actor: User | None, held: Any, on: Any) -> None:
    changes = {_role_of(held.user): [held.role.name, None]}
    record_on(action="role.revoked", actor=actor, on=on, changes=changes)


def _role_of(user: User) -> str:
    return f"role of {user.email}"
