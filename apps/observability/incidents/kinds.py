"""The table of kinds: how bad each is, how it is detected, when it opens and when it closes.

A kind opens once it was found in a number of evaluations in a row and for a time, and closes when
it was not found likewise: a flicker opens nothing, and a moment of calm closes nothing. Both count,
so that a clock that jumps opens and closes nothing by itself.
"""

from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import IntegerChoices


class Severity(IntegerChoices):
    """How urgent an incident is; the number orders them."""

    INFO = 10, "Info"
    WARNING = 20, "Warning"
    CRITICAL = 30, "Critical"


class Hold(NamedTuple):
    """For how many evaluations in a row, and for how many seconds."""

    evaluations: int
    seconds: int


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of incident. `is_observed`: found in the last observation of the data plane, so that
    it can neither open nor close while the Deployment cannot be observed. `is_measured`: found in
    the measurements of the collector, and held without them.
    """

    key: str
    label: str
    severity: Severity
    opens: Hold
    closes: Hold
    detected: str
    is_observed: bool = True
    is_measured: bool = False


AT_ONCE, SOON, PATIENT = Hold(1, 0), Hold(3, 60), Hold(6, 180)
LONG = Hold(10, 300)

KINDS: dict[str, Kind] = {
    kind.key: kind
    for kind in (
        Kind(
            key="unreachable",
            label="Cannot be observed",
            severity=Severity.WARNING,
            opens=Hold(2, 30),
            closes=Hold(2, 30),
            detected="The cluster does not answer, or the last observation is too old.",
            is_observed=False,
        ),
        Kind(
            key="missing",
            label="Nothing is there",
            severity=Severity.CRITICAL,
            opens=SOON,
            closes=SOON,
            detected="The data plane has nothing of a Deployment that was applied.",
        ),
        Kind(
            key="unhealthy",
            label="Airflow is unhealthy",
            severity=Severity.CRITICAL,
            opens=SOON,
            closes=SOON,
            detected="The API server or the scheduler does not answer, and no component says why.",
        ),
        Kind(
            key="heartbeat-late",
            label="Heartbeat is late",
            severity=Severity.CRITICAL,
            opens=SOON,
            closes=SOON,
            detected="A component sent no heartbeat for a minute.",
        ),
        Kind(
            key="crash-loop",
            label="Component crashes",
            severity=Severity.CRITICAL,
            opens=Hold(2, 30),
            closes=LONG,
            detected="A component is in back-off after crashes, or exits as soon as it starts.",
        ),
        Kind(
            key="out-of-memory",
            label="Out of memory",
            severity=Severity.CRITICAL,
            opens=AT_ONCE,
            closes=LONG,
            detected="Kubernetes killed a container at its memory limit, and it is in back-off.",
        ),
        Kind(
            key="image-pull",
            label="Image cannot be pulled",
            severity=Severity.CRITICAL,
            opens=Hold(2, 30),
            closes=SOON,
            detected="A container waits for its image.",
        ),
        Kind(
            key="not-ready",
            label="Component does not become ready",
            severity=Severity.WARNING,
            opens=Hold(10, 600),
            closes=SOON,
            detected="A component of Airflow, not a worker, has not been ready for ten minutes.",
        ),
        Kind(
            key="unschedulable",
            label="Pod cannot be scheduled",
            severity=Severity.WARNING,
            opens=PATIENT,
            closes=PATIENT,
            detected="A warning FailedScheduling of the last ten minutes is not over.",
        ),
        Kind(
            key="quota",
            label="Quota is used up",
            severity=Severity.WARNING,
            opens=Hold(2, 30),
            closes=PATIENT,
            detected="A warning FailedCreate of the last ten minutes names a quota.",
        ),
        Kind(
            key="volume",
            label="Volume cannot be attached",
            severity=Severity.WARNING,
            opens=PATIENT,
            closes=PATIENT,
            detected="A warning FailedMount or FailedAttachVolume of the last ten minutes.",
        ),
        Kind(
            key="queue-missing",
            label="Worker queue does not exist",
            severity=Severity.WARNING,
            opens=Hold(2, 30),
            closes=SOON,
            detected="Airflow counts queued tasks of a queue that is not configured.",
        ),
        Kind(
            key="tasks-cannot-start",
            label="Tasks do not start",
            severity=Severity.WARNING,
            opens=Hold(2, 30),
            closes=PATIENT,
            detected="Tasks have waited for five minutes, and none of their queue runs.",
        ),
        Kind(
            key="queue-at-capacity",
            label="Worker queue is at capacity",
            severity=Severity.WARNING,
            opens=LONG,
            closes=PATIENT,
            detected="All workers that may run do run, every slot is taken, and tasks wait.",
        ),
        Kind(
            key="queue-not-scaling",
            label="Worker queue does not scale",
            severity=Severity.WARNING,
            opens=PATIENT,
            closes=PATIENT,
            detected="KEDA says that it cannot count tasks or does not scale the queue.",
        ),
        Kind(
            key="tasks-lost",
            label="Tasks were lost",
            severity=Severity.WARNING,
            opens=AT_ONCE,
            closes=PATIENT,
            detected="In the last 15 minutes Airflow ended tasks whose process sent no heartbeat.",
            is_measured=True,
        ),
        Kind(
            key="triggerer-full",
            label="Triggerer is full",
            severity=Severity.WARNING,
            opens=SOON,
            closes=SOON,
            detected="Deferred tasks wait for a triggerer, and each has all the triggers it takes.",
            is_measured=True,
        ),
        Kind(
            key="parsing-late",
            label="DAG files are parsed late",
            severity=Severity.WARNING,
            opens=PATIENT,
            closes=SOON,
            detected="A DAG was last parsed longer ago than three intervals of the DAG processor.",
            is_measured=True,
        ),
        Kind(
            key="scheduling-off",
            label="Scheduling is off",
            severity=Severity.WARNING,
            opens=SOON,
            closes=SOON,
            detected="Airflow is told to start no DAG run by schedule (`use_job_schedule`).",
            is_measured=True,
        ),
        Kind(
            key="volume-full",
            label="Volume is nearly full",
            severity=Severity.WARNING,
            opens=SOON,
            closes=SOON,
            detected="Less than a tenth of the volume of task logs is free (critical below 3 %).",
            is_measured=True,
        ),
        Kind(
            key="database-large",
            label="Metadata database is large",
            severity=Severity.INFO,
            opens=SOON,
            closes=SOON,
            detected="The metadata database has more than 50 GiB (warning above 75 GiB).",
            is_measured=True,
        ),
        Kind(
            key="import-errors",
            label="DAG files cannot be imported",
            severity=Severity.WARNING,
            opens=Hold(2, 30),
            closes=SOON,
            detected="Airflow lists import errors.",
        ),
        Kind(
            key="drift",
            label="Changed outside the portal",
            severity=Severity.WARNING,
            opens=Hold(6, 150),
            closes=SOON,
            detected="Objects differ from what was applied, and were not corrected meanwhile.",
        ),
        Kind(
            key="revision-failed",
            label="Change was not applied",
            severity=Severity.CRITICAL,
            opens=AT_ONCE,
            closes=AT_ONCE,
            detected="The wanted revision failed.",
            is_observed=False,
        ),
        Kind(
            key="stopped-retrying",
            label="The portal stopped retrying",
            severity=Severity.CRITICAL,
            opens=AT_ONCE,
            closes=AT_ONCE,
            detected="Three passes in a row did not end.",
            is_observed=False,
        ),
        Kind(
            key="delayed",
            label="Changes are delayed",
            severity=Severity.WARNING,
            opens=LONG,
            closes=SOON,
            detected="The last passes ended with an error that the portal retries.",
            is_observed=False,
        ),
        Kind(
            key="credential-ends",
            label="Credential or CA of the cluster ends",
            severity=Severity.WARNING,
            opens=AT_ONCE,
            closes=AT_ONCE,
            detected="The portal's credential there, or the CA certificate of the cluster, of its "
            "database server or of its registry, expires within 14 days (critical from the last "
            "two on) or has expired.",
            is_observed=False,
        ),
        Kind(
            key="runtime-unsupported",
            label="Runtime should be replaced",
            severity=Severity.WARNING,
            opens=AT_ONCE,
            closes=AT_ONCE,
            detected="The catalogue says that it is withdrawn or that its support ends or ended.",
            is_observed=False,
        ),
    )
}
