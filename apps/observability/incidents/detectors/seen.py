"""What detectors look at, and what they return."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from apps.dataplane.status import ComponentStatus, Observation
from apps.deployments.configuration.schema import Configuration
from apps.deployments.models import Deployment, RevisionState
from apps.deployments.pages.queries import observation_of
from apps.observability.history.metrics import STRAIN
from apps.observability.incidents.evidence import Evidence, line_of
from apps.observability.incidents.kinds import KINDS, Severity

TITLE_CHARACTERS, SUMMARY_CHARACTERS, SUBJECT_CHARACTERS = 160, 600, 120
# The longest time between two observations, with room: a cluster is surveyed every ten minutes.
OLD_ON_THIS_MACHINE, OLD_ON_A_CLUSTER = timedelta(minutes=5), timedelta(minutes=25)
# A metric and of which part of the Deployment.
Name = tuple[str, str]
# What the collector measures and detectors read.
MEASURED = ("heartbeat_age", "queued", "running", "database_bytes", *STRAIN)
MEASURED_KINDS = frozenset(key for key, kind in KINDS.items() if kind.is_measured)
# Observations of clusters hold neither heartbeats nor tasks; those of this machine do.
MEASURED_ON_CLUSTERS = frozenset({"heartbeat-late", "queue-at-capacity"})


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong. `subject` tells findings of a kind apart, and stays the same."""

    kind: str
    subject: str = ""
    severity: Severity
    title: str
    summary: str
    evidence: Evidence


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A Deployment with its stored rows, read once. Needs `cluster`, `wanted` and `applied`.
    `measured` are the newest measurements of the collector, by metric and label.
    """

    deployment: Deployment
    observation: Observation | None
    configuration: Configuration | None
    now: datetime
    measured: Mapping[Name, float] = field(default_factory=dict)

    @property
    def unknown_kinds(self) -> frozenset[str]:
        """The kinds that cannot be judged now: the collector has measured nothing lately."""
        if self.measured:
            return frozenset()
        if self.deployment.cluster.is_kubernetes:
            return MEASURED_KINDS | MEASURED_ON_CLUSTERS
        return MEASURED_KINDS

    def number(self, metric: str, label: str = "") -> float | None:
        """Return a measurement of now, None where it is not known."""
        return self.measured.get((metric, label))

    @property
    def is_settled(self) -> bool:
        wanted = self.deployment.wanted
        return wanted is not None and wanted.state == RevisionState.APPLIED

    @property
    def is_old(self) -> bool:
        """Whether the observation is older than observations of this data plane become."""
        if self.observation is None:
            return False
        is_far = self.deployment.cluster.is_kubernetes
        allowed = OLD_ON_A_CLUSTER if is_far else OLD_ON_THIS_MACHINE
        return self.now - self.observation.observed_at > allowed

    @property
    def is_blind(self) -> bool:
        """Whether nothing about the data plane is known now."""
        is_away = self.deployment.cluster.unreachable_since is not None
        return is_away or self.observation is None or self.is_old


def seen(
    deployment: Deployment, *, now: datetime, measured: Mapping[Name, float] | None = None
) -> Seen:
    """Read the rows of a Deployment. An observation that cannot be read counts as none."""
    try:
        observation = observation_of(deployment)
    except (KeyError, TypeError, ValueError):
        observation = None
    wanted = deployment.wanted
    configuration = wanted.configuration if wanted else None
    return Seen(
        deployment=deployment,
        observation=observation,
        configuration=configuration,
        now=now,
        measured=measured or {},
    )


def finding_of(
    kind: str,
    *,
    title: str,
    summary: str,
    proof: Evidence,
    subject: str = "",
    severity: Severity | None = None,
) -> Finding:
    """Return a finding with texts cut to size, and its kind's severity unless another is given."""
    return Finding(
        kind=kind,
        subject=line_of(subject, SUBJECT_CHARACTERS),
        severity=KINDS[kind].severity if severity is None else severity,
        title=line_of(title, TITLE_CHARACTERS),
        summary=line_of(summary, SUMMARY_CHARACTERS),
        evidence=proof,
    )


def components_of(look: Seen) -> tuple[ComponentStatus, ...]:
    """Return the components as they were observed last."""
    return look.observation.components if look.observation else ()


def facts_of(component: ComponentStatus) -> list[tuple[str, object]]:
    """Return what evidence says of a component."""
    return [
        ("Component", component.name),
        ("State", component.state),
        ("Ready", f"{component.ready} of {component.wanted}"),
        ("Restarts", component.restarts or ""),
        ("Started", utc(component.started_at)),
    ]


def utc(at: datetime | None) -> str:
    """Write a moment for evidence, nothing for none."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else ""
