"""Writes about identity providers. Each is audited; secrets are only ever replaced."""

import secrets
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.access.grants.services import lock_memberships
from apps.accounts.models import User
from apps.accounts.queries import digest_of
from apps.core.encryption.keys import key_ring
from apps.core.errors import Invalid, Refused
from apps.organizations.models import Organization
from apps.sso.connections.editions import lock_connection
from apps.sso.connections.newcomers import check_newcomer_role, newcomers_in_words
from apps.sso.connections.trust import (
    TESTED_FIELDS,
    TRUSTED_FIELDS,
    answer_for,
    approve_connection,
    check_reason,
    is_rollover,
    take_over,
)
from apps.sso.encryption import add_encryption_key
from apps.sso.linking.reach import is_owner
from apps.sso.models import BypassLink, ReservedKey, SSOConnection

# Of the configuration: who gets the client secret.
RECEIVER_OF_SECRET = ("issuer", "ca_certificate")


def reserve_key(*, actor: User, organization: Organization, protocol: str) -> str:
    """Return the key of the connection that the actor is adding. It stays the same until the
    connection is there, so that its addresses can be registered before, in another session, too.
    """
    reserved, _ = ReservedKey.objects.get_or_create(
        organization=organization,
        user=actor,
        protocol=protocol,
        defaults={"key": _new_key(organization)},
    )
    return reserved.key


def _new_key(organization: Organization) -> str:
    return f"{organization.slug[:24].strip('-')}-{secrets.token_hex(4)}"


@transaction.atomic
def create_connection(
    *,
    actor: User,
    organization: Organization,
    protocol: str,
    name: str,
    key: str = "",
    **fields: Any,
) -> SSOConnection:
    """Add an identity provider, not enabled yet. Its addresses hold `key`, one of `reserve_key` if
    they were told to the identity provider before. `client_secret` is plaintext. Raises Invalid.
    """
    client_secret = fields.pop("client_secret", "")
    fields.pop("replaces", None)
    _refuse_taken(organization, name)
    reason = fields.get("addresses_verified_because", "")
    check_reason(actor=actor, organization=organization, reason=reason)
    check_newcomer_role(actor=actor, organization=organization, key=fields.get("default_role", ""))
    key = key or _new_key(organization)
    ReservedKey.objects.filter(key=key).delete()
    if SSOConnection.objects.filter(key=key).exists():
        raise Invalid("This connection was added already, in another tab.")
    connection = SSOConnection(
        organization=organization, key=key, protocol=protocol, name=name, **fields
    )
    _seal(connection, client_secret)
    if protocol == SSOConnection.Protocol.SAML:
        add_encryption_key(connection)
    answer_for(actor=actor, connection=connection)
    connection.save(force_insert=True)
    _record("sso_connection.created", actor, organization, {"name": [None, name]})
    return connection


@transaction.atomic
def update_connection(
    *, actor: User, connection: SSOConnection, edition: str = "", **fields: Any
) -> None:
    """Change an identity provider. A change that affects sign-in disables it until it is tested
    again; certificates that an owner replaces do not.

    An empty `client_secret` keeps the stored one, for the same identity provider alone. Another one
    needs `replaces`, because the people of the former one are not those of this one. Raises
    Invalid, RightsExceeded when the connection gives roles that the actor may not, Refused when a
    domain that enforces SSO would lose its last connection, and Conflict when it is not of the
    `edition` any more that the fields began with.
    """
    client_secret = fields.pop("client_secret", "")
    replaces = fields.pop("replaces", False)
    lock_memberships(on=connection.organization)
    lock_connection(connection, edition=edition)
    changed = {name for name, value in fields.items() if getattr(connection, name) != value}
    _check_changes(actor, connection, {name: fields[name] for name in changed})
    if "config" in changed and not client_secret:
        _keep_secret_from_others(connection, fields["config"])
    changes = {name: _words(connection, name, fields[name]) for name in changed}
    if client_secret:
        changes["client_secret"] = ["set", "replaced"]
        _seal(connection, client_secret)
    former = SSOConnection.objects.get(pk=connection.pk)
    for name in changed:
        setattr(connection, name, fields[name])
    lacks_key = connection.protocol == SSOConnection.Protocol.SAML and not connection.encryption_key
    if lacks_key:
        add_encryption_key(connection)
        changes["encryption_certificate"] = [None, "set"]
    if not changes:
        return
    if changed & TRUSTED_FIELDS:
        take_over(actor=actor, connection=connection, former=former, replaces=replaces)
    is_approved = connection.approved_at is not None
    rolls_over = is_rollover(former=former, connection=connection, changed=changed) and is_approved
    if client_secret or (changed & TESTED_FIELDS and not rolls_over):
        _switch_off(connection)
    connection.save()
    _record("sso_connection.updated", actor, connection.organization, changes, connection)


def _check_changes(actor: User, connection: SSOConnection, fields: dict[str, Any]) -> None:
    organization = connection.organization
    if "name" in fields:
        _refuse_taken(organization, fields["name"])
    if "addresses_verified_because" in fields:
        reason = fields["addresses_verified_because"]
        check_reason(actor=actor, organization=organization, reason=reason)
    if "default_role" in fields:
        check_newcomer_role(actor=actor, organization=organization, key=fields["default_role"])


def _keep_secret_from_others(connection: SSOConnection, config: dict[str, Any]) -> None:
    """Raise Invalid where the stored secret would go to a server that it was not entered for: who
    names one, or whom its certificate is checked against, could read it there.
    """
    before = connection.config
    is_same = all(before.get(name, "") == config.get(name, "") for name in RECEIVER_OF_SECRET)
    if connection.client_secret and not is_same:
        raise Invalid(
            "Enter the client secret again: the stored one is sent to no other identity provider.",
            field="client_secret",
        )


@transaction.atomic
def enable_connection(*, actor: User, connection: SSOConnection) -> None:
    """Let people sign in through a connection that was tested. An owner approves it with that.

    Raises Refused.
    """
    if connection.tested_at is None:
        raise Refused("Test the connection first, with a real sign-in.")
    _update(connection, is_enabled=True)
    _record("sso_connection.enabled", actor, connection.organization, {}, connection)
    if connection.approved_at is None and is_owner(
        user=actor, organization=connection.organization
    ):
        approve_connection(actor=actor, connection=connection)


@transaction.atomic
def disable_connection(*, actor: User, connection: SSOConnection) -> None:
    """Disable sign-in through a connection. Raises Refused for the last one needed."""
    _refuse_lockout(connection)
    _update(connection, is_enabled=False)
    _record("sso_connection.disabled", actor, connection.organization, {}, connection)


@transaction.atomic
def delete_connection(*, actor: User, connection: SSOConnection) -> None:
    """Delete an identity provider. People keep their accounts. Raises Refused when it is needed."""
    _refuse_lockout(connection)
    _record("sso_connection.deleted", actor, connection.organization, {}, connection)
    connection.delete()


@transaction.atomic
def note_test(*, connection: SSOConnection, result: dict[str, Any], now: datetime) -> None:
    """Store the result of a test sign-in; with `is_ok` the connection can be enabled."""
    fields: dict[str, Any] = {"test_result": result}
    if result["is_ok"]:
        fields["tested_at"] = now
    _update(connection, **fields)


@transaction.atomic
def make_bypass_link(*, actor: User, organization: Organization) -> str:
    """Replace the bypass link of an organization; return its token, which is stored nowhere."""
    token = secrets.token_urlsafe(32)
    BypassLink.objects.update_or_create(
        organization=organization,
        defaults={
            "token_digest": digest_of(token),
            "created_by": actor,
            "created_at": timezone.now(),
            "used_at": None,
        },
    )
    _record("sso_bypass.created", actor, organization, {})
    return token


@transaction.atomic
def note_bypass(*, link: BypassLink) -> None:
    """Record that the bypass link was opened."""
    _update(link, used_at=timezone.now())
    _record("sso_bypass.used", None, link.organization, {})


def client_secret_of(connection: SSOConnection) -> str:
    """Return the secret in plaintext, to be sent to the identity provider only."""
    if not connection.client_secret:
        return ""
    return key_ring().open(
        sealed=bytes(connection.client_secret), identity=connection.identity("client_secret")
    )


def _seal(connection: SSOConnection, client_secret: str) -> None:
    if client_secret:
        connection.client_secret = key_ring().seal(
            value=client_secret, identity=connection.identity("client_secret")
        )


def _switch_off(connection: SSOConnection) -> None:
    if connection.is_enabled:
        _refuse_lockout(connection)
    connection.is_enabled = False
    connection.tested_at = None
    connection.test_result = {}


def _refuse_lockout(connection: SSOConnection) -> None:
    organization = Organization.objects.select_for_update(no_key=True).get(
        pk=connection.organization_id
    )
    enabled = organization.sso_connections.filter(is_enabled=True)
    is_last = connection.is_enabled and not enabled.exclude(pk=connection.pk).exists()
    enforced = list(organization.domains.filter(is_enforced=True).values_list("name", flat=True))
    if is_last and enforced:
        raise Refused(
            f"{', '.join(enforced)} requires single sign-on, and this is the last connection: "
            "people could not sign in. Add another one, or stop enforcing first."
        )


def _refuse_taken(organization: Organization, name: str) -> None:
    if organization.sso_connections.filter(name__iexact=name).exists():
        raise Invalid(f"There is a connection called {name} already.", field="name")


def _words(connection: SSOConnection, name: str, after: Any) -> list[Any]:
    if name == "config":
        return ["set", "replaced"]
    change = [getattr(connection, name), after]
    if name != "default_role":
        return change
    return [newcomers_in_words(organization=connection.organization, key=key) for key in change]


def _update(row: Any, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(row, name, value)
    row.save(update_fields=list(fields))


def _record(
    action: str,
    actor: User | None,
    organization: Organization,
    changes: dict[str, Any],
    connection: SSOConnection | None = None,
) -> None:
    if connection is not None:
        changes = {**changes, "connection": [connection.name, connection.name]}
    record_on(action=action, actor=actor, on=organization, changes=changes)
