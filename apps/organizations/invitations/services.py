"""Invitations: an offer of roles to an address.

The link proves the address where it went there alone, by mail. Without a mail server the inviter
hands it on, has seen it, and could accept it: then it proves nothing.

waiting ──accept──> accepted
   ├──revoke──> revoked
   └──time──> expired (may be sent again: a new link, a new week)
"""

import secrets
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models.functions import Now
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from apps.access.effective_grants import roles_held
from apps.access.grants.audit_labels import record_on
from apps.access.grants.services import (
    RightsExceeded,
    ensure_can_delegate,
    grant_with_entry,
    lock_memberships,
)
from apps.access.models import Role
from apps.access.queries import forget_permissions
from apps.accounts.mail import sends_mail
from apps.accounts.models import User
from apps.accounts.queries import digest_of, person_with_email
from apps.accounts.services import create_passwordless, create_person
from apps.core.errors import Invalid, PortalError, Refused
from apps.organizations.models import Invitation, Organization, Workspace
from apps.organizations.queries import is_member

LIFE = timedelta(days=7)


class InvitationUnusable(PortalError):
    """The invitation was accepted, withdrawn, sent again or has expired."""

    def __init__(self) -> None:
        super().__init__("This invitation was used, revoked or has expired. Ask for a new one.")


@transaction.atomic
def invite(
    *,
    actor: User,
    organization: Organization,
    email: str,
    organization_role: str = "member",
    workspace: Workspace | None = None,
    workspace_role: str = "",
    roles_end_at: datetime | None = None,
) -> str:
    """Offer roles to an address by mail. Return the address of the link, which is stored nowhere,
    to hand on where no mail server is configured, and "" where it went out by mail.

    The roles end at `roles_end_at`; of an invitation to a workspace, that in the workspace does.

    Raises Invalid when the person is a member or was invited already, RightsExceeded when a role
    holds more than the actor does.
    """
    email = email.strip().lower()
    lock_memberships(on=organization)
    _refuse_member(organization, email)
    _refuse_invited(organization, email)
    token = secrets.token_urlsafe(32)
    invitation = Invitation(
        organization=organization,
        workspace=workspace,
        email=email,
        organization_role=organization_role,
        workspace_role=workspace_role if workspace else "",
        token_digest=digest_of(token),
        invited_by=actor,
        expires_at=min(filter(None, (timezone.now() + LIFE, roles_end_at))),
        roles_end_at=roles_end_at,
        proves_address=sends_mail(),
    )
    _ensure_can_delegate(actor, invitation)
    invitation.save(force_insert=True)
    _record("invitation.created", actor, invitation)
    return _send(invitation, token)


@transaction.atomic
def resend_invitation(*, actor: User, invitation: Invitation) -> str:
    """Replace the link by a new one for another week and mail it. Return as `invite` does."""
    token = secrets.token_urlsafe(32)
    waiting = _waiting(invitation)
    ends_at = min(filter(None, (timezone.now() + LIFE, invitation.roles_end_at)))
    replaced = {"token_digest": digest_of(token), "proves_address": sends_mail()}
    if not waiting.update(**replaced, expires_at=ends_at, invited_by=actor):
        raise InvitationUnusable
    _ensure_can_delegate(actor, invitation)
    # What was read before the update still has the old values.
    invitation.refresh_from_db()
    _record("invitation.sent_again", actor, invitation)
    return _send(invitation, token)


@transaction.atomic
def revoke_invitation(*, actor: User, invitation: Invitation) -> None:
    """Withdraw an invitation. Its link stops working at once. Raises RightsExceeded."""
    lock_memberships(on=invitation.organization)
    _ensure_can_delegate(actor, invitation)
    if not _waiting(invitation).update(revoked_at=Now()):
        raise InvitationUnusable
    _record("invitation.revoked", actor, invitation)


@transaction.atomic
def accept_invitation(*, user: User, invitation: Invitation) -> None:
    """Assign the offered roles to the person, once. A higher role that the person holds already
    stays.

    Raises InvitationUnusable, and Refused when the invitation is for another address or when the
    inviter may no longer assign these roles.
    """
    lock_memberships(on=invitation.organization)
    if user.email.lower() != invitation.email.lower():
        raise Refused(
            f"This invitation is for {invitation.email}; you are signed in as {user.email}."
        )
    if not _waiting(invitation).filter(expires_at__gt=Now()).update(accepted_at=Now()):
        raise InvitationUnusable
    if invitation.invited_by is None:
        raise InvitationUnusable
    _record("invitation.accepted", user, invitation)
    try:
        _grant_what_is_higher(user, invitation)
    except RightsExceeded:
        raise Refused(
            f"{invitation.invited_by} can no longer assign this role. Ask for a new invitation."
        ) from None


@transaction.atomic
def accept_as_new_person(*, invitation: Invitation, name: str, password: str | None) -> User:
    """Create the account of the invited address and accept, in one transaction.

    Without a password the person signs in through an identity provider.
    """
    # A second click waits here, then finds the invitation used.
    lock_memberships(on=invitation.organization)
    if not _waiting(invitation).exists():
        raise InvitationUnusable
    is_proved, email = invitation.proves_address, invitation.email
    if password is None:
        user = create_passwordless(email=email, name=name, is_address_proved=is_proved)
    else:
        user = create_person(email=email, name=name, password=password, is_address_proved=is_proved)
    accept_invitation(user=user, invitation=invitation)
    return user


def _waiting(invitation: Invitation) -> Any:
    same_link = Invitation.objects.filter(pk=invitation.pk, token_digest=invitation.token_digest)
    return same_link.filter(accepted_at=None, revoked_at=None)


def _grant_what_is_higher(user: User, invitation: Invitation) -> None:
    for role, on in zip(_roles_of(invitation), _targets(invitation), strict=True):
        held = [one for one in roles_held(user=user, on=on) if one.held_on == on and not one.team]
        if any(set(one.role.permissions).issuperset(role.permissions) for one in held):
            continue
        ends_at = invitation.roles_end_at if on == _target(invitation) else None
        grant_with_entry(
            actor=invitation.invited_by, user=user, role=role, on=on, expires_at=ends_at
        )


def _ensure_can_delegate(actor: User, invitation: Invitation) -> None:
    # Rights may have changed while this waited for the lock.
    forget_permissions(actor)
    for role, on in zip(_roles_of(invitation), _targets(invitation), strict=True):
        ensure_can_delegate(actor=actor, role=role, on=on)


def _role(scope: str, key: str) -> Role:
    return Role.objects.get(scope=scope, key=key)


def _roles_of(invitation: Invitation) -> list[Role]:
    roles = [_role("organization", invitation.organization_role)]
    if invitation.workspace is not None:
        roles.append(_role("workspace", invitation.workspace_role))
    return roles


def _targets(invitation: Invitation) -> list[Organization | Workspace]:
    above: list[Organization | Workspace] = [invitation.organization]
    return [*above, invitation.workspace] if invitation.workspace else above


def _target(invitation: Invitation) -> Organization | Workspace:
    return _targets(invitation)[-1]


def _refuse_member(organization: Organization, email: str) -> None:
    person = person_with_email(email=email)
    if person is not None and is_member(user=person, organization=organization):
        raise Invalid(f"{email} is already in {organization}.", field="email")


def _refuse_invited(organization: Organization, email: str) -> None:
    waiting = Invitation.objects.filter(
        organization=organization, email__iexact=email, accepted_at=None, revoked_at=None
    )
    waiting.filter(expires_at__lte=Now()).update(revoked_at=Now())
    if waiting.exists():
        raise Invalid(
            f"{email} is already invited. Resend the invitation from the list of members.",
            field="email",
        )


def _send(invitation: Invitation, token: str) -> str:
    url = settings.PORTAL_URL + reverse("organizations:invitation", args=[token])
    body = render_to_string(
        "organizations/invitations/invitation_mail.txt", {"invitation": invitation, "url": url}
    )
    # No names in it: people choose theirs, and a subject is read as if the portal had written it.
    mail = partial(send_mail, "You are invited to Astro Portal", body, None, [invitation.email])
    # A mail server that does not answer must not undo the invitation: it can be sent again.
    transaction.on_commit(mail, robust=True)
    return "" if invitation.proves_address else url


def _record(action: str, actor: User, invitation: Invitation) -> None:
    changes = {invitation.email: [None, _roles_of(invitation)[-1].name]}
    record_on(action=action, actor=actor, on=_target(invitation), changes=changes)
