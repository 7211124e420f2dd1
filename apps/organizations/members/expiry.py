"""What follows when a role expires: the same as when it is revoked.

A person who thereby leaves an organization is signed out and removed from its Teams. As no person
acted, the holder is notified by mail.
"""

import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import transaction
from django.template.loader import render_to_string

from apps.access.grants.expiry import expire_grants, organizations_with_expired_grants
from apps.access.models import Grant
from apps.accounts.models import User, UserKind
from apps.accounts.sessions.services import end_sessions
from apps.organizations.models import Organization, OrganizationGrant
from apps.organizations.teams.services import leave_teams

logger = logging.getLogger(__name__)


def expire_roles() -> int:
    """Delete every expired role; return how many. Safe to run twice at once."""
    ended = 0
    for organization_id in organizations_with_expired_grants():
        while batch := _end_batch(organization_id):
            ended += batch
    if ended:
        logger.info("roles ended", extra={"roles": ended})
    return ended


@transaction.atomic
def _end_batch(organization_id: int) -> int:
    grants = expire_grants(organization_id=organization_id)
    for grant in grants:
        _leave(grant)
    mails = list(_mails(organization_id, grants))
    if mails:
        # One connection, so that a mail server that does not answer costs one timeout.
        send = partial(_send, mails)
        transaction.on_commit(send, robust=True)
    return len(grants)


def _leave(grant: Any) -> None:
    if not isinstance(grant, OrganizationGrant) or grant.user.kind != UserKind.PERSON:
        return
    leave_teams(actor=None, user=grant.user, organization=grant.content_object)
    end_sessions(user=grant.user)


def _mails(organization_id: int, grants: list[Any]) -> Iterator[EmailMessage]:
    ended: dict[User, list[Any]] = {}
    for grant in grants:
        is_person = isinstance(grant, Grant) and grant.user.kind == UserKind.PERSON
        if is_person and grant.user.is_active:
            ended.setdefault(grant.user, []).append(grant)
    organization = Organization.objects.get(pk=organization_id) if ended else None
    for person, theirs in ended.items():
        context = {
            "person": person,
            "grants": theirs,
            "organization": organization,
            "url": settings.PORTAL_URL,
        }
        body = render_to_string("organizations/members/roles_ended_mail.txt", context)
        yield EmailMessage("Your role on Astro Portal has expired", body, to=[person.email])


def _send(mails: list[EmailMessage]) -> None:
    get_connection().send_messages(mails)
