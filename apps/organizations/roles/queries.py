"""Reads about roles: who holds one, and who is invited to it."""

from typing import Any

from django.apps import apps as installed
from django.db.models import Q, QuerySet

from apps.access.apps import MODELS
from apps.access.models import Role
from apps.access.queries import permissions_held
from apps.access.scopes import grant_model, team_grant_model
from apps.accounts.models import User
from apps.organizations.models import Invitation, Organization


def grants_giving(
    *, role: Role, organization: Organization | None = None, seen_by: User | None = None
) -> tuple[QuerySet[Any], QuerySet[Any]]:
    """Return the live grants of a role to people and tokens, and those to Teams.

    Of a built-in role, those in the organization; with `seen_by`, those on what that person sees.
    """
    model: Any = installed.get_model(MODELS[role.scope])  # type: ignore[index]  # one of SCOPES
    where: dict[str, Any] = {"permission": role.permission}
    if organization is not None:
        path = model.access_paths["organization"]
        where[f"content_object__{path}" if path else "content_object"] = organization
    if seen_by is not None:
        where["content_object__in"] = model.objects.visible_to(seen_by)
    people = grant_model(model).objects.live().filter(**where)
    teams = team_grant_model(model).objects.live().filter(**where)
    return (
        people.select_related("user", "content_object", "granted_by").order_by("user__name", "pk"),
        teams.select_related("group__team__organization", "content_object", "granted_by").order_by(
            "group__team__name", "pk"
        ),
    )


def tables_with(*, role: Role) -> tuple[QuerySet[Any], QuerySet[Any]]:
    """Return all grants of a role, ended ones too: those to people and tokens, those to Teams."""
    model = installed.get_model(MODELS[role.scope])  # type: ignore[index]  # one of SCOPES
    found = (grant_model(model).objects.all(), team_grant_model(model).objects.all())
    people, teams = (grants.filter(permission=role.permission) for grants in found)
    return people, teams


def invitations_offering(*, role: Role) -> QuerySet[Invitation]:
    """List the invitations that wait for an answer and offer the role."""
    waiting = Invitation.objects.filter(accepted_at=None, revoked_at=None)
    if role.scope == "deployment":
        return waiting.none()
    return waiting.filter(**{f"{role.scope}_role": role.key})


def replacements_for(*, role: Role, organization: Organization, user: User) -> list[Role]:
    """List the roles that may take the place of one, from least to most: of its scope, and with no
    permission that the user lacks.
    """
    held = permissions_held(user=user, on=organization)
    known = Role.objects.filter(
        Q(organization=None) | Q(organization=organization), scope=role.scope
    ).exclude(pk=role.pk)
    return [one for one in known.order_by("rank", "name") if held.issuperset(one.permissions)]
