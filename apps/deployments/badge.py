"""The one word, sign and message for a Deployment: a pure function of its three machines.

`status_expression` computes the same in SQL, for filters and counts; a test keeps the two in
agreement.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from django.db.models import Case, CharField, F, Q, Value, When

from apps.deployments.models import Health, Phase, RevisionState

Tone = Literal["good", "move", "warn", "bad", "idle"]
Group = Literal["failed", "unhealthy", "degraded", "unknown", "progress", "healthy", "hibernating"]
# Those that need a person first.
GROUPS: tuple[Group, ...] = (
    "failed",
    "unhealthy",
    "degraded",
    "unknown",
    "progress",
    "healthy",
    "hibernating",
)
UNSETTLED = (RevisionState.PENDING, RevisionState.APPLYING)


class RevisionSeen(Protocol):
    """The fields of a revision that the badge reads."""

    @property
    def number(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def failure(self) -> str: ...
    @property
    def code_digest(self) -> str: ...


class ClusterSeen(Protocol):
    """The fields of a cluster that the badge reads."""

    @property
    def name(self) -> str: ...
    @property
    def unreachable_since(self) -> datetime | None: ...


class DeploymentSeen(Protocol):
    """The fields of a Deployment that the badge reads: of the model, or of a row of the list."""

    @property
    def phase(self) -> str: ...
    @property
    def health(self) -> str: ...
    @property
    def health_message(self) -> str: ...
    @property
    def last_error(self) -> str: ...
    @property
    def quarantined_at(self) -> datetime | None: ...
    @property
    def import_errors(self) -> int: ...
    @property
    def warnings(self) -> Sequence[str] | None: ...
    @property
    def next_reconcile_at(self) -> datetime | None: ...
    @property
    def is_hibernating(self) -> bool: ...
    @property
    def hibernation_turns_at(self) -> datetime | None: ...
    @property
    def wanted(self) -> RevisionSeen | None: ...
    @property
    def applied(self) -> RevisionSeen | None: ...
    @property
    def cluster(self) -> ClusterSeen: ...


@dataclass(frozen=True, slots=True)
class DisplayStatus:
    """`group` is what lists filter and count by; `icon` is a name of the sprite."""

    key: str
    group: Group
    word: str
    tone: Tone
    icon: str
    message: str

    @property
    def is_settled(self) -> bool:
        """Return whether nothing is expected to change by itself soon."""
        return self.group != "progress"


def display_status(deployment: DeploymentSeen) -> DisplayStatus:
    """Return the badge. Needs `wanted`, `applied` and `cluster`; a Deployment that is changing is
    never unhealthy, and an unreachable one has no other status.
    """
    if deployment.phase == Phase.DELETED:
        return DisplayStatus(
            "deleted", "unknown", "Deleted", "idle", "trash", "Nothing of it is left."
        )
    if deployment.quarantined_at:
        message = deployment.last_error
        return DisplayStatus("failed", "failed", "Stopped retrying", "bad", "bad", message)
    if deployment.phase == Phase.DELETING:
        return _deleting(deployment)
    state = deployment.wanted.state if deployment.wanted else RevisionState.PENDING
    if state in UNSETTLED:
        return _in_change(deployment)
    if state == RevisionState.FAILED:
        return _failed(deployment)
    if deployment.cluster.unreachable_since:
        message = f"{_silence(deployment)} This page shows data from before."
        return DisplayStatus("unreachable", "unknown", "Unreachable", "idle", "unknown", message)
    return _at_rest(deployment)


def _at_rest(deployment: DeploymentSeen) -> DisplayStatus:
    last_error, health = deployment.last_error, deployment.health_message
    if deployment.health == Health.HEALTHY and deployment.import_errors:
        message = f"{import_errors_in_words(deployment.import_errors)}. The other DAGs run."
        return DisplayStatus("degraded", "degraded", "Degraded", "warn", "warn", message)
    if deployment.health == Health.HEALTHY and deployment.warnings:
        message = deployment.warnings[0]
        return DisplayStatus("degraded", "degraded", "Degraded", "warn", "warn", message)
    if deployment.health == Health.HEALTHY:
        return DisplayStatus("healthy", "healthy", "Healthy", "good", "good", health)
    if deployment.health == Health.STARTING:
        return DisplayStatus("starting", "progress", "Starting", "move", "move", health)
    if deployment.health == Health.STOPPED and deployment.is_hibernating:
        return _hibernating(deployment)
    if deployment.health == Health.UNKNOWN:
        return DisplayStatus(
            "unknown", "unknown", "Unknown", "idle", "unknown", last_error or health
        )
    return DisplayStatus("unhealthy", "unhealthy", "Unhealthy", "bad", "bad", last_error or health)


def _hibernating(deployment: DeploymentSeen) -> DisplayStatus:
    turns_at = deployment.hibernation_turns_at
    until = "It hibernates until it is woken."
    if turns_at is not None:
        until = f"Wakes {turns_at:%a} {turns_at.day} {turns_at:%b}, {turns_at:%H:%M} UTC."
    message = deployment.last_error or until
    return DisplayStatus("hibernating", "hibernating", "Hibernating", "idle", "sleep", message)


def import_errors_in_words(count: int) -> str:
    """Say how many DAG files cannot be imported, without a full stop."""
    files = "1 DAG file" if count == 1 else f"{count:,} DAG files"
    return f"{files} cannot be imported"


def _deleting(deployment: DeploymentSeen) -> DisplayStatus:
    if deployment.next_reconcile_at is None:
        message = f"It could not be deleted. {deployment.last_error}"
        return DisplayStatus("failed", "failed", "Failed", "bad", "bad", message)
    message = deployment.last_error or "Its processes, database and files are being removed."
    if deployment.cluster.unreachable_since:
        message = f"{_silence(deployment)} It is deleted as soon as the cluster answers."
    return DisplayStatus("deleting", "progress", "Deleting", "move", "move", message)


def _in_change(deployment: DeploymentSeen) -> DisplayStatus:
    wanted, applied = deployment.wanted, deployment.applied
    last_error = deployment.last_error
    if deployment.cluster.unreachable_since:
        last_error = f"{_silence(deployment)} The change is applied as soon as it answers."
    if wanted is None or applied is None:
        message = last_error or "Airflow is being set up."
        return DisplayStatus("creating", "progress", "Creating", "move", "move", message)
    if wanted.number == applied.number and deployment.is_hibernating:
        message = last_error or "Airflow stops when its tasks have ended."
        return DisplayStatus("stopping", "progress", "Falling asleep", "move", "move", message)
    again = last_error or "Airflow is starting again."
    if wanted.number == applied.number and deployment.health == Health.STOPPED:
        return DisplayStatus("starting", "progress", "Waking up", "move", "move", again)
    if wanted.number == applied.number and deployment.health == Health.STARTING:
        return DisplayStatus("starting", "progress", "Starting", "move", "move", again)
    if wanted.code_digest != applied.code_digest:
        message = last_error or f"Revision {wanted.number} deploys new code."
        return DisplayStatus("deploying", "progress", "Deploying", "move", "move", message)
    message = last_error or f"Revision {wanted.number} is being applied."
    return DisplayStatus("updating", "progress", "Updating", "move", "move", message)


def _silence(deployment: DeploymentSeen) -> str:
    return f"The cluster {deployment.cluster.name} does not answer."


def _failed(deployment: DeploymentSeen) -> DisplayStatus:
    wanted, applied = deployment.wanted, deployment.applied
    failure = wanted.failure if wanted else ""
    if wanted is None or applied is None:
        return DisplayStatus("failed", "failed", "Failed", "bad", "bad", failure)
    message = f"Revision {wanted.number} was not applied. {failure}"
    return DisplayStatus("failed", "failed", "Update failed", "warn", "warn", message)


def status_expression() -> Case:
    """Return the group of `display_status` as an expression over Deployments."""
    is_failed = (
        Q(quarantined_at__isnull=False)
        | Q(phase=Phase.DELETING, next_reconcile_at=None)
        | Q(phase=Phase.ACTIVE, wanted__state=RevisionState.FAILED)
    )
    is_unsettled = Q(phase=Phase.DELETING) | Q(wanted=None) | Q(wanted__state__in=UNSETTLED)
    return Case(
        When(phase=Phase.DELETED, then=Value("unknown")),
        When(is_failed, then=Value("failed")),
        When(is_unsettled, then=Value("progress")),
        When(cluster__unreachable_since__isnull=False, then=Value("unknown")),
        When(health=Health.STARTING, then=Value("progress")),
        When(health=Health.STOPPED, is_hibernating=True, then=Value("hibernating")),
        When(health=Health.HEALTHY, observation__import_errors__gt=0, then=Value("degraded")),
        When(
            health=Health.HEALTHY,
            observation__warnings__0__isnull=False,
            then=Value("degraded"),
        ),
        When(health__in=[Health.HEALTHY, Health.UNKNOWN], then=F("health")),
        default=Value("unhealthy"),
        output_field=CharField(),
    )
