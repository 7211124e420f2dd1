"""Why no worker has started a task that is queued: each step returns a reason, or None where it
holds back nothing.
"""

from apps.core.words import duration_in_words
from apps.observability.why.facts import Facts
from apps.observability.why.shapes import Known, KnownQueue, Reason, Refusal, slots

LONG_WAIT_SECONDS = 300
# From taking a task to reporting it, on a machine that is busy.
TAKEN_SECONDS = 30


def executor_slots(facts: Facts, known: Known) -> Reason | None:
    """The local executor has a process for each task; what is queued beyond waits for one."""
    if known.executor != "local" or not facts.parallelism or facts.running < slots(facts):
        return None
    return Reason(
        "executor-slots",
        "Every slot of the executor is taken",
        f"{facts.running} of {slots(facts)} tasks run in the scheduler (parallelism).",
    )


def queue_missing(facts: Facts, known: Known) -> Reason | None:
    if known.executor != "celery" or known.queue(facts.queue) is not None:
        return None
    names = ", ".join(queue.name for queue in known.queues)
    return Reason(
        "queue-missing",
        f"The worker queue {facts.queue} does not exist",
        f"This Deployment has the queues {names}. The task waits until the queue exists or the "
        "DAG names another one.",
    )


def broker_away(facts: Facts, known: Known) -> Reason | None:
    if known.executor != "celery" or facts.is_broker_reached is not False:
        return None
    return Reason(
        "broker-away",
        "The broker of this Airflow does not answer",
        "Tasks reach the workers through it. None starts until it is back; Airflow sends again "
        "what was lost with it.",
    )


def execution_api_away(facts: Facts, known: Known) -> Reason | None:
    """Workers have tasks of which Airflow was not told for longer than that ever takes."""
    since = facts.taken_seconds
    if known.executor != "celery" or since is None or since < TAKEN_SECONDS:
        return None
    these = "this task or one before it" if facts.taken == 1 else f"{facts.taken} tasks"
    return Reason(
        "execution-api-away",
        f"The workers of {facts.queue} do not reach Airflow's execution API",
        f"They took {these} {duration_in_words(since)} ago and could not report it.",
    )


def workers(facts: Facts, known: Known) -> Reason | None:
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
        return Reason(
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
        return Reason(
            "workers-at-max",
            f"The queue {queue.name} may have no workers",
            "Its maximum is 0.",
        )
    return Reason(
        "workers-at-max",
        f"All workers that the queue {queue.name} may have are busy",
        f"{queue.workers_ready} of {queue.max_workers} workers run {facts.queue_running} tasks, "
        f"{queue.concurrency} each; {facts.queue_queued} wait.",
    )


def _scaling(facts: Facts, queue: KnownQueue) -> Reason:
    if queue.note:
        return Reason("scaling-stuck", f"The queue {queue.name} does not scale", queue.note)
    if queue.workers_wanted > queue.workers_ready:
        return Reason(
            "scaling-up",
            f"A worker of {queue.name} is starting",
            f"{queue.workers_ready} of {queue.workers_wanted} wanted workers are ready. "
            f"{queue.detail}".strip(),
            "move",
        )
    return Reason(
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
        return Reason("quota", "A quota of the namespace is used up", refusal.message)
    return Reason("pod-pending", "The cluster finds no node for the pod", refusal.message)


def task_pod(facts: Facts, known: Known) -> Reason | None:
    return _refused(known.refusal) if known.executor == "kubernetes" else None


def taken_by_none(facts: Facts, known: Known) -> Reason | None:
    """There is room, and still no worker starts it for long."""
    age = facts.queued_seconds
    if age is None or age < LONG_WAIT_SECONDS:
        return None
    if known.executor == "kubernetes":
        return Reason(
            "taken-by-none",
            "No pod runs it",
            f"It has been queued for {duration_in_words(age)}. The log of the scheduler says what "
            "became of its pod.",
        )
    return Reason(
        "taken-by-none",
        "There is room, and no worker starts it",
        f"It has been queued for {duration_in_words(age)}. Its message may be lost, or the worker "
        "that has it hangs. Airflow queues it again after ten minutes.",
    )
