"""What ended since the last sweep, and what runs too long, judged by the rules."""

from datetime import UTC, datetime, timedelta

from apps.alerts.evaluation import changes
from apps.alerts.evaluation.judging import (
    Verdict,
    is_slowness,
    too_long_since,
    verdict_on,
    watches_dag,
)
from apps.alerts.rules.models import Rule
from apps.alerts.sweeping.world import (
    FAILED_RUN,
    GOOD_RUN,
    RUNNING,
    TASK,
    World,
    fire,
    keep,
    open_about,
    tags_of,
)
from apps.hibernation.asleep import Asleep, asleep_in
from apps.observability.history.models import Collection
from apps.observability.results.models import RunResult

MOST_RESULTS = 5_000
# What runs is known from the last question; an older answer says nothing.
RUNNING_FRESH = timedelta(minutes=3)
SLEPT = "The Deployment hibernated meanwhile."

_TAKE = """
    UPDATE observability_runresult SET is_taken = true WHERE id IN (
        SELECT id FROM observability_runresult WHERE NOT is_taken ORDER BY id LIMIT %s
    ) RETURNING *
"""


def take() -> list[RunResult]:
    """Take results that no sweep has seen, the oldest first, in the order of their ends. One
    statement.
    """
    return sorted(RunResult.objects.raw(_TAKE, [MOST_RESULTS]), key=lambda one: one.ended_at)


def judge(world: World, results: list[RunResult]) -> None:
    """Let results fire the rules of their kind, and clear those of which an alert is open."""
    tags = tags_of(world, results)
    asleep = _asleep(world, results)
    for result in results:
        where = world.places.get(result.deployment_id)
        if where is None:
            continue
        of_dag = tags.get((result.deployment_id, result.dag_id), [])
        slept = _slept(asleep, result)
        for rule in world.rules_in(where, _family_of(result)):
            verdict = verdict_on(rule, result, asleep=slept)
            if verdict == Verdict.FIRES and rule.begins(result.ended_at):
                _fire(world, rule, result, of_dag, note=SLEPT if slept else "")
        for rule in list(world.alarmed.get(where.pk, {}).values()):
            if verdict_on(rule, result, asleep=slept) == Verdict.CLEARS:
                _clear(world, rule, result, of_dag)


def _asleep(world: World, results: list[RunResult]) -> Asleep:
    """Read when the Deployments of results slept, as long as what ended had run."""
    spans = [(one.deployment_id, one.started_at) for one in results if one.started_at]
    if not spans:
        return Asleep()
    since = min(started for _, started in spans)
    return asleep_in(deployment_ids={pk for pk, _ in spans}, since=since, now=world.now)


def _slept(asleep: Asleep, result: RunResult) -> float:
    if result.started_at is None:
        return 0
    return asleep.seconds(result.deployment_id, result.started_at, result.ended_at)


def _family_of(result: RunResult) -> str:
    if result.task_id:
        return TASK
    return FAILED_RUN if result.is_failed else GOOD_RUN


def _fire(world: World, rule: Rule, result: RunResult, tags: list[str], *, note: str) -> None:
    if not watches_dag(rule, result.dag_id, tags):
        return
    fire(
        world,
        rule,
        result.deployment_id,
        dag_id=result.dag_id,
        task_id=result.task_id,
        run_id=result.run_id,
        at=result.ended_at,
        note=note,
    )


def _clear(world: World, rule: Rule, result: RunResult, tags: list[str]) -> None:
    if not watches_dag(rule, result.dag_id, tags):
        return
    for alert in open_about(world, rule, result.deployment_id, result.dag_id):
        if changes.clear(
            alert,
            dag_id=result.dag_id,
            run_id=result.run_id,
            at=result.ended_at,
            now=world.now,
            is_same_run_good=not is_slowness(rule),
        ):
            keep(world, alert)


def judge_running(world: World) -> None:
    """Tell of what runs too long while it still runs."""
    limits = [rule.limit_seconds or 0 for rule in world.rules.values() if is_slowness(rule)]
    if not limits:
        return
    rows = Collection.objects.exclude(running=[]).filter(answered_at__gte=world.now - RUNNING_FRESH)
    latest = world.now.timestamp() - min(limits)
    running = [
        (pk, long)
        for pk, found in rows.values_list("deployment_id", "running")
        # Hardly anything is over the shortest limit of all.
        if (long := [one for one in found if int(str(one[3])) < latest])
    ]
    tags = _running_tags(world, running) if running else {}
    asleep = _asleep_meanwhile(world, running)
    for deployment_id, found in running:
        where = world.places.get(deployment_id)
        for rule in world.rules_in(where, RUNNING) if where is not None else ():
            _judge_long(world, rule, deployment_id, found, tags, asleep)


def _asleep_meanwhile(world: World, running: list[tuple[int, list[list[object]]]]) -> Asleep:
    if not running:
        return Asleep()
    since = min(int(str(one[3])) for _, found in running for one in found)
    return asleep_in(
        deployment_ids=[pk for pk, _ in running],
        since=datetime.fromtimestamp(since, UTC),
        now=world.now,
    )


def _running_tags(
    world: World, running: list[tuple[int, list[list[object]]]]
) -> dict[tuple[int, str], list[str]]:
    known = [
        RunResult(deployment_id=pk, dag_id=str(one[0])) for pk, found in running for one in found
    ]
    return tags_of(world, known)


def _judge_long(
    world: World,
    rule: Rule,
    deployment_id: int,
    running: list[list[object]],
    tags: dict[tuple[int, str], list[str]],
    asleep: Asleep,
) -> None:
    for dag_id, run_id, task_id, started in running:
        dag, task, start = str(dag_id), str(task_id), int(str(started))
        began = datetime.fromtimestamp(start, UTC)
        slept = asleep.seconds(deployment_id, began, world.now)
        if not too_long_since(rule, task_id=task, started=start, now=world.now, asleep=slept):
            continue
        if watches_dag(rule, dag, tags.get((deployment_id, dag), [])):
            fire(
                world,
                rule,
                deployment_id,
                dag_id=dag,
                task_id=task,
                run_id=str(run_id),
                at=world.now,
            )
