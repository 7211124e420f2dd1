"""What is wrong with a Deployment now: pure functions over what the portal has stored.

Each takes what is `Seen` and yields findings. `findings` runs all of them; `KINDS` says how long
each must hold. The words of clusters and of Airflow are quoted, never interpreted, beyond those
sentences that the portal's own observers write.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone

from apps.core.words import bytes_in_words, duration_in_words
from apps.dataplane.airflow_answers.waiting_tasks import NO_QUEUE, NO_START, queue_in
from apps.dataplane.status import ComponentStatus, Notice, Observation, QueueStatus
from apps.deployments.badge import import_errors_in_words
from apps.deployments.configuration.schema import Configuration
from apps.deployments.models import Deployment, Health, Phase, RevisionState
from apps.deployments.pages.queries import observation_of
from apps.observability.history.metrics import STRAIN
from apps.observability.incidents.evidence import Evidence, evidence, line_of
from apps.observability.incidents.kinds import KINDS, Severity
from apps.runtimes.notes import runtime_note

TITLE_CHARACTERS, SUMMARY_CHARACTERS, SUBJECT_CHARACTERS = 160, 600, 120
MOST_FINDINGS = 50
# The longest time between two observations, with room: a cluster is surveyed every ten minutes.
OLD_ON_THIS_MACHINE, OLD_ON_A_CLUSTER = timedelta(minutes=5), timedelta(minutes=25)
LATE_HEARTBEAT = timedelta(minutes=1)
# A metric and of which part of the Deployment.
Name = tuple[str, str]
# What the collector measures and detectors read.
MEASURED = ("heartbeat_age", "queued", "running", "database_bytes", *STRAIN)
MEASURED_KINDS = frozenset(key for key, kind in KINDS.items() if kind.is_measured)
# Observations of clusters hold neither heartbeats nor tasks; those of this machine do.
MEASURED_ON_CLUSTERS = frozenset({"heartbeat-late", "queue-at-capacity"})
LATE_INTERVALS = 3
VOLUME_SOON, VOLUME_NOW = 0.1, 0.03
DATABASE_LARGE, DATABASE_HUGE = 50 * 2**30, 75 * 2**30
RECENT_NOTICE = timedelta(minutes=10)
CREDENTIAL_SOON, CREDENTIAL_NOW = timedelta(days=14), timedelta(days=2)
# What `apps.dataplane.kubernetes.observe.reasons` writes.
MEMORY, IMAGE = "It exceeded its memory limit", "The image "
MOUNTS = ("FailedMount", "FailedAttachVolume")
VITAL = ("api-server", "scheduler")
# These say more than that Airflow as a whole is unhealthy.
SPECIFIC = frozenset(
    {"missing", "heartbeat-late", "crash-loop", "out-of-memory", "image-pull", "unschedulable"}
)


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


def findings(look: Seen) -> list[Finding]:
    """Return all that is wrong with an active Deployment, one finding per kind and subject."""
    if look.deployment.phase != Phase.ACTIVE:
        return []
    # What hibernates neither runs nor beats, and that is wanted.
    is_quiet = look.is_blind or look.deployment.is_hibernating
    detectors = ALWAYS if is_quiet else ALWAYS + OBSERVED
    found: dict[tuple[str, str], Finding] = {}
    for detector in detectors:
        for finding in detector(look):
            found.setdefault((finding.kind, finding.subject), finding)
    if any(kind in SPECIFIC for kind, _ in found):
        found.pop(("unhealthy", ""), None)
    if ("unhealthy", "") in found:
        for component in VITAL:
            found.pop(("not-ready", component), None)
    return list(found.values())[:MOST_FINDINGS]


def _unreachable(look: Seen) -> Iterator[Finding]:
    cluster = look.deployment.cluster
    if cluster.unreachable_since is not None:
        yield _finding(
            "unreachable",
            title=f"The cluster {cluster.name} does not answer",
            summary="Airflow there may be running. Its incidents stay as they were when it was "
            "last seen, and changes are applied when the cluster answers.",
            proof=evidence(
                facts=[
                    ("Cluster", cluster.name),
                    ("Silent since", _utc(cluster.unreachable_since)),
                    ("Last error", cluster.last_error),
                    ("Last observation", _utc(look.deployment.observed_at)),
                ]
            ),
        )
    elif look.is_old and look.is_settled and look.observation is not None:
        age = (look.now - look.observation.observed_at).total_seconds()
        yield _finding(
            "unreachable",
            title="It has not been observed for a while",
            summary=f"The last observation is {duration_in_words(age)} old. The workers of the "
            "portal may be stopped or overloaded.",
            proof=evidence(facts=[("Last observation", _utc(look.observation.observed_at))]),
        )


def _revision_failed(look: Seen) -> Iterator[Finding]:
    wanted, applied = look.deployment.wanted, look.deployment.applied
    if wanted is None or wanted.state != RevisionState.FAILED:
        return
    runs = f"Revision {applied.number} is what runs." if applied else "Nothing runs yet."
    yield _finding(
        "revision-failed",
        title=f"Revision {wanted.number} was not applied",
        summary=f"{runs} {wanted.failure}",
        proof=evidence(
            facts=[
                ("Wanted", f"Revision {wanted.number}"),
                ("Applied", f"Revision {applied.number}" if applied else "none"),
                ("What it changes", wanted.summary),
            ],
            excerpt=wanted.failure,
        ),
    )


def _stopped_retrying(look: Seen) -> Iterator[Finding]:
    at = look.deployment.quarantined_at
    if at is not None:
        yield _finding(
            "stopped-retrying",
            title="The portal has stopped retrying",
            summary=look.deployment.last_error,
            proof=evidence(facts=[("Stopped", _utc(at))]),
        )


def _delayed(look: Seen) -> Iterator[Finding]:
    deployment = look.deployment
    is_told = deployment.quarantined_at or deployment.cluster.unreachable_since
    if deployment.last_error and not is_told:
        yield _finding(
            "delayed",
            title="Changes are delayed",
            summary=deployment.last_error,
            proof=evidence(facts=[("Failed passes in a row", deployment.failures or "")]),
        )


def _credential_ends(look: Seen) -> Iterator[Finding]:
    cluster = look.deployment.cluster
    ends = cluster.credential_expires_at
    if ends is None or ends - look.now > CREDENTIAL_SOON:
        return
    is_over = ends <= look.now
    yield _finding(
        "credential-ends",
        severity=Severity.CRITICAL if ends - look.now <= CREDENTIAL_NOW else Severity.WARNING,
        title=f"The credential of {cluster.name} {'has expired' if is_over else 'expires soon'}",
        summary="Without a valid one the portal can neither see nor change this Deployment. "
        "Airflow goes on.",
        proof=evidence(facts=[("Cluster", cluster.name), ("Expires", _utc(ends))]),
    )


def _runtime_unsupported(look: Seen) -> Iterator[Finding]:
    if look.configuration is None:
        return
    version = look.configuration.runtime
    note = runtime_note(version, today=timezone.localdate(look.now))
    if note is not None and note.tone:
        yield _finding(
            "runtime-unsupported",
            severity=Severity.WARNING if note.tone == "bad" else Severity.INFO,
            title=f"Runtime {version} should be replaced",
            summary=f"{note.message}. A runtime without support gets no corrections.",
            proof=evidence(facts=[("Runtime", version), ("Catalogue", note.message)]),
        )


def _missing(look: Seen) -> Iterator[Finding]:
    said = look.observation
    if said is None or said.exists or look.deployment.applied is None or not look.is_settled:
        return
    yield _finding(
        "missing",
        title="Nothing of it is on the data plane",
        summary=said.message or "What was applied is gone.",
        proof=evidence(
            facts=[
                ("Applied", f"Revision {look.deployment.applied.number}"),
                ("Observed", _utc(said.observed_at)),
            ]
        ),
    )


def _unhealthy(look: Seen) -> Iterator[Finding]:
    deployment = look.deployment
    if deployment.health != Health.UNHEALTHY:
        return
    yield _finding(
        "unhealthy",
        title="Airflow is unhealthy",
        summary=deployment.health_message or "Airflow does not answer as it should.",
        proof=evidence(
            facts=[("Since", _utc(deployment.health_since))],
            columns=("Component", "State", "Ready", "Detail"),
            rows=[
                (one.name, one.state, f"{one.ready} of {one.wanted}", one.detail)
                for one in _components(look)
            ],
        ),
    )


def _heartbeats(look: Seen) -> Iterator[Finding]:
    if look.observation is None:
        return
    for one in look.observation.components:
        late = _lateness(look, one)
        if not late:
            continue
        is_scheduler = one.name == "scheduler"
        what = "No new task starts." if is_scheduler else "What it does waits."
        yield _finding(
            "heartbeat-late",
            subject=one.name,
            severity=Severity.CRITICAL if is_scheduler else Severity.WARNING,
            title=f"The {one.name} sends no heartbeat",
            summary=f"The last one was {duration_in_words(late.total_seconds())} ago when it was "
            f"looked for; one every few seconds is usual. {what}",
            proof=evidence(
                facts=[
                    ("Last heartbeat", _utc(one.heartbeat_at)),
                    ("Observed", _utc(look.observation.observed_at)),
                    ("Allowed", duration_in_words(LATE_HEARTBEAT.total_seconds())),
                    *_facts_of(one),
                ]
            ),
        )


def _lateness(look: Seen, component: ComponentStatus) -> timedelta:
    """Return how long the heartbeat of a component was missing, nothing while it is in time.

    Before its first heartbeat a component is starting, and a stopped one has none.
    """
    if look.observation is None or component.state != "running":
        return timedelta()
    late = _since_heartbeat(look, look.observation, component)
    return late if late > LATE_HEARTBEAT else timedelta()


def _since_heartbeat(look: Seen, said: Observation, component: ComponentStatus) -> timedelta:
    """Return the time without a heartbeat as it was observed; on clusters, as it was measured."""
    if component.heartbeat_at is not None:
        return said.observed_at - component.heartbeat_at
    return timedelta(seconds=look.number("heartbeat_age", component.name) or 0)


def _broken_components(look: Seen) -> Iterator[Finding]:
    for one in _components(look):
        if one.state not in ("crashing", "failed"):
            continue
        kind, title = _kind_of(one)
        yield _finding(
            kind,
            subject=one.name,
            title=title,
            summary=one.detail or "It exits again as soon as it is started.",
            proof=evidence(facts=_facts_of(one), excerpt=one.detail),
        )


def _kind_of(component: ComponentStatus) -> tuple[str, str]:
    if component.detail.startswith(MEMORY):
        return "out-of-memory", f"The {component.name} runs out of memory"
    if component.detail.startswith(IMAGE):
        return "image-pull", f"The image of the {component.name} cannot be pulled"
    return "crash-loop", f"The {component.name} crashes again and again"


def _not_ready(look: Seen) -> Iterator[Finding]:
    for one in _components(look):
        is_waiting = one.state in ("starting", "running") and one.ready < one.wanted
        if is_waiting and not one.name.startswith("worker ") and not _lateness(look, one):
            yield _finding(
                "not-ready",
                subject=one.name,
                title=f"The {one.name} does not become ready",
                summary=one.detail or f"{one.ready} of {one.wanted} are ready.",
                proof=evidence(facts=_facts_of(one), excerpt=one.detail),
            )


def _pods(look: Seen) -> Iterator[Finding]:
    notices = _recent_notices(look)
    for kind, title, kept in (
        (
            "unschedulable",
            "Pods cannot be scheduled",
            [one for one in notices if one.reason == "FailedScheduling"],
        ),
        (
            "quota",
            "A quota of the namespace is used up",
            [one for one in notices if one.reason == "FailedCreate" and "quota" in one.message],
        ),
        (
            "volume",
            "A volume cannot be attached",
            [one for one in notices if one.reason in MOUNTS],
        ),
    ):
        if kept:
            yield _finding(
                kind,
                title=title,
                summary=kept[0].message,
                proof=evidence(
                    columns=("Object", "What the cluster says", "Times", "Last"),
                    rows=[(one.object, one.message, one.count, _utc(one.last_at)) for one in kept],
                ),
            )


def _waiting_tasks(look: Seen) -> Iterator[Finding]:
    said = look.observation
    queues = look.configuration.queues if look.configuration else ()
    names = ", ".join(queue.name for queue in queues)
    for warning in (said.warnings or ()) if said else ():
        kind, queue = queue_in(warning)
        if kind == NO_QUEUE:
            yield _finding(
                "queue-missing",
                subject=queue,
                title=f"Worker queue {queue} does not exist",
                summary=f"{warning} They stay queued until the queue exists or the DAG names "
                "another one.",
                proof=evidence(facts=[("Airflow says", warning), ("Queues", names)]),
            )
        elif kind == NO_START:
            yield _finding(
                "tasks-cannot-start",
                subject=queue,
                title=f"Tasks of the queue {queue} do not start" if queue else "Tasks do not start",
                summary=f"{warning} Workers may be away from the broker, or Airflow's execution "
                "API does not answer them.",
                proof=evidence(facts=[("Airflow says", warning)]),
            )


def _queues(look: Seen) -> Iterator[Finding]:
    said = look.observation
    configured = {
        one.name: one for one in (look.configuration.queues if look.configuration else ())
    }
    for one in said.queues if said else ():
        queue = configured.get(one.name)
        if one.note.startswith("KEDA "):
            yield _finding(
                "queue-not-scaling",
                subject=one.name,
                title=f"The queue {one.name} does not scale",
                summary=one.note,
                proof=evidence(facts=[("Workers", one.workers_ready)]),
            )
        queued, running = _tasks(look, one)
        if queue is None or not queued or one.workers_ready < queue.max_workers:
            continue
        slots = queue.max_workers * queue.concurrency
        if running < slots:
            continue
        yield _finding(
            "queue-at-capacity",
            subject=one.name,
            title=f"The queue {one.name} is at capacity",
            summary=f"All {queue.max_workers} workers run, all {slots} slots are taken, and "
            f"{queued:,} tasks wait.",
            proof=evidence(
                facts=[
                    ("Workers", f"{one.workers_ready} of {queue.max_workers}"),
                    ("Tasks per worker", queue.concurrency),
                    ("Running", running),
                    ("Queued", queued),
                ]
            ),
        )


def _tasks(look: Seen, queue: QueueStatus) -> tuple[int, int]:
    """Return the tasks of a queue that wait and run, as observed or else as measured."""
    if queue.tasks_queued is not None:
        return queue.tasks_queued, queue.tasks_running or 0
    told = [look.number(metric, queue.name) or 0 for metric in ("queued", "running")]
    return int(told[0]), int(told[1])


def _tasks_lost(look: Seen) -> Iterator[Finding]:
    count = int(look.number("lost_tasks") or 0)
    if count:
        yield _finding(
            "tasks-lost",
            title=f"{count:,} task{'' if count == 1 else 's'} lost in the last 15 minutes",
            summary="Their processes sent no heartbeat, so Airflow ended them. Workers may have "
            "been killed, for want of memory for example, or cannot reach Airflow.",
            proof=evidence(facts=[("Tasks", count)]),
        )


def _triggerer_full(look: Seen) -> Iterator[Finding]:
    slots, waiting = look.number("trigger_slots"), look.number("triggers_waiting")
    running = look.number("triggers") or 0
    if slots and waiting and running >= slots:
        yield _finding(
            "triggerer-full",
            title="The triggerer is full",
            summary=f"It runs {running:,.0f} triggers, as many as it may, and {waiting:,.0f} wait "
            "for more than a minute. Their tasks stay deferred.",
            proof=evidence(
                facts=[
                    ("Triggers", f"{running:,.0f} of {slots:,.0f}"),
                    ("Waiting", f"{waiting:,.0f}"),
                ]
            ),
        )


def _parsing_late(look: Seen) -> Iterator[Finding]:
    age, interval = look.number("parse_age"), look.number("parse_interval")
    if age is None or not interval or age <= max(LATE_INTERVALS * interval, interval + 60):
        return
    yield _finding(
        "parsing-late",
        title="DAG files are parsed late",
        summary=f"One was last parsed {duration_in_words(age)} ago; every "
        f"{duration_in_words(interval)} is configured. Changes of DAGs take as long.",
        proof=evidence(
            facts=[
                ("Longest since parsed", duration_in_words(age)),
                ("Interval", duration_in_words(interval)),
            ]
        ),
    )


def _scheduling_off(look: Seen) -> Iterator[Finding]:
    if look.number("schedules") != 0:
        return
    yield _finding(
        "scheduling-off",
        title="Scheduling is off",
        summary="The scheduler starts no DAG run by schedule, only those that people and programs "
        "trigger. AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE says so.",
        proof=evidence(facts=[("use_job_schedule", "False")]),
    )


def _volume_full(look: Seen) -> Iterator[Finding]:
    size, free = look.number("volume_bytes"), look.number("volume_free")
    if not size or free is None or free / size >= VOLUME_SOON:
        return
    yield _finding(
        "volume-full",
        severity=Severity.CRITICAL if free / size < VOLUME_NOW else None,
        title="The volume of task logs is nearly full",
        summary=f"{bytes_in_words(int(free))} of {bytes_in_words(int(size))} are free. Without "
        "room tasks fail, because they cannot write their logs.",
        proof=evidence(
            facts=[("Free", bytes_in_words(int(free))), ("Size", bytes_in_words(int(size)))]
        ),
    )


def _database_large(look: Seen) -> Iterator[Finding]:
    size = look.number("database_bytes") or 0
    if size > DATABASE_LARGE:
        yield _finding(
            "database-large",
            severity=Severity.WARNING if size > DATABASE_HUGE else None,
            title=f"The metadata database has {bytes_in_words(int(size))}",
            summary="Queries of the scheduler become slow. Shorten the history that is kept, and "
            "look for large XComs.",
            proof=evidence(facts=[("Size", bytes_in_words(int(size)))]),
        )


def _import_errors(look: Seen) -> Iterator[Finding]:
    said = look.observation
    if said is None or not said.import_errors:
        return
    failures = said.import_failures or ()
    applied = look.deployment.applied
    yield _finding(
        "import-errors",
        title=import_errors_in_words(said.import_errors),
        summary=f"{failures[0].file}: {failures[0].message}"
        if failures
        else "The DAGs in them do not run, or run as they were before.",
        proof=evidence(
            facts=[("Code since", f"revision {applied.number}" if applied else "")],
            columns=("File", "Line", "Error"),
            rows=[(one.file, one.line, one.message) for one in failures],
            rows_in_all=said.import_errors,
        ),
    )


def _drift(look: Seen) -> Iterator[Finding]:
    said = look.observation
    if said is None or not said.drift or not look.is_settled:
        return
    is_corrected = look.configuration is None or look.configuration.corrects_drift
    then = (
        "The portal reverts such changes, and did not succeed yet."
        if is_corrected
        else "This Deployment does not revert such changes by itself."
    )
    count = len(said.drift)
    yield _finding(
        "drift",
        title=f"{count} object{'' if count == 1 else 's'} changed outside the portal",
        summary=then,
        proof=evidence(
            columns=("Object", "Fields"),
            rows=[
                (one.object, "gone" if one.is_gone else ", ".join(map(one.described, one.fields)))
                for one in said.drift
            ],
        ),
    )


Detector = Callable[[Seen], Iterable[Finding]]
# From the portal's own rows, whether the data plane answers or not.
ALWAYS: tuple[Detector, ...] = (
    _unreachable,
    _revision_failed,
    _stopped_retrying,
    _delayed,
    _credential_ends,
    _runtime_unsupported,
)
OBSERVED: tuple[Detector, ...] = (
    _missing,
    _broken_components,
    _heartbeats,
    _not_ready,
    _pods,
    _waiting_tasks,
    _queues,
    _tasks_lost,
    _triggerer_full,
    _parsing_late,
    _scheduling_off,
    _volume_full,
    _database_large,
    _import_errors,
    _drift,
    _unhealthy,
)


def _finding(
    kind: str,
    *,
    title: str,
    summary: str,
    proof: Evidence,
    subject: str = "",
    severity: Severity | None = None,
) -> Finding:
    return Finding(
        kind=kind,
        subject=line_of(subject, SUBJECT_CHARACTERS),
        severity=KINDS[kind].severity if severity is None else severity,
        title=line_of(title, TITLE_CHARACTERS),
        summary=line_of(summary, SUMMARY_CHARACTERS),
        evidence=proof,
    )


def _components(look: Seen) -> tuple[ComponentStatus, ...]:
    return look.observation.components if look.observation else ()


def _facts_of(component: ComponentStatus) -> list[tuple[str, object]]:
    return [
        ("Component", component.name),
        ("State", component.state),
        ("Ready", f"{component.ready} of {component.wanted}"),
        ("Restarts", component.restarts or ""),
        ("Started", _utc(component.started_at)),
    ]


def _recent_notices(look: Seen) -> list[Notice]:
    said = look.observation
    if said is None:
        return []
    return [
        one
        for one in said.notices or ()
        if not one.is_over and said.observed_at - one.last_at < RECENT_NOTICE
    ]


def _utc(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else ""
