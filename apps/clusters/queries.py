"""Reads about clusters: which workspaces may use them, and their state in words."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Case, CharField, Count, Q, Value, When

from apps.clusters.models import Cluster, ClusterQuerySet
from apps.organizations.models import Organization, Workspace

EXPIRES_SOON = timedelta(days=14)
# A Deployment that was deleted is a record; these run somewhere.
IN_USE = Q(deployments__phase__in=["active", "deleting"])
# What of a cluster ends, by the column that says when.
EXPIRING = {
    "credential_expires_at": "credential",
    "ca_expires_at": "CA certificate",
    "database_ca_expires_at": "CA certificate of the database server",
    "registry_ca_expires_at": "CA certificate of the registry",
}
# Without these the portal reaches no cluster; successors of the others are entered in its settings.
ACCESS = ("credential_expires_at", "ca_expires_at")
TONES = {"bad": "Out of reach", "warn": "Need care", "idle": "Not tested", "good": "Ready"}


@dataclass(frozen=True, kw_only=True)
class ClusterState:
    """The state of a cluster, in one word and one message."""

    tone: str
    word: str
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Expiry:
    """When a credential or certificate of a cluster ends, or ended."""

    what: str
    at: datetime
    is_access: bool

    @property
    def subject(self) -> str:
        """`what` as the beginning of a sentence."""
        return f"{self.what[0].upper()}{self.what[1:]}"


def expiries_of(cluster: Cluster) -> list[Expiry]:
    """List what of a cluster ends, the earliest first. No query."""
    found = [
        Expiry(what=what, at=at, is_access=column in ACCESS)
        for column, what in EXPIRING.items()
        if (at := getattr(cluster, column)) is not None
    ]
    return sorted(found, key=lambda one: one.at)


def clusters_of(*, organization: Organization) -> ClusterQuerySet:
    """List the clusters of an organization by name, with `deployment_count` of those that run."""
    there = Cluster.objects.there().filter(organization=organization)
    return there.annotate(deployment_count=Count("deployments", filter=IN_USE)).order_by("name")


def with_tone(clusters: ClusterQuerySet, *, now: datetime) -> Any:
    """Annotate `tone`, which is that of `state_of`."""
    is_kubernetes = Q(kind=Cluster.Kind.KUBERNETES)
    is_untold = ~Q(check_result__has_key="is_usable")
    is_usable = Q(check_result__is_usable=True) | (is_untold & ~is_kubernetes)
    return clusters.annotate(
        tone=Case(
            When(unreachable_since__isnull=False, then=Value("bad")),
            When(_expires(now, ACCESS), then=Value("bad")),
            When(is_kubernetes & Q(checked_at=None), then=Value("idle")),
            When(_expires(now + EXPIRES_SOON), then=Value("warn")),
            When(is_usable, then=Value("good")),
            default=Value("warn"),
            output_field=CharField(),
        )
    )


def count_by_tone(clusters: Any) -> dict[str, int]:
    """Count clusters that have a `tone`, in the order of TONES. One query."""
    # Each row is joined with its Deployments where they are counted, too.
    counted = clusters.order_by().values_list("tone").annotate(count=Count("pk", distinct=True))
    found = dict(counted)
    return {tone: found.get(tone, 0) for tone in TONES}


def clusters_for(*, workspace: Workspace) -> ClusterQuerySet:
    """List the clusters that a workspace may create Deployments on, the oldest first."""
    mine = Cluster.objects.there().filter(organization_id=workspace.organization_id)
    chosen = Q(pk__in=workspace.clusters.values("pk"))
    return mine.filter(Q(is_for_all_workspaces=True) | chosen).order_by("created_at")


def deployments_on(*, cluster: Cluster) -> Any:
    """List the Deployments that run on a cluster, by name."""
    # A higher app owns the model; its rows are reached without an import.
    return cluster.deployments.exclude(phase="deleted").order_by("name")


def deployments_in_words(count: int) -> str:
    """Write "12 Deployments are"."""
    return "1 Deployment is" if count == 1 else f"{count} Deployments are"


def behind(*, cluster: Cluster) -> Any:
    """List the Deployments on a cluster that do not run with its present settings yet, by name."""
    there = deployments_on(cluster=cluster).filter(phase="active").exclude(applied=None)
    return there.filter(settings_version__lt=cluster.settings_version)


def same_clusters(cluster: Cluster) -> ClusterQuerySet:
    """List other rows of the organization behind which the same cluster answered."""
    if not cluster.identity_seen:
        return Cluster.objects.none()
    same = Cluster.objects.there().filter(identity_seen=cluster.identity_seen)
    return same.filter(organization_id=cluster.organization_id).exclude(pk=cluster.pk)


def state_of(cluster: Cluster, *, now: datetime) -> ClusterState:
    """Return the state of a cluster, from what was seen last. No query."""
    if cluster.unreachable_since is not None:
        return ClusterState(tone="bad", word="Unreachable", message=cluster.last_error)
    expiries = expiries_of(cluster)
    expired = next((one for one in expiries if one.is_access and one.at <= now), None)
    if expired is not None:
        return ClusterState(
            tone="bad", word=f"{expired.subject} expired", message=f"Replace the {expired.what}."
        )
    if cluster.is_kubernetes and cluster.checked_at is None:
        return ClusterState(tone="idle", word="Not tested")
    if not cluster.is_usable:
        return ClusterState(tone="warn", word="Not ready", message=_first_fault(cluster))
    expiry = next(iter(expiries), None)
    if expiry is not None and expiry.at <= now:
        return ClusterState(
            tone="warn",
            word=f"{expiry.subject} expired",
            message="Enter its successor in the settings.",
        )
    if expiry is not None and expiry.at <= now + EXPIRES_SOON:
        return ClusterState(
            tone="warn",
            word="Ready",
            message=f"The {expiry.what} expires on {expiry.at.day} {expiry.at:%b %Y}.",
        )
    return ClusterState(tone="good", word="Ready")


def permission_rows(cluster: Cluster) -> list[dict[str, Any]]:
    """List the permissions that the last test asked for, those with something missing first."""
    found = cluster.check_result.get("permissions", [])
    return sorted(found, key=lambda one: not one["missing"])


def _expires(until: datetime, columns: Iterable[str] = EXPIRING) -> Q:
    return reduce(or_, (Q(**{f"{column}__lte": until}) for column in columns))


def _first_fault(cluster: Cluster) -> str:
    findings = cluster.check_result.get("findings", [])
    faults = [one["detail"] or one["title"] for one in findings if not one["is_ok"]]
    missing = sum(1 for one in permission_rows(cluster) if one["missing"])
    if missing:
        return f"{missing} permission{'s are' if missing > 1 else ' is'} missing."
    return str(faults[0]) if faults else ""
