"""What is wrong with the work of an Airflow: tasks, queues, triggers, DAG files."""

from collections.abc import Iterator

from apps.core.words import duration_in_words
from apps.dataplane.airflow_answers.waiting_tasks import NO_QUEUE, NO_START, queue_in
from apps.dataplane.status import QueueStatus
from apps.deployments.badge import import_errors_in_words
from apps.observability.incidents.detectors.seen import Finding, Seen, finding_of
from apps.observability.incidents.evidence import evidence

LATE_INTERVALS = 3


def waiting_tasks(look: Seen) -> Iterator[Finding]:
    said = look.observation
    queues = look.configuration.queues if look.configuration else ()
    names = ", ".join(queue.name for queue in queues)
    for warning in (said.warnings or ()) if said else ():
        kind, queue = queue_in(warning)
        if kind == NO_QUEUE:
            yield finding_of(
                "queue-missing",
                subject=queue,
                title=f"Worker queue {queue} does not exist",
                summary=f"{warning} They stay queued until the queue exists or the DAG names "
                "another one.",
                proof=evidence(facts=[("Airflow says", warning), ("Queues", names)]),
            )
        elif kind == NO_START:
            yield finding_of(
                "tasks-cannot-start",
                subject=queue,
                title=f"Tasks of the queue {queue} do not start" if queue else "Tasks do not start",
                summary=f"{warning} Workers may be away from the broker, or Airflow's execution "
                "API does not answer them.",
                proof=evidence(facts=[("Airflow says", warning)]),
            )


def queues(look: Seen) -> Iterator[Finding]:
    said = look.observation
    configured = {
        one.name: one for one in (look.configuration.queues if look.configuration else ())
    }
    for one in said.queues if said else ():
        queue = configured.get(one.name)
        if one.note.startswith("KEDA "):
            yield finding_of(
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
        yield finding_of(
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


def tasks_lost(look: Seen) -> Iterator[Finding]:
    count = int(look.number("lost_tasks") or 0)
    if count:
        yield finding_of(
            "tasks-lost",
            title=f"{count:,} task{'' if count == 1 else 's'} lost in the last 15 minutes",
            summary="Their processes sent no heartbeat, so Airflow ended them. Workers may have "
            "been killed, for want of memory for example, or cannot reach Airflow.",
            proof=evidence(facts=[("Tasks", count)]),
        )


def triggerer_full(look: Seen) -> Iterator[Finding]:
    slots, waiting = look.number("trigger_slots"), look.number("triggers_waiting")
    running = look.number("triggers") or 0
    if slots and waiting and running >= slots:
        yield finding_of(
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


def parsing_late(look: Seen) -> Iterator[Finding]:
    age, interval = look.number("parse_age"), look.number("parse_interval")
    if age is None or not interval or age <= max(LATE_INTERVALS * interval, interval + 60):
        return
    yield finding_of(
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


def scheduling_off(look: Seen) -> Iterator[Finding]:
    if look.number("schedules") != 0:
        return
    yield finding_of(
        "scheduling-off",
        title="Scheduling is off",
        summary="The scheduler starts no DAG run by schedule, only those that people and programs "
        "trigger. AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE says so.",
        proof=evidence(facts=[("use_job_schedule", "False")]),
    )


def import_errors(look: Seen) -> Iterator[Finding]:
    said = look.observation
    if said is None or not said.import_errors:
        return
    failures = said.import_failures or ()
    applied = look.deployment.applied
    yield finding_of(
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
