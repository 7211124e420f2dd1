"""Assign roles to Teams, and revoke them."""

from datetime import datetime
from typing import Any

from django.db import transaction

from apps.access.grants.audit_labels import record_on, role_in_words, role_of_team
from apps.access.grants.services import (
    RoleNotApplicable,
    delete_grants,
    lock_memberships,
    upsert_grant,
)
from apps.access.models import Role
from apps.access.queries import forget_permissions
from apps.access.scopes import Scoped, organization_over, team_grant_model
from apps.accounts.models import User


@transaction.atomic
def grant_to_team(
    *, actor: User | None, team: Any, role: Role, on: Scoped, expires_at: datetime | None = None
) -> None:
    """Assign a Team the role on an object of its organization, in place of one held there before.

    `team` has a `group`, which holds the role, and an `organization`. Raises RightsExceeded and
    RoleNotApplicable.
    """
    lock_memberships(on=on)
    if actor is not None:
        forget_permissions(actor)
    if team.organization != organization_over(on):
        raise RoleNotApplicable(f"{team} belongs to another organization.")
    previous = upsert_grant(
        grants=team_grant_model(type(on)).objects,
        holder={"group": team.group},
        actor=actor,
        role=role,
        on=on,
        expires_at=expires_at,
    )
    if actor is not None:
        forget_permissions(actor)
    changes = {role_of_team(team): [previous, role_in_words(role, expires_at)]}
    record_on(action="role.granted", actor=actor, on=on, changes=changes)


@transaction.atomic
def revoke_from_team(*, actor: User | None, team: Any, on: Scoped) -> None:
    """Revoke the role that a Team holds on the object. Raises RightsExceeded."""
    lock_memberships(on=on)
    if actor is not None:
        forget_permissions(actor)
    delete_grants(
        grants=team_grant_model(type(on)).objects,
        holder={"group": team.group},
        label=role_of_team(team),
        actor=actor,
        is_free=False,
        on=on,
    )
    if actor is not None:
        forget_permissions(actor)
