"""The SQL of what a user holds: written once for each kind of object, because every request and
every list asks it.
"""

from functools import cache
from typing import Any

from django.apps import apps as installed
from django.db import connection

from apps.access.apps import MODELS
from apps.access.models import Role
from apps.access.scopes import (
    grant_model,
    has_grants,
    organization_model,
    team_grant_model,
    team_model,
)
from apps.accounts.models import User


@cache
def permissions_sql(models: tuple[type[Any], ...], *, user: str, objects: tuple[str, ...]) -> str:
    """Write the array of permissions that a user holds on an object, for a query that finds both.

    `models` are of the object and all above it, `user` and `objects` SQL that names their ids.
    """
    held = own_permissions_sql(models, user, objects)
    return f"ARRAY(SELECT DISTINCT unnest(own.permissions) FROM ({held}) own)"  # noqa: S608 - names of columns


@cache
def held_beside_sql(model: type[Any]) -> str:
    """Write what a user holds on each row of a model, and on all above it: a list of levels, the
    row's own being 0, with permissions. Every parameter is the user.
    """
    scopes = {scope: path for scope, path in model.access_paths.items() if path}
    models = (model, *(installed.get_model(MODELS[scope]) for scope in scopes))
    objects = (
        f"{_table(model)}.{connection.ops.quote_name(model._meta.pk.column)}",
        *(_id_above(model, path) for path in scopes.values()),
    )
    held = own_permissions_sql(models, "%s", objects)
    return (
        "(SELECT jsonb_agg(jsonb_build_array(own.level, own.permissions)) "  # noqa: S608 - names of columns
        f"FROM ({held}) own (level, permissions))"
    )


def _id_above(model: Any, path: str) -> str:
    """Write the id of what lies above a row, by way of what lies between."""
    first, *others = path.split("__")
    field = model._meta.get_field(first)
    found = f"{_table(model)}.{connection.ops.quote_name(field.column)}"
    for name in others:
        between = field.related_model
        field = between._meta.get_field(name)
        column = connection.ops.quote_name(field.column)
        found = f"(SELECT above.{column} FROM {_table(between)} above WHERE above.id = {found})"  # noqa: S608 - names of columns
    return found


@cache
def own_permissions_sql(models: tuple[type[Any], ...], user: str, objects: tuple[str, ...]) -> str:
    """Write what `live()` and `permission__role` mean, for all levels in one statement."""
    roles = _table(Role)
    parts = [
        f"SELECT {level}, {roles}.permissions FROM {_table(grants)} held "  # noqa: S608 - names of tables
        f"JOIN {roles} ON {roles}.permission_id = held.permission_id "
        f"WHERE {holder} AND held.content_object_id = {objects[level]} AND {_live('held')}"
        for level, model in enumerate(models)
        if has_grants(model)
        for grants, holder in (
            (grant_model(model), f"held.user_id = {user}"),
            (team_grant_model(model), f"held.group_id IN ({_teams_sql(user)})"),
        )
    ]
    return " UNION ALL ".join(parts)


@cache
def held_on_sql(model: type[Any]) -> str:
    """Write the ids of objects on which a user's live roles, or those of the user's Teams, contain
    a permission. Parameters: user, permission, user, permission.

    Lists ask this for each scope, and the ORM took longer to write it than the database to answer.
    Teams and roles are arrays, found first, because to plan a join of all these tables takes the
    database longer than to do it.
    """
    parts = [
        f"SELECT held.content_object_id FROM {_table(grants)} held "  # noqa: S608 - names of tables
        f"WHERE {holder} AND held.permission_id = ANY(ARRAY("
        f"SELECT role.permission_id FROM {_table(Role)} role "
        f"WHERE role.permissions @> ARRAY[%s]::varchar[])) AND {_live('held')}"
        for grants, holder in (
            (grant_model(model), "held.user_id = %s"),
            (team_grant_model(model), f"held.group_id = ANY(ARRAY({_teams_sql('%s')}))"),
        )
    ]
    return " UNION ALL ".join(parts)


def _teams_sql(user: str) -> str:
    """Write the groups of a user's Teams, of organizations that the user is in now."""
    return (
        f"SELECT membership.group_id FROM {_table(User.groups.through)} membership "  # noqa: S608 - names of tables
        f"JOIN {_table(team_model())} team ON team.group_id = membership.group_id "
        f"JOIN {_table(grant_model(organization_model()))} entry "
        "ON entry.content_object_id = team.organization_id "
        f"AND entry.user_id = membership.user_id AND {_live('entry')} "
        f"WHERE membership.user_id = {user}"
    )


def _live(alias: str) -> str:
    return f"({alias}.expires_at IS NULL OR {alias}.expires_at > STATEMENT_TIMESTAMP())"


def _table(model: Any) -> str:
    return str(connection.ops.quote_name(model._meta.db_table))
