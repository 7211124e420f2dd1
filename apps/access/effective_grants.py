"""Through which grants a user has a permission: the role, the object it is held on, and the holder,
which is the user or a Team. The pages that explain access read this; checks ask `queries`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import BooleanField, Exists, F, OuterRef, Q, QuerySet, Value

from apps.access.models import Role
from apps.access.scopes import (
    Scoped,
    grant_model,
    has_grants,
    models_with_roles,
    organization_model,
    team_grant_model,
    with_ancestors,
)
from apps.accounts.models import User, UserKind


@dataclass(frozen=True, kw_only=True)
class EffectiveGrant:
    """A role that a user has on `held_on`; `team` is None where the user holds it in person."""

    user: User
    role: Role
    held_on: Scoped
    team: Any
    grant: Any


def roles_held(*, user: User, on: Scoped) -> list[EffectiveGrant]:
    """List the live roles of a user on an object and on everything above it, nearest first, own
    before a Team's.
    """
    held: list[EffectiveGrant] = []
    for one in with_ancestors(on):
        if has_grants(type(one)):
            held += _effective_grants(user=user, model=type(one), where={"content_object": one})
    return held


def roles_within(*, user: User, on: Scoped, seen_by: User | None = None) -> list[EffectiveGrant]:
    """List the live roles of a user on an object and on everything that lies in it, top down.

    With `seen_by`, only those on what that person may see.
    """
    held: list[EffectiveGrant] = []
    for model in models_with_roles():
        path = model.access_paths.get(type(on).access_scope)
        if path is None:
            continue
        where: dict[str, Any] = {f"content_object__{path}" if path else "content_object": on}
        if seen_by is not None:
            where["content_object__in"] = model.objects.visible_to(seen_by)
        held += _effective_grants(user=user, model=model, where=where)
    return held


def all_roles(*, user: User) -> list[EffectiveGrant]:
    """List every live role of a user, those with an expiry first, then top down. Six queries."""
    held = [
        way
        for model in models_with_roles()
        for way in _effective_grants(user=user, model=model, where={})
    ]
    never = datetime.max.replace(tzinfo=UTC)
    return sorted(held, key=lambda one: one.grant.expires_at or never)


def _effective_grants(*, user: User, model: Any, where: dict[str, Any]) -> list[EffectiveGrant]:
    shown = ("permission__role", "granted_by", "content_object")
    own = grant_model(model).objects.live().filter(user=user, **where)
    of_teams = team_grant_model(model).objects.live().filter(group__user=user, **where)
    of_teams = of_teams.filter(_is_in_organization_of_team(user_id=Value(user.pk)))
    return [
        *(_effective_grant(user, one, None) for one in own.select_related(*shown).order_by("pk")),
        *(
            _effective_grant(user, one, one.group.team)
            for one in of_teams.select_related(*shown, "group__team").order_by("pk")
        ),
    ]


def _effective_grant(user: User, grant: Any, team: Any) -> EffectiveGrant:
    return EffectiveGrant(
        user=user, role=grant.role, held_on=grant.content_object, team=team, grant=grant
    )


def _is_in_organization_of_team(*, user_id: Any) -> Exists:
    entries = grant_model(organization_model()).objects.live()
    return Exists(
        entries.filter(user_id=user_id, content_object=OuterRef("group__team__organization"))
    )


def effective_grants_on(*, permission: str, on: Scoped, search: str = "") -> QuerySet[Any]:
    """List every live role that gives active people and tokens a permission on an object, its own
    first, then by name.

    `search` keeps those whose name or address contains it. Rows are short, because there may be
    thousands: `load_effective_grants` reads those of a page.
    """
    levels = []
    for distance, one in enumerate(with_ancestors(on)):
        if not has_grants(type(one)):
            continue
        own = grant_model(type(one)).objects.live().giving(permission)
        levels.append(_short(own, one, distance, "user", search, is_team=False))
        of_teams = team_grant_model(type(one)).objects.live().giving(permission)
        levels.append(_short(of_teams, one, distance, "group__user", search, is_team=True))
    rows: QuerySet[Any] = levels[0].union(*levels[1:], all=True)
    return rows.order_by("distance", "name", "email", "pk")


def _short(grants: Any, on: Scoped, distance: int, user: str, search: str, *, is_team: bool) -> Any:
    # Named first, so that all conditions are about the same member of a Team.
    rows = grants.annotate(
        distance=Value(distance),
        is_team=Value(is_team, output_field=BooleanField()),
        holder=F(f"{user}__pk"),
        name=F(f"{user}__name"),
        email=F(f"{user}__email"),
        is_active=F(f"{user}__is_active"),
    )
    rows = rows.filter(content_object=on, is_active=True)
    if is_team:
        rows = rows.filter(_is_in_organization_of_team(user_id=OuterRef("holder")))
    if search:
        rows = rows.filter(Q(name__icontains=search) | Q(email__icontains=search))
    return rows.values_list("pk", "distance", "is_team", "holder", "name", "email")


def load_effective_grants(*, on: Scoped, rows: Iterable[Any]) -> list[EffectiveGrant]:
    """Read what a page of `effective_grants_on` shows. At most two queries per object that roles
    are held on, and one for the members of Teams.
    """
    chain = with_ancestors(on)
    order = [(distance, is_team, pk, holder) for pk, distance, is_team, holder, *_ in rows]
    members = {holder for _, is_team, _, holder in order if is_team}
    users = User.objects.in_bulk(members) if members else {}
    grants: dict[tuple[int, bool, int], Any] = {}
    for level in {(distance, is_team) for distance, is_team, *_ in order}:
        distance, is_team = level
        find = team_grant_model if is_team else grant_model
        wanted = [pk for at, of_team, pk, _ in order if (at, of_team) == level]
        shown = ("permission__role", "granted_by", "group__team" if is_team else "user")
        found = find(type(chain[distance])).objects.select_related(*shown).filter(pk__in=wanted)
        grants |= {(distance, is_team, grant.pk): grant for grant in found}
    found = []
    for distance, is_team, pk, holder in order:
        grant = grants.get((distance, is_team, pk))
        user = users.get(holder) if is_team or grant is None else grant.user
        # Grants that were revoked between the two reads are left out.
        if grant is not None and user is not None:
            team = grant.group.team if is_team else None
            found.append(
                EffectiveGrant(
                    user=user, role=grant.role, held_on=chain[distance], team=team, grant=grant
                )
            )
    return found


def people_allowed(*, permission: str, on: Scoped) -> list[User]:
    """List active people who hold the permission on an object, by an own role or a Team's, directly
    or from above, nearest first. One query.
    """
    levels = []
    for distance, one in enumerate(with_ancestors(on)):
        if not has_grants(type(one)):
            continue
        own = grant_model(type(one)).objects.live().giving(permission).filter(content_object=one)
        of_teams = team_grant_model(type(one)).objects.live().giving(permission)
        of_teams = of_teams.annotate(holder=F("group__user")).filter(
            _is_in_organization_of_team(user_id=OuterRef("holder")), content_object=one
        )
        holders = Q(pk__in=own.values("user_id")) | Q(pk__in=of_teams.values("holder"))
        people = User.objects.filter(holders, is_active=True, kind=UserKind.PERSON)
        levels.append(people.annotate(distance=Value(distance)))
    nearest: dict[int, User] = {}
    for person in levels[0].union(*levels[1:], all=True).order_by("distance", "pk"):
        nearest.setdefault(person.pk, person)
    return list(nearest.values())
