"""Reads about who may do what. Scoped objects offer `access_parent`, `access_scope` and
`access_paths`; the tenant apps are never imported here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, Self, TypeVar

from django.contrib.contenttypes.models import ContentType
from django.db import connection, models
from django.db.models import Q, Value
from django.db.models.expressions import RawSQL
from guardian.utils import get_user_obj_perms_model

from apps.access.catalogue import PERMISSIONS, SCOPES
from apps.access.models import Role
from apps.accounts.models import User


class Scoped(Protocol):
    """What roles can be held on. `access_parent` is the next object up, None at the top."""

    pk: Any

    @property
    def access_parent(self) -> "Scoped | None": ...


_Model = TypeVar("_Model", bound=models.Model)
MOST_GRANTORS = 5


class ScopedQuerySet(models.QuerySet[_Model]):
    """`access_paths` of the model maps each scope, itself included (""), to the lookup that reaches
    it.
    """

    def visible_to(self, user: Any) -> Self:
        """Keep what the user may see: one semi-join per scope, no query of its own."""
        return self.allowing(user, f"{self.model.access_scope}.view")  # type: ignore[attr-defined]

    def allowing(self, user: Any, permission: str) -> Self:
        """Keep what the user holds the permission on, directly or from above."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        condition = Q(pk__in=[])
        for path in self.model.access_paths.values():  # type: ignore[attr-defined]
            model: Any = _model_at(self.model, path)
            held = RawSQL(_held_on_sql(model), (user.pk, permission))  # noqa: S611 - names of tables
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
    for one in with_all_above(on):
        if not has_grants(type(one)):
            continue
        grants = grant_model(type(one)).objects.live().filter(user=user, content_object=one)
        for grant in grants.select_related("permission__role", "granted_by"):
            held.append(HeldRole(role=grant.role, held_on=one, grant=grant))
    return held


def roles_within(*, user: User, on: Any, seen_by: User | None = None) -> list[HeldRole]:
    """List the live roles of a user on an object and on everything that lies in it, top down.

    With `seen_by`, only those on what that person may see.
    """
    held: list[HeldRole] = []
    for model in models_with_roles():
        path = model.access_paths.get(type(on).access_scope)
        if path is None:
            continue
        inside = {f"content_object__{path}" if path else "content_object": on}
        grants = grant_model(model).objects.live().filter(user=user, **inside)
        if seen_by is not None:
            grants = grants.filter(content_object__in=model.objects.visible_to(seen_by))
        for one in grants.select_related("permission__role", "granted_by", "content_object"):
            held.append(HeldRole(role=one.role, held_on=one.content_object, grant=one))
    return held


def models_with_roles() -> list[type[Any]]:
    """List the models that roles are held on, the widest scope first."""
    used = Role.objects.values("permission__content_type")
    found = [content_type.model_class() for content_type in ContentType.objects.filter(pk__in=used)]
    return sorted(
        (model for model in found if model), key=lambda model: SCOPES.index(model.access_scope)
    )


def roles_of_scope(*, scope: str, within: frozenset[str] | None = None) -> list[Role]:
    """List the roles of a scope from least to most; with `within`, only those that hold no more
    than it.
    """
    roles = Role.objects.filter(scope=scope).order_by("rank", "name")
    return [role for role in roles if within is None or within.issuperset(role.permissions)]


def permissions_held(*, user: User, on: Any) -> frozenset[str]:
    """Return every permission a user holds on an object: one query for it and all above it, then
    remembered.

    The memory is on the user instance, which lives as long as the request.
    """
    if not user.is_authenticated or not user.is_active:
        return frozenset()
    memory: dict[tuple[type, Any], frozenset[str]] = user.__dict__.setdefault(
        "_permissions_held", {}
    )
    key = (type(on), on.pk)
    if key not in memory:
        chain = with_all_above(on)
        own = _own_permissions(user=user, chain=chain)
        held: frozenset[str] = frozenset()
        for level in reversed(range(len(chain))):
            held |= own.get(level, frozenset())
            memory[(type(chain[level]), chain[level].pk)] = held
    return memory[key]


def forget_permissions(user: User) -> None:
    """Ask the database again after the user's roles changed within a request."""
    user.__dict__.pop("_permissions_held", None)


def with_all_above(on: Any) -> list[Any]:
    """List the object, what it lies in, and so on to the organization."""
    chain = [on]
    while chain[-1].access_parent is not None:
        chain.append(chain[-1].access_parent)
    return chain


def _own_permissions(*, user: User, chain: list[Any]) -> dict[int, frozenset[str]]:
    """Map a position in the chain to the permissions of roles held on exactly that object.

    Every request asks this, so the text is made once per kind of chain: building the same query
    anew by the ORM took 2.7 ms of processor time, this takes 0.2.
    """
    parameters: dict[str, Any] = {"user": user.pk}
    parameters |= {f"object_{level}": one.pk for level, one in enumerate(chain)}
    own: dict[int, frozenset[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_own_permissions_sql(tuple(type(one) for one in chain)), parameters)
        for level, permissions in cursor.fetchall():
            own[level] = own.get(level, frozenset()) | frozenset(permissions)
    return own


@cache
def _own_permissions_sql(models: tuple[type[Any], ...]) -> str:
    """Write what `live()` and `permission__role` mean, for all levels in one statement."""
    quote = connection.ops.quote_name
    roles = quote(Role._meta.db_table)
    parts = [
        f"SELECT {level}, {roles}.permissions FROM {quote(grant_model(model)._meta.db_table)} held "  # noqa: S608 - names of tables
        f"JOIN {roles} ON {roles}.permission_id = held.permission_id "
        f"WHERE held.user_id = %(user)s AND held.content_object_id = %(object_{level})s "
        "AND (held.expires_at IS NULL OR held.expires_at > STATEMENT_TIMESTAMP())"
        for level, model in enumerate(models)
        if has_grants(model)
    ]
    return " UNION ALL ".join(parts)


@cache
def _held_on_sql(model: type[Any]) -> str:
    """Write the ids of objects on which a user's live roles contain a permission.

    Lists ask this for each scope, and the ORM took longer to write it than the database to answer.
    """
    grants, roles = (
        connection.ops.quote_name(each._meta.db_table) for each in (grant_model(model), Role)
    )
    return (
        f"SELECT held.content_object_id FROM {grants} held "  # noqa: S608 - names of tables
        f"JOIN {roles} role ON role.permission_id = held.permission_id "
        "WHERE held.user_id = %s AND role.permissions @> ARRAY[%s]::varchar[] "
        "AND (held.expires_at IS NULL OR held.expires_at > STATEMENT_TIMESTAMP())"
    )


@dataclass(frozen=True)
class Denial:
    """Why an action is refused: what it is, the least roles that would do, and people who can give
    one.
    """

    permission: str
    action: str
    roles: tuple[str, ...]
    grantors: tuple[User, ...]


def explain_denial(*, permission: str, on: Any) -> Denial:
    """Explain one refusal, as `denials` does."""
    return denials(permissions=[permission], on=on)[0]


def denials(*, permissions: Sequence[str], on: Any) -> list[Denial]:
    """Name for each permission the least role of each scope that contains it, and up to five people
    who can grant one. Two queries, however many are asked; none for none.
    """
    if not permissions:
        return []
    scopes = list(type(on).access_paths)
    known = Role.objects.filter(scope__in=scopes, permissions__overlap=list(permissions))
    # The last one written for a scope is the least.
    roles = list(known.order_by("-rank"))
    managing = f"{type(on).access_scope}.members.manage"
    grantors = tuple(people_allowed(permission=managing, on=on)[:MOST_GRANTORS])
    found = []
    for permission in permissions:
        least = {role.scope: role.name for role in roles if permission in role.permissions}
        names = tuple(least[scope] for scope in scopes if scope in least)
        found.append(Denial(permission, PERMISSIONS[permission], names, grantors))
    return found


def denial_for(*, user: Any, permission: str, on: Any) -> Denial | None:
    """Explain why a button is locked for this person; None when it is not."""
    return None if user.has_perm(permission, on) else explain_denial(permission=permission, on=on)


def people_allowed(*, permission: str, on: Any) -> list[User]:
    """List active people who hold the permission on an object, directly or from above, nearest
    first. One query.
    """
    levels = []
    for distance, one in enumerate(with_all_above(on)):
        if not has_grants(type(one)):
            continue
        grants = grant_model(type(one)).objects.live().giving(permission)
        holders = grants.filter(content_object=one).values("user_id")
        people = User.objects.filter(is_active=True, pk__in=holders)
        levels.append(people.annotate(distance=Value(distance)))
    nearest: dict[int, User] = {}
    for person in levels[0].union(*levels[1:], all=True).order_by("distance", "pk"):
        nearest.setdefault(person.pk, person)
    return list(nearest.values())


def has_grants(model: type[Any]) -> bool:
    """Tell whether roles are held on objects of the model itself; a cluster only passes on its
    organization's.
    """
    return "" in model.access_paths.values()


def grant_model(model: type[Any]) -> Any:
    return get_user_obj_perms_model(model)  # type: ignore[arg-type]


def _model_at(model: type[Any], path: str) -> type[Any]:
    for part in path.split("__") if path else []:
        model = model._meta.get_field(part).related_model
    return model
