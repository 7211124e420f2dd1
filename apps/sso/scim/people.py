"""Provisioned people: accounts of the organization, active or deactivated."""

from typing import Any

from django.db.models import QuerySet
from scim2_models import ForbiddenException, InvalidValueException, Resource

from apps.access.effective_grants import roles_within
from apps.access.grants.audit_labels import record_on
from apps.access.grants.services import (
    LastOwner,
    grant,
    keep_an_owner,
    least_role,
    revoke_everywhere,
)
from apps.accounts.models import User
from apps.accounts.queries import person_with_email
from apps.accounts.services import (
    change_address,
    create_passwordless,
    deactivate_person,
    reactivate_person,
    retire_person,
    update_profile,
)
from apps.accounts.sessions.services import end_sessions
from apps.accounts.sign_in.address_proof import prove_address
from apps.organizations.members.delegation import (
    is_elsewhere,
    why_account_out_of_reach,
    why_out_of_reach,
)
from apps.organizations.models import Organization, Team
from apps.organizations.queries import is_member
from apps.organizations.teams.services import leave_teams
from apps.sso.models import ScimRecord
from apps.sso.queries import verified_domain

LONGEST_NAME = 150
NO_ADDRESS = "No email address came with this person."
TAKEN = "Another record of the identity provider is this person already."
INVITE = (
    "Invite this person: after the invitation is accepted, provisioning manages the roles here."
)


def follow(
    record: ScimRecord,
    resource: Resource[Any],
    before: Resource[Any] | None,
    *,
    maker: User | None,
) -> None:
    """Update the account from the resource; `before` is the previous resource, `maker` whoever made
    the token.

    A person whose address proves nothing is stored as a record with a `problem`, without an
    account; one who has an account is deactivated all the same. Raises InvalidValueException when
    the last owner would be removed, ForbiddenException for people out of the maker's reach.
    """
    email = _address(resource)
    is_closed = getattr(resource, "active", True) is False
    record.problem = _problem(record, email)
    # To take access away never waits for what else would have to be followed.
    if not record.problem and not (is_closed and record.user is not None):
        _follow_account(record, email, _name(resource), maker)
        _follow_name(record, resource, before, maker)
    record.save(update_fields=["user", "problem"])
    if is_closed:
        close(record, maker=maker)
    elif not record.problem:
        _let_in(record, maker)


def close(record: ScimRecord, *, maker: User | None) -> None:
    """Deactivate the account behind a record: its sessions and tokens end at once.

    A person who is in other organizations, too, is removed from this one instead. Raises as
    `follow` does.
    """
    user = record.user
    if user is None:
        return
    if is_elsewhere(user=user, organization=record.organization):
        _remove(record, user, maker)
    elif user.is_active:
        _check_reach(record, user, maker)
        _keep_an_owner(record, user)
        deactivate_person(user=user)
        _note("person.deactivated", record, user)


def delete(record: ScimRecord, *, maker: User | None) -> None:
    """Close the account behind a record permanently, with its roles and Teams. If the identity
    provider makes the person again, it is a new person. Raises as `follow` does.
    """
    user = record.user
    if user is None:
        return
    is_shared = is_elsewhere(user=user, organization=record.organization)
    if not is_shared:
        _check_account_reach(record, user, maker)
    _remove(record, user, maker)
    if not is_shared:
        _note("person.deactivated", record, user)
        retire_person(user=user)


def _remove(record: ScimRecord, user: User, maker: User | None) -> None:
    """Take every role and Team of this organization from a person."""
    organization = record.organization
    if not roles_within(user=user, on=organization) and not _teams(user, organization).exists():
        return
    _check_reach(record, user, maker)
    _keep_an_owner(record, user)
    leave_teams(actor=None, user=user, organization=organization)
    revoke_everywhere(actor=None, user=user, on=organization)
    end_sessions(user=user)
    _note("person.removed", record, user)


def _teams(user: User, organization: Organization) -> QuerySet[Team]:
    return Team.objects.filter(organization=organization, group__user=user)


def _keep_an_owner(record: ScimRecord, user: User) -> None:
    try:
        keep_an_owner(on=record.organization, leaving=user)
    except LastOwner as error:
        raise InvalidValueException(detail=error.message) from None


def _check_reach(record: ScimRecord, user: User, maker: User | None) -> None:
    reason = why_out_of_reach(user=user, maker=maker, organization=record.organization)
    if reason:
        raise ForbiddenException(detail=reason)


def _check_account_reach(record: ScimRecord, user: User, maker: User | None) -> None:
    reason = why_account_out_of_reach(user=user, maker=maker, organization=record.organization)
    if reason:
        raise ForbiddenException(detail=reason)


def _follow_account(record: ScimRecord, email: str, name: str, maker: User | None) -> None:
    """Link the account with the address, or a new one, and let its address follow."""
    user = record.user or person_with_email(email=email)
    if user is None:
        record.user = user = create_passwordless(email=email, name=name)
        _note("person.created", record, user)
    elif record.user is None:
        _check_reach(record, user, maker)
        record.user = user
        # The address was verified by the organization, the account may have been made by anyone. A
        # token says nothing of the account that made it.
        if user != maker:
            prove_address(user=user, by=f"provisioning of {record.organization}")
    if user.email.lower() != email:
        _check_account_reach(record, user, maker)
        change_address(user=user, email=email)
        _note("person.address_changed", record, user)


def _let_in(record: ScimRecord, maker: User | None) -> None:
    """Reactivate the account, and give it the least role if it has none here."""
    user = record.user
    if user is None:
        return
    if not user.is_active:
        _check_account_reach(record, user, maker)
        reactivate_person(user=user)
        _note("person.reactivated", record, user)
    if not is_member(user=user, organization=record.organization):
        _check_reach(record, user, maker)
        role = least_role(on=record.organization)
        grant(actor=None, user=user, role=role, on=record.organization)


def _follow_name(
    record: ScimRecord,
    resource: Resource[Any],
    before: Resource[Any] | None,
    maker: User | None,
) -> None:
    """Take over a name that changed at the provider. Until then a name chosen here stays, and so
    does that of a person out of reach.
    """
    name, user = _name(resource), record.user
    if user is None or before is None or not name or name == _name(before):
        return
    if why_account_out_of_reach(user=user, maker=maker, organization=record.organization):
        return
    changes = {user.email: [user.name, name]}
    update_profile(user=user, name=name, time_zone=user.time_zone)
    record_on(action="person.renamed", actor=None, on=record.organization, changes=changes)


def _problem(record: ScimRecord, email: str) -> str:
    if not email:
        return NO_ADDRESS
    domain = verified_domain(email=email)
    if domain is None or domain.organization_id != record.organization_id:
        return f"{email} is not in a verified domain of {record.organization}."[:300]
    found = person_with_email(email=email)
    if found is None:
        return ""
    if record.user is not None and found.pk != record.user.pk:
        return f"{email} is the address of another account."[:300]
    others = ScimRecord.objects.filter(organization=record.organization, user=found)
    if others.exclude(pk=record.pk).exists():
        return TAKEN
    if record.user is None and _is_of_others(found, record.organization):
        return f"{email} has an account in another organization. {INVITE}"[:300]
    return ""


def _is_of_others(user: User, organization: Organization) -> bool:
    """Return whether an account is in other organizations and not in this one. Who accepted an
    invitation here has proved to want it; an address alone proves nothing.
    """
    is_here = is_member(user=user, organization=organization)
    return not is_here and is_elsewhere(user=user, organization=organization)


def _address(resource: Resource[Any]) -> str:
    emails = [one for one in getattr(resource, "emails", None) or [] if one.value]
    primary = next((one for one in emails if one.primary), emails[0] if emails else None)
    text = str(primary.value) if primary else str(getattr(resource, "user_name", None) or "")
    text = text.strip().lower()
    return text if text.isprintable() and text.count("@") == 1 and len(text) <= 254 else ""


def _name(resource: Resource[Any]) -> str:
    name = getattr(resource, "name", None)
    parts = (getattr(name, "given_name", None), getattr(name, "family_name", None))
    text = (
        getattr(resource, "display_name", None)
        or getattr(name, "formatted", None)
        or " ".join(part for part in parts if part)
    )
    return " ".join(str(text).split())[:LONGEST_NAME]


def _note(action: str, record: ScimRecord, user: User) -> None:
    changes = {user.email: [None, "by provisioning"]}
    record_on(action=action, actor=None, on=record.organization, changes=changes)
