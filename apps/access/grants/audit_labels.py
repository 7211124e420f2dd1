"""Audit events about roles, and the labels they use."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from apps.access.models import Grant, Role
from apps.access.scopes import Scoped, organization_over
from apps.accounts.models import User, UserKind
from apps.audit.services import record


def record_on(*, action: str, actor: User | None, on: Scoped, changes: Mapping[str, Any]) -> None:
    """Write an audit event about an organization, a workspace or a Deployment. See `record`."""
    record(
        action=action,
        actor=actor,
        organization_id=organization_over(on).pk,
        target_kind=type(on).access_scope,
        target_id=on.pk,
        target_label=str(on),
        changes=changes,
    )


def role_in_words(role: Role, expires_at: datetime | None) -> str:
    """Name a role and its expiry as the audit log does."""
    if expires_at is None:
        return role.name
    return f"{role.name} until {expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def role_of(user: User) -> str:
    """Label the role of a person or a token as a changed field."""
    return f"role of {user.email if user.kind == UserKind.PERSON else f'the API token {user}'}"


def role_of_team(team: Any) -> str:
    """Label the role of a Team as a changed field."""
    return f"role of the Team {team}"


def holder_in_words(held: Any) -> str:
    """Label a grant, of a user or a Team, as a changed field."""
    return role_of(held.user) if isinstance(held, Grant) else role_of_team(held.group.team)
