"""What follows from a role that ended by itself: the same as if somebody had taken it.

Who is in an organization no more is signed out and in none of its Teams.
"""

import logging
from typing import Any

from django.db import transaction

from apps.access.endings import end_roles, organizations_with_ended_roles
from apps.accounts.models import UserKind
from apps.accounts.sessions import end_sessions
from apps.organizations.models import OrganizationGrant
from apps.organizations.teams import leave_teams

logger = logging.getLogger(__name__)


def end_what_is_over() -> int:
    """Take away every role that has ended; return how many. Safe to run twice at once."""
    ended = 0
    for organization_id in organizations_with_ended_roles():
        while batch := _end_batch(organization_id):
            ended += batch
    if ended:
        logger.info("roles ended", extra={"roles": ended})
    return ended


@transaction.atomic
def _end_batch(organization_id: int) -> int:
    grants = end_roles(organization_id=organization_id)
    for grant in grants:
        _leave(grant)
    return len(grants)


def _leave(grant: Any) -> None:
    if not isinstance(grant, OrganizationGrant) or grant.user.kind != UserKind.PERSON:
        return
    leave_teams(actor=None, user=grant.user, organization=grant.content_object)
    end_sessions(user=grant.user)
