"""Why a task has not started: the one reason that holds now. Pure.

The order is that of Airflow's own scheduler: a run must be running, then a task's dependencies must
be met (it becomes "scheduled"), then pool, limits and slots must have room (it becomes "queued"),
then a worker must take it. Source: `_executable_task_instances_to_queued` of Airflow's scheduler
and its task dependencies; limits of a DAG count per run since Airflow 3.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from apps.core.words import duration_in_words
from apps.dataplane.spec import ExecutorName
from apps.observability.why.facts import ABSENT, Facts

SILENT_SECONDS = 60
# A worker of a cluster may need a pod; here it needs a process.
USUAL_WAIT_SECONDS, LONG_WAIT_SECONDS = 60, 300
# From taking a task to reporting it, on a machine that is busy.
TAKEN_SECONDS = 30
NOT_STARTED = (
    "none",
    "scheduled",
    "queued",
    "deferred",
    "up_for_retry",
    "up_for_reschedule",
    ABSENT,
)
UNLIMITED = -1


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """The cluster's own words of why a pod does not start: a quota, or no node has room."""

    message: str
    is_quota: bool


@dataclass(frozen=True, kw_only=True)
class KnownQueue:
    """What the portal knows of a worker queue: its settings, its workers, and what it said last."""

    name: str
    min_workers: int
    max_workers: int
    concurrency: int
    workers_ready: int = 0
    workers_wanted: int = 0
    state: str = ""
    detail: str = ""
    note: str = ""
    refusal: Refusal | None = None


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the portal knows beside Airflow's facts. `refusal` is of pods that run one task."""

    executor: ExecutorName
    queues: tuple[KnownQueue, ...] = ()
    refusal: Refusal | None = None

    def queue(self, name: str) -> KnownQueue | None:
        return next((queue for queue in self.queues if queue.name == name), None)


@dataclass(frozen=True, kw_only=True)
class Reason:
    """`key` chooses the remedies; `tone` is `warn` where a person can mend it, `move` where it
    passes by itself, `good` where nothing is wrong.
    """

    key: str
    title: str
    message: str
    tone: str = "warn"


def reason_for(facts: Facts, known: Known) -> Reason:
    """Return why a task instance has not started."""
    if facts.state not in NOT_STARTED:
        return _reason("started", f"It is {facts.state}", "It does not wait any more.", "good")
    steps = STEPS[facts.state] if facts.run_state != "queued" else _RUN_QUEUED
    for step in steps:
        found = step(facts, known)
        if found is not None:
            return found
    return _nothing(facts)


def checks_of(facts: Facts, known: Known) -> Iterator[str]:
    """Yield what was looked at and has room, in short sentences with numbers."""
    if facts.state == ABSENT:
        return
    if facts.pool_total is not None and not _pool(facts, known):
        total = "unlimited" if facts.pool_total == UNLIMITED else f"{facts.pool_total}"
        yield f"Pool {facts.pool}: {facts.pool_used} of {total} slots in use"
    if facts.max_active_runs and facts.active_runs <= facts.max_active_runs:
        yield f"DAG runs at once: {facts.active_runs} of {facts.max_active_runs}"
    if facts.max_active_tasks and facts.run_active < facts.max_active_tasks:
        yield f"Tasks of this run at once: {facts.run_active} of {facts.max_active_tasks}"
    if facts.parallelism and _active(facts) < _slots(facts):
        yield f"Tasks of this Airflow at once: {_active(facts)} of {_slots(facts)}"
    if not facts.is_paused:
        yield "The DAG is not paused"
    if not _scheduler_away(facts, known):
        yield "The scheduler sends heartbeats"
    queue = known.queue(facts.queue)
    if queue is not None:
        yield (
            f"Queue {queue.name}: {queue.workers_ready} of at most {queue.max_workers} workers run"
        )


def _scheduler_away(facts: Facts, known: Known) -> Reason | None:
    age = facts.jobs.get("SchedulerJob")
    if age is not None and age < SILENT_SECONDS:
        return None
    since = "it reports none" if age is None else f"the last one was {duration_in_words(age)} ago"
    return _reason(
        "scheduler-away",
        "The scheduler sends no heartbeat",
        f"Nothing new starts in this Airflow: {since}.",
    )


def _paused(facts: Facts, known: Known) -> Reason | None:
    if not facts.is_paused:
        return None
    return _reason(
        "paused", "The DAG is paused", "Its tasks start again as soon as it is not paused any more."
    )


def _run_in_future(facts: Facts, known: Known) -> Reason | None:
    ahead = facts.run_starts_in_seconds
    if ahead is None or ahead <= 0:
        return None
    return _reason(
        "starts-later",
        "The run begins later",
        f"It is due in {duration_in_words(ahead)}.",
        "move",
    )


def _max_active_runs(facts: Facts, known: Known) -> Reason | None:
    most = facts.max_active_runs
    if not most or facts.active_runs < most:
        return None
    return _reason(
        "max-active-runs",
        "As many runs of this DAG as may run do run",
        f"{facts.active_runs} of {most} (max_active_runs). This run begins when one of them ends.",
    )


def _run_over(facts: Facts, known: Known) -> Reason | None:
    if facts.run_state in ("", "running"):
        return None
    return _reason(
        "run-over",
        f"The run is over: {facts.run_state}",
        "A task of it starts again only when it is cleared.",
        "move",
    )


def _before_start(facts: Facts, known: Known) -> Reason | None:
    """A start date is compared with the logical date of the run, not with the clock."""
    if facts.logical_at is None or facts.starts_at is None:
        return None
    return _reason(
        "before-start-date",
        "The run lies before the start date of the task",
        f"The run is of {_day(facts.logical_at)}, the start date is {_day(facts.starts_at)}. "
        "Airflow makes no instance of the task in this run.",
    )


def _past(facts: Facts, known: Known) -> Reason | None:
    if not facts.depends_on_past:
        return None
    if facts.previous_state not in ("", "success", "skipped"):
        was = "not started" if facts.previous_state == "none" else facts.previous_state
        message = f"There it is {was} (depends_on_past). It must succeed or be skipped first."
    elif facts.past:
        message = (
            f"What comes after it there must succeed or be skipped first: {', '.join(facts.past)} "
            "(wait_for_downstream)."
        )
    else:
        return None
    return _reason("depends-on-past", "It waits for the run before", message)


def _upstream(facts: Facts, known: Known) -> Reason | None:
    if not facts.upstream_count:
        return None
    rest = facts.upstream_count - len(facts.upstream)
    more = f" and {rest:,} more" if rest > 0 else ""
    return _reason(
        "upstream",
        "Tasks before it have not ended",
        f"It waits for {', '.join(facts.upstream)}{more}.",
        "move",
    )


def _pool(facts: Facts, known: Known) -> Reason | None:
    total, used, need = facts.pool_total, facts.pool_used, facts.pool_slots
    if total is None:
        return _reason(
            "pool-missing",
            f"The pool {facts.pool} does not exist",
            "Create it in Airflow, or name another one in the DAG.",
        )
    if total == UNLIMITED or used + need <= total:
        return None
    if need > total:
        return _reason(
            "pool-too-small",
            f"The pool {facts.pool} is smaller than the task",
            f"The task needs {need} slots, the pool has {total}. It never starts like this.",
        )
    place = f"It is number {facts.pool_ahead + 1} of {facts.pool_waiting} in line by priority."
    return _reason(
        "pool-full",
        f"The pool {facts.pool} has no room",
        f"{used} of {total} slots are in use, and the task needs {need}. {place}",
    )


def _max_active_tasks(facts: Facts, known: Known) -> Reason | None:
    most = facts.max_active_tasks
    if not most or facts.run_active < most:
        return None
    return _reason(
        "max-active-tasks",
        "As many tasks of this run as may run do run",
        f"{facts.run_active} of {most} run or are queued (max_active_tasks of the DAG).",
    )


def _task_limit(facts: Facts, known: Known) -> Reason | None:
    for most, active, name in (
        (facts.max_active_tis_per_dag, facts.task_active, "max_active_tis_per_dag"),
        (facts.max_active_tis_per_dagrun, facts.task_active_in_run, "max_active_tis_per_dagrun"),
    ):
        if most and active >= most:
            return _reason(
                "task-limit",
                "As many instances of this task as may run do run",
                f"{active} of {most} ({name}).",
            )
    return None


def _parallelism(facts: Facts, known: Known) -> Reason | None:
    if not facts.parallelism or _active(facts) < _slots(facts):
        return None
    return _reason(
        "parallelism",
        "As many tasks as this Airflow may run do run",
        f"{_active(facts)} of {_slots(facts)} run or are queued "
        f"(parallelism {facts.parallelism} of each scheduler).",
    )


def _executor_slots(facts: Facts, known: Known) -> Reason | None:
    """The local executor has a process for each task; what is queued beyond waits for one."""
    if known.executor != "local" or not facts.parallelism or facts.running < _slots(facts):
        return None
    return _reason(
        "executor-slots",
        "Every slot of the executor is taken",
        f"{facts.running} of {_slots(facts)} tasks run in the scheduler (parallelism).",
    )


def _queue_missing(facts: Facts, known: Known) -> Reason | None:
    if known.executor != "celery" or known.queue(facts.queue) is not None:
        return None
    names = ", ".join(queue.name for queue in known.queues)
    return _reason(
        "queue-missing",
        f"The worker queue {facts.queue} does not exist",
        f"This Deployment has the queues {names}. The task waits until the queue exists or the "
        "DAG names another one.",
    )


def _broker_away(facts: Facts, known: Known) -> Reason | None:
    if known.executor != "celery" or facts.is_broker_reached is not False:
        return None
    return _reason(
        "broker-away",
        "The broker of this Airflow does not answer",
        "Tasks reach the workers through it. None starts until it is back; Airflow sends again "
        "what was lost with it.",
    )


def _execution_api_away(facts: Facts, known: Known) -> Reason | None:
    """Workers have tasks of which Airflow was not told for longer than that ever takes."""
    since = facts.taken_seconds
    if known.executor != "celery" or since is None or since < TAKEN_SECONDS:
        return None
    these = "this task or one before it" if facts.taken == 1 else f"{facts.taken} tasks"
    return _reason(
        "execution-api-away",
        f"The workers of {facts.queue} do not reach Airflow's execution API",
        f"They took {these} {duration_in_words(since)} ago and could not report it.",
    )


def _workers(facts: Facts, known: Known) -> Reason | None:
    queue = known.queue(facts.queue) if known.executor == "celery" else None
    if queue is None:
        return None
    is_full = facts.queue_running >= queue.workers_ready * queue.concurrency
    if not is_full:
        return None
    if queue.workers_ready >= queue.max_workers:
        return _at_max(facts, queue)
    if queue.state != "crashing" and (refused := _refused(_holding(queue))):
        return refused
    if queue.state in ("crashing", "failed"):
        return _reason(
            "workers-crash",
            f"The workers of {queue.name} do not run",
            queue.detail or "They exit as soon as they are started.",
        )
    return _scaling(facts, queue)


def _holding(queue: KnownQueue) -> Refusal | None:
    """Return a refusal that still holds: a quota has room again once the workers lack other things,
    while the cluster's warning about it stays for minutes.
    """
    refusal = queue.refusal
    is_other = queue.state == "failed" and "quota" not in queue.detail
    return None if refusal and refusal.is_quota and is_other else refusal


def _at_max(facts: Facts, queue: KnownQueue) -> Reason:
    slots = queue.max_workers * queue.concurrency
    if not slots:
        return _reason(
            "workers-at-max",
            f"The queue {queue.name} may have no workers",
            "Its maximum is 0.",
        )
    return _reason(
        "workers-at-max",
        f"All workers that the queue {queue.name} may have are busy",
        f"{queue.workers_ready} of {queue.max_workers} workers run {facts.queue_running} tasks, "
        f"{queue.concurrency} each; {facts.queue_queued} wait.",
    )


def _scaling(facts: Facts, queue: KnownQueue) -> Reason:
    if queue.note:
        return _reason("scaling-stuck", f"The queue {queue.name} does not scale", queue.note)
    if queue.workers_wanted > queue.workers_ready:
        return _reason(
            "scaling-up",
            f"A worker of {queue.name} is starting",
            f"{queue.workers_ready} of {queue.workers_wanted} wanted workers are ready. "
            f"{queue.detail}".strip(),
            "move",
        )
    return _reason(
        "no-workers" if not queue.workers_ready else "scaling-up",
        f"The queue {queue.name} is about to get a worker",
        f"{queue.workers_ready} workers run now, at most {queue.max_workers} may. "
        "The autoscaler looks every few seconds.",
        "move",
    )


def _refused(refusal: Refusal | None) -> Reason | None:
    if refusal is None:
        return None
    if refusal.is_quota:
        return _reason("quota", "A quota of the namespace is used up", refusal.message)
    return _reason("pod-pending", "The cluster finds no node for the pod", refusal.message)


def _task_pod(facts: Facts, known: Known) -> Reason | None:
    return _refused(known.refusal) if known.executor == "kubernetes" else None


def _taken_by_none(facts: Facts, known: Known) -> Reason | None:
    """There is room, and still no worker starts it for long."""
    age = facts.queued_seconds
    if age is None or age < LONG_WAIT_SECONDS:
        return None
    return _reason(
        "taken-by-none",
        "There is room, and no worker starts it",
        f"It has been queued for {duration_in_words(age)}. Its message may be lost, or the worker "
        "that has it hangs. Airflow queues it again after ten minutes.",
    )


def _deferred(facts: Facts, known: Known) -> Reason | None:
    age = facts.jobs.get("TriggererJob")
    if age is None or age >= SILENT_SECONDS:
        return _reason(
            "triggerer-away",
            "It waits for a trigger, and no triggerer runs",
            "It is deferred; the triggerer sends no heartbeat.",
        )
    since = duration_in_words(facts.trigger_seconds or 0)
    return _reason(
        "deferred",
        "It is deferred: it waits for an event",
        f"The triggerer has watched for {facts.trigger or 'it'} for {since}.",
        "move",
    )


def _retry(facts: Facts, known: Known) -> Reason | None:
    ended = facts.ended_seconds
    left = (facts.retry_delay or 0) - ended if ended is not None else 0
    when = f"The next try is due in {duration_in_words(left)}." if left > 0 else "It is due now."
    return _reason("retry", "It failed and is tried again", when, "move")


def _reschedule(facts: Facts, known: Known) -> Reason | None:
    left = facts.reschedule_in_seconds or 0
    when = f"It looks again in {duration_in_words(left)}." if left > 0 else "It is due now."
    return _reason("reschedule", "It is a sensor between two looks", when, "move")


Step = Callable[[Facts, Known], Reason | None]
_RUN_QUEUED: tuple[Step, ...] = (_scheduler_away, _paused, _run_in_future, _max_active_runs)
STEPS: dict[str, tuple[Step, ...]] = {
    ABSENT: (_before_start,),
    "none": (_scheduler_away, _paused, _run_over, _past, _upstream),
    "scheduled": (
        _scheduler_away,
        _paused,
        _run_over,
        _max_active_tasks,
        _task_limit,
        _pool,
        _parallelism,
    ),
    "queued": (
        _queue_missing,
        _broker_away,
        _execution_api_away,
        _workers,
        _task_pod,
        _executor_slots,
        _scheduler_away,
        _taken_by_none,
    ),
    "deferred": (_deferred,),
    "up_for_retry": (_scheduler_away, _paused, _retry),
    "up_for_reschedule": (_scheduler_away, _paused, _reschedule),
}


def _nothing(facts: Facts) -> Reason:
    age = _age(facts)
    since = f"It has waited for {duration_in_words(age)}. " if age is not None else ""
    if age is not None and age > USUAL_WAIT_SECONDS:
        return _reason(
            "unknown",
            "Nothing that the portal knows holds it back",
            f"{since}The log of the scheduler may say more.",
        )
    return _reason("nothing", "Nothing is wrong", f"{since}It starts in a moment.", "good")


def _day(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, ValueError):
        return "a date that does not exist"


def _age(facts: Facts) -> int | None:
    if facts.state == "queued":
        return facts.queued_seconds
    return facts.scheduled_seconds if facts.state == "scheduled" else facts.run_queued_seconds


def _active(facts: Facts) -> int:
    return facts.running + facts.queued


def _slots(facts: Facts) -> int:
    return (facts.parallelism or 0) * max(1, facts.schedulers)


def _reason(key: str, title: str, message: str, tone: str = "warn") -> Reason:
    return Reason(key=key, title=title, message=message, tone=tone)
