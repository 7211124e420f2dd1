"""What a webhook can be told about: each event has one topic."""

from dataclasses import dataclass

from django.db.models import TextChoices


class Topic(TextChoices):
    DEPLOYS = "deploys", "Deploys and rollbacks"
    OPERATIONS = "operations", "Other operations"
    REVISIONS = "revisions", "Revisions"
    HEALTH = "health", "Health of Deployments"
    INCIDENTS = "incidents", "Incidents"
    ACCESS = "access", "Access: people, Teams, roles, sign-in"
    TOKENS = "tokens", "API tokens"
    OTHER = "other", "Everything else in the audit log"


@dataclass(frozen=True, kw_only=True)
class About:
    """What a topic is about, and types of its events."""

    hint: str
    examples: tuple[str, ...]


ABOUT: dict[str, About] = {
    Topic.DEPLOYS: About(
        hint="Code that is delivered to a Deployment begins and ends.",
        examples=("deploy.started", "deploy.succeeded", "deploy.failed", "deploy.superseded"),
    ),
    Topic.OPERATIONS: About(
        hint="Create, update, retry, delete and what else takes steps.",
        examples=(
            "operation.started",
            "operation.succeeded",
            "operation.failed",
            "operation.superseded",
        ),
    ),
    Topic.REVISIONS: About(
        hint="A configuration is saved, applied, fails or is replaced by a newer one.",
        examples=(
            "revision.created",
            "revision.applied",
            "revision.failed",
            "revision.superseded",
        ),
    ),
    Topic.HEALTH: About(
        hint="What the data plane reports turns from one into another.",
        examples=("health.changed",),
    ),
    Topic.INCIDENTS: About(
        hint="Each line of the timeline of an incident.",
        examples=(
            "incident.opened",
            "incident.changed",
            "incident.acknowledged",
            "incident.silenced",
            "incident.unsilenced",
            "incident.closed",
        ),
    ),
    Topic.ACCESS: About(
        hint="Who may do what, and how people sign in.",
        examples=("role.granted", "role.revoked", "team.member_added", "invitation.accepted"),
    ),
    Topic.TOKENS: About(
        hint="API tokens are made, rotated, revoked.",
        examples=("token.created", "token.rotated", "token.revoked"),
    ),
    Topic.OTHER: About(
        hint="Changes of settings, clusters, repositories, alerts and more.",
        examples=("deployment.updated", "cluster.registered", "workspace.created"),
    ),
}

_ACCESS = frozenset(
    {
        "account",
        "domain",
        "group",
        "identity",
        "invitation",
        "person",
        "role",
        "second_factor",
        "sso",
        "sso_bypass",
        "sso_connection",
        "team",
    }
)
_TOKENS = frozenset({"token", "personal_token", "scim_token"})


def topic_of_action(action: str) -> Topic:
    """Return the topic of an audit event by the noun of its action."""
    noun = action.partition(".")[0]
    if noun in _TOKENS:
        return Topic.TOKENS
    return Topic.ACCESS if noun in _ACCESS else Topic.OTHER
