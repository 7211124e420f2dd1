"""Reads about who may do what. Scoped objects offer `access_parent`, `access_scope` and `access_paths`; the tenant
apps are never imported here."""

from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

from django.db import models
from django.db.models import Q
from guardian.utils import get_user_obj_perms_model

from apps.access.catalogue import PERMISSIONS
from apps.access.models import Role
from apps.accounts.models import User


class Scoped(Protocol):
    """An object that roles can be held on. `access_parent` is the next object up, None at the top."""

    pk: Any

    @property
    def access_parent(self) -> "Scoped | None": ...


_Model = TypeVar("_Model", bound=models.Model)


class ScopedQuerySet(models.QuerySet[_Model]):
    """`access_paths` of the model maps each scope, itself included (""), to the lookup that reaches it."""

    def visible_to(self, user: Any) -> Self:
        """Keep what the user may see: one semi-join per scope, no query of its own."""
        return self.allowing(user, f"{self.model.access_scope}.view")  # type: ignore[attr-defined]

    def allowing(self, user: Any, permission: str) -> Self:
        """Keep what the user holds the permission on, directly or from above."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        condition = Q(pk__in=[])
        for path in self.model.access_paths.values():  # type: ignore[attr-defined]
            grants = _grant_model(_model_at(self.model, path)).objects.live().giving(permission)
            held = grants.filter(user=user).values("content_object_id")
            condition |= Q(**{f"{path}__in" if path else "pk__in": held})
        return self.filter(condition)


@dataclass(frozen=True)
class HeldRole:
    """A role a user holds on `held_on`, which is the object asked about or one above it."""

    role: Role
    held_on: Any
    grant: Any


def roles_held(*, user: User, on: Any) -> list[HeldRole]:
    """List the live roles of a user on an object and on everything above it, nearest first."""
    held: list[HeldRole] = []
    current = on
    while current is not None:
        grants = _grant_model(type(current)).objects.live().filter(user=user, content_object=current)
        for grant in grants.select_related("permission__role", "granted_by"):
            held.append(HeldRole(role=grant.role, held_on=current, grant=grant))
        current = current.access_parent
    return held


def permissions_held(*, user: User, on: Any) -> frozenset[str]:
    """Return every permission a user holds on an object. Asked once per object and request, then remembered.

    The memory is on the user instance, which lives as long as the request.
    """
    if not user.is_authenticated or not user.is_active:
        return frozenset()
    memory: dict[tuple[type, Any], frozenset[str]] = user.__dict__.setdefault("_permissions_held", {})
    key = (type(on), on.pk)
    if key not in memory:
        own = _grant_model(type(on)).objects.live().filter(user=user, content_object=on)
        lists = own.values_list("permission__role__permissions", flat=True)
        permissions = frozenset(permission for held in lists for permission in held)
        parent = on.access_parent
        if parent is not None:
            permissions |= permissions_held(user=user, on=parent)
        memory[key] = permissions
    return memory[key]


@dataclass(frozen=True)
class Denial:
    """Why an action is refused: what it is, the least roles that would do, and people who can give one."""

    permission: str
    action: str
    roles: tuple[str, ...]
    grantors: tuple[User, ...]


def explain_denial(*, permission: str, on: Any) -> Denial:
    """Name the least role of each scope that contains the permission, and up to five people who can grant it."""
    scopes = list(type(on).access_paths)
    roles: list[str] = []
    for scope in scopes:
        least = Role.objects.filter(scope=scope, permissions__contains=[permission]).order_by("rank").first()
        if least is not None:
            roles.append(least.name)
    return Denial(
        permission=permission,
        action=PERMISSIONS[permission],
        roles=tuple(roles),
        grantors=tuple(people_allowed(permission=f"{_managing_scope(on)}.members.manage", on=on)[:5]),
    )


def people_allowed(*, permission: str, on: Any) -> list[User]:
    """List active people who hold the permission on an object, directly or from above, nearest first."""
    people: dict[int, User] = {}
    current = on
    while current is not None:
        grants = _grant_model(type(current)).objects.live().giving(permission)
        for grant in grants.filter(content_object=current, user__is_active=True).select_related("user"):
            people.setdefault(grant.user_id, grant.user)
        current = current.access_parent
    return list(people.values())


def _managing_scope(on: Any) -> str:
    return str(type(on).access_scope)


def _grant_model(model: type[Any]) -> Any:
    return get_user_obj_perms_model(model)


def _model_at(model: type[Any], path: str) -> type[Any]:
    for part in path.split("__") if path else []:
        model = model._meta.get_field(part).related_model
    return model
