"""Provisioned people: accounts of the organization, active or deactivated."""

from typing import Any

from scim2_models import InvalidValueException, Resource

from apps.access.audit_labels import record_on
from apps.access.services import LastOwner, grant, keep_an_owner, least_role
from apps.accounts.models import User
from apps.accounts.queries import person_with_email
from apps.accounts.services import (
    change_address,
    create_passwordless,
    deactivate_person,
    reactivate_person,
    update_profile,
)
from apps.organizations.queries import is_member
from apps.organizations.workspaces.queries import organizations_of
from apps.sso.models import ScimRecord
from apps.sso.queries import verified_domain

LONGEST_NAME = 150
NO_ADDRESS = "No email address came with this person."
TAKEN = "Another record of the identity provider is this person already."


def follow(record: ScimRecord, resource: Resource[Any], before: Resource[Any] | None) -> None:
    """Update the account from the resource; `before` is the previous resource.

    A person whose address is in no verified domain is stored as a record with a `problem`, without
    an account. Raises InvalidValueException when the last owner would be removed.
    """
    email = _address(resource)
    record.problem = _problem(record, email)
    if not record.problem:
        _follow_account(record, resource, email)
        _follow_name(record, resource, before)
    record.save(update_fields=["user", "problem"])


def close(record: ScimRecord) -> None:
    """Deactivate the account behind a record: its sessions and tokens end at once."""
    user = record.user
    if user is None or not user.is_active:
        return
    try:
        for organization in organizations_of(user=user):
            keep_an_owner(on=organization, leaving=user)
    except LastOwner as error:
        raise InvalidValueException(detail=error.message) from None
    deactivate_person(user=user)
    _note("person.deactivated", record, user)


def _follow_account(record: ScimRecord, resource: Resource[Any], email: str) -> None:
    user = record.user or person_with_email(email=email)
    if user is None:
        user = create_passwordless(email=email, name=_name(resource))
        record.user = user
        _note("person.created", record, user)
    record.user = user
    if user.email.lower() != email:
        change_address(user=user, email=email)
        _note("person.address_changed", record, user)
    if getattr(resource, "active", True) is False:
        close(record)
        return
    if not user.is_active:
        reactivate_person(user=user)
        _note("person.reactivated", record, user)
    if not is_member(user=user, organization=record.organization):
        role = least_role(on=record.organization)
        grant(actor=None, user=user, role=role, on=record.organization)


def _follow_name(record: ScimRecord, resource: Resource[Any], before: Resource[Any] | None) -> None:
    """Take over a name that changed at the provider. Until then a name chosen here stays."""
    name = _name(resource)
    if record.user is None or before is None or not name or name == _name(before):
        return
    changes = {record.user.email: [record.user.name, name]}
    update_profile(user=record.user, name=name, time_zone=record.user.time_zone)
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
    return TAKEN if others.exclude(pk=record.pk).exists() else ""


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
