"""Writes about email domains, whose ownership is verified by DNS."""

import re
import secrets
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.core.errors import Invalid, Refused
from apps.organizations.models import Organization
from apps.organizations.tokens.logins import end_logins_at
from apps.organizations.tokens.personal import end_personal_tokens_at
from apps.sso.domains.dns import LookupFailed, txt_records
from apps.sso.models import BypassLink, Domain

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@transaction.atomic
def add_domain(*, actor: User, organization: Organization, name: str) -> Domain:
    """Add a domain that is to be verified by DNS. Raises Invalid."""
    name = _domain_name(name)
    if organization.domains.filter(name=name).exists():
        raise Invalid(f"{name} is on the list already.", field="name")
    domain = Domain.objects.create(
        organization=organization, name=name, token=secrets.token_urlsafe(24)
    )
    _record("domain.added", actor, organization, {"domain": [None, name]})
    return domain


def check_domain(*, actor: User, domain: Domain) -> bool:
    """Query DNS for the record of a domain and store the result; return whether it is verified."""
    problem = _dns_problem(domain)
    try:
        with transaction.atomic():
            return _note_check(actor, domain, problem)
    except IntegrityError:
        problem = "Another organization of this portal has verified this domain."
        _note(domain, checked_at=timezone.now(), problem=problem)
        return False


def _note_check(actor: User, domain: Domain, problem: str) -> bool:
    now = timezone.now()
    if problem:
        # A domain once verified stays so: a resolver that fails for a day must not lock people out.
        _note(domain, checked_at=now, problem=problem)
        return domain.verified_at is not None
    is_new = domain.verified_at is None
    _note(domain, checked_at=now, problem="", verified_at=domain.verified_at or now)
    if is_new:
        _record("domain.verified", actor, domain.organization, {"domain": [None, domain.name]})
    return True


@transaction.atomic
def remove_domain(*, actor: User, domain: Domain) -> None:
    """Delete a domain. Identity providers are no longer trusted for its addresses."""
    _record("domain.removed", actor, domain.organization, {"domain": [domain.name, None]})
    domain.delete()


@transaction.atomic
def enforce_sso(*, actor: User, domain: Domain, is_enforced: bool) -> None:
    """Enforce single sign-on for a domain, or stop enforcing it.

    Raises Refused where it would lock everyone out: no enabled connection, or no bypass link.
    """
    organization = Organization.objects.select_for_update(no_key=True).get(
        pk=domain.organization_id
    )
    if is_enforced:
        if domain.verified_at is None:
            raise Refused(f"Verify {domain} first.")
        if not organization.sso_connections.filter(is_enabled=True).exists():
            raise Refused("Enable a connection first: otherwise people could not sign in.")
        if not BypassLink.objects.filter(organization=organization).exists():
            raise Refused(
                "Create a bypass link first, and keep it where you find it when the identity "
                "provider is down."
            )
        for name in {domain.name, domain.name.encode().decode("idna")}:
            end_personal_tokens_at(domain=name)
            end_logins_at(domain=name)
    _note(domain, is_enforced=is_enforced)
    action = "sso.enforced" if is_enforced else "sso.released"
    _record(action, actor, organization, {"domain": [None, domain.name]})


def _domain_name(text: str) -> str:
    name = text.strip().lower().rstrip(".")
    try:
        ascii_name = name.encode("idna").decode()
    except UnicodeError:
        raise Invalid("This is not a domain name.", field="name") from None
    labels = ascii_name.split(".")
    if len(labels) < 2 or len(ascii_name) > 253 or not all(map(LABEL.fullmatch, labels)):
        raise Invalid("Enter a domain name, like example.com.", field="name")
    return ascii_name


def _dns_problem(domain: Domain) -> str:
    try:
        records = txt_records(name=domain.record_name)
    except LookupFailed:
        return "No name server answered. Try again in a while."
    if domain.record_value in records:
        return ""
    if records:
        return "There is a record of that name, but with another value."
    return "There is no such record yet. New records can take an hour to appear."


def _note(domain: Domain, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(domain, name, value)
    domain.save(update_fields=list(fields))


def _record(
    action: str, actor: User, organization: Organization, changes: dict[str, list[str | None]]
) -> None:
    record_on(action=action, actor=actor, on=organization, changes=changes)
