"""Who answers for a connection: whoever wrote what its answers are checked against, or an owner who
approves that.
"""

from typing import Any

from allauth.socialaccount.models import SocialAccount
from django.db import transaction
from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.core.errors import Invalid, Refused
from apps.organizations.models import Organization
from apps.organizations.teams.services import may_give_team
from apps.sso.connections.newcomers import check_newcomer_role
from apps.sso.linking.reach import is_owner
from apps.sso.models import LinkProof, SSOConnection

# Changes after which a test must be repeated; the name alone does not affect sign-in.
TESTED_FIELDS = frozenset({"client_id", "config", "email_attribute"})
# What decides whose words the answers are. Whoever changes it answers for them from then on.
TRUSTED_FIELDS = TESTED_FIELDS | {"groups_attribute"}


@transaction.atomic
def approve_connection(*, actor: User, connection: SSOConnection) -> None:
    """Let a connection reach all people of the organization by itself, and not only those whose
    permissions its maker has. Raises Refused for everyone but owners.
    """
    if not is_owner(user=actor, organization=connection.organization):
        raise Refused("Only an owner of the organization can approve a connection.")
    connection.approved_by, connection.approved_at = actor, timezone.now()
    connection.save(update_fields=["approved_by", "approved_at"])
    _record("sso_connection.approved", actor, connection, {})


def check_reason(*, actor: User, organization: Organization, reason: str) -> None:
    """Raise Invalid for a reason that the actor may not state: only owners may."""
    if reason and not is_owner(user=actor, organization=organization):
        raise Invalid(
            "Only an owner of the organization can state that the addresses are verified.",
            field="addresses_verified_because",
        )


def answer_for(*, actor: User, connection: SSOConnection) -> None:
    """Note who wrote what the answers are checked against; an owner approves it by that."""
    approves = is_owner(user=actor, organization=connection.organization)
    connection.configured_by = actor
    connection.approved_by = actor if approves else None
    connection.approved_at = timezone.now() if approves else None
    if not approves:
        connection.addresses_verified_because = ""


def take_over(
    *, actor: User, connection: SSOConnection, former: SSOConnection, replaces: bool
) -> None:
    """Make the actor answer for a connection from now on, with what it gives by itself.

    Proofs end: people proved their accounts to the identity provider that was there before.
    Identities end with another issuer, because a name there says nothing about a name here.
    `former` is the row as it was. Raises RightsExceeded for what the actor may not give, and
    Invalid for another issuer without `replaces`.
    """
    check_newcomer_role(
        actor=actor, organization=connection.organization, key=connection.default_role
    )
    for mapping in connection.group_mappings.select_related("team"):
        may_give_team(actor=actor, team=mapping.team)
    answer_for(actor=actor, connection=connection)
    theirs = SocialAccount.objects.filter(provider=connection.key)
    LinkProof.objects.filter(account__in=theirs).delete()
    if former.issuer == connection.issuer:
        return
    count = theirs.count()
    if count and not replaces:
        raise Invalid(
            f"This is another identity provider: {connection.issuer} in place of {former.issuer}. "
            f"The {count} identities that are linked now belong to the former one and end; their "
            "people link anew at their next sign-in. Tick the box to replace it.",
            field="replaces",
        )
    theirs.delete()
    _record("identity.ended", actor, connection, {"identities": [str(count), "0"]})


def is_rollover(*, former: SSOConnection, connection: SSOConnection, changed: set[str]) -> bool:
    """Return whether nothing but certificates changed of what a test tries."""
    before, after = (
        {name: value for name, value in one.config.items() if name != "certificates"}
        for one in (former, connection)
    )
    return changed & TESTED_FIELDS == {"config"} and before == after


def _record(action: str, actor: User, connection: SSOConnection, changes: dict[str, Any]) -> None:
    named = {**changes, "connection": [connection.name, connection.name]}
    record_on(action=action, actor=actor, on=connection.organization, changes=named)
