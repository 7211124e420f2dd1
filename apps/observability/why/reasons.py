"""Why a task has not started: the one reason that holds now. Pure.

The order is that of Airflow's own scheduler: a run must be running, then a task's dependencies must
be met (it becomes "scheduled"), then pool, limits and slots must have room (it becomes "queued"),
then a worker must take it. Source: `_executable_task_instances_to_queued` of Airflow's scheduler
and its task dependencies; limits of a DAG count per run since Airflow 3.
"""

from collections.abc import Callable, Iterator

from apps.core.words import duration_in_words
from apps.observability.why import queueing, scheduling
from apps.observability.why.facts import ABSENT, Facts
from apps.observability.why.shapes import UNLIMITED, Known, Reason, active, slots

# A worker of a cluster may need a pod; here it needs a process.
USUAL_WAIT_SECONDS = 60
NOT_STARTED = (
    "none",
    "scheduled",
    "queued",
    "deferred",
    "up_for_retry",
    "up_for_reschedule",
    ABSENT,
)


def reason_for(facts: Facts, known: Known) -> Reason:
    """Return why a task instance has not started."""
    if facts.state not in NOT_STARTED:
        return Reason("started", f"It is {facts.state}", "It does not wait any more.", "good")
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
    if facts.pool_total is not None and not scheduling.pool(facts, known):
        total = "unlimited" if facts.pool_total == UNLIMITED else f"{facts.pool_total}"
        yield f"Pool {facts.pool}: {facts.pool_used} of {total} slots in use"
    if facts.max_active_runs and facts.active_runs <= facts.max_active_runs:
        yield f"DAG runs at once: {facts.active_runs} of {facts.max_active_runs}"
    if facts.max_active_tasks and facts.run_active < facts.max_active_tasks:
        yield f"Tasks of this run at once: {facts.run_active} of {facts.max_active_tasks}"
    if facts.parallelism and active(facts) < slots(facts):
        yield f"Tasks of this Airflow at once: {active(facts)} of {slots(facts)}"
    if not facts.is_paused:
        yield "The DAG is not paused"
    if not scheduling.scheduler_away(facts, known):
        yield "The scheduler sends heartbeats"
    queue = known.queue(facts.queue)
    if queue is not None:
        yield (
            f"Queue {queue.name}: {queue.workers_ready} of at most {queue.max_workers} workers run"
        )


Step = Callable[[Facts, Known], Reason | None]
_RUN_QUEUED: tuple[Step, ...] = (
    scheduling.scheduler_away,
    scheduling.paused,
    scheduling.run_in_future,
    scheduling.max_active_runs,
)
STEPS: dict[str, tuple[Step, ...]] = {
    ABSENT: (scheduling.before_start,),
    "none": (
        scheduling.scheduler_away,
        scheduling.paused,
        scheduling.run_over,
        scheduling.past,
        scheduling.upstream,
    ),
    "scheduled": (
        scheduling.scheduler_away,
        scheduling.paused,
        scheduling.run_over,
        scheduling.max_active_tasks,
        scheduling.task_limit,
        scheduling.pool,
        scheduling.parallelism,
    ),
    "queued": (
        queueing.queue_missing,
        queueing.broker_away,
        queueing.execution_api_away,
        queueing.workers,
        queueing.task_pod,
        queueing.executor_slots,
        scheduling.scheduler_away,
        queueing.taken_by_none,
    ),
    "deferred": (scheduling.deferred,),
    "up_for_retry": (scheduling.scheduler_away, scheduling.paused, scheduling.retry),
    "up_for_reschedule": (scheduling.scheduler_away, scheduling.paused, scheduling.reschedule),
}


def _nothing(facts: Facts) -> Reason:
    age = _age(facts)
    since = f"It has waited for {duration_in_words(age)}. " if age is not None else ""
    if age is not None and age > USUAL_WAIT_SECONDS:
        return Reason(
            "unknown",
            "Nothing that the portal knows holds it back",
            f"{since}The log of the scheduler may say more.",
        )
    return Reason("nothing", "Nothing is wrong", f"{since}It starts in a moment.", "good")


def _age(facts: Facts) -> int | None:
    if facts.state == "queued":
        return facts.queued_seconds
    return facts.scheduled_seconds if facts.state == "scheduled" else facts.run_queued_seconds
