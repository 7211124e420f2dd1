"""The steps of a deploy with their times: the check before it, then its operation."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.deployments.models import Operation, OperationState
from apps.deploys.models import Deploy, Preview, PreviewState
from apps.deploys.previews.queries import STEPS

# Others, such as a restart, apply the same revision once more later.
OF_A_DEPLOY = (
    Operation.Kind.CREATE,
    Operation.Kind.DEPLOY,
    Operation.Kind.ROLL_BACK,
    Operation.Kind.RETRY,
)


@dataclass(frozen=True, kw_only=True)
class DeployStep:
    """A step. `state` is waiting, running, done, skipped or failed; times are None where they are
    not known. `log` is the output of a step that failed.
    """

    title: str
    state: str
    started_at: datetime | None
    ended_at: datetime | None
    detail: str = ""
    log: tuple[str, ...] = ()

    @property
    def seconds(self) -> float | None:
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()


def steps_of_deploy(deploy: Deploy) -> tuple[DeployStep, ...]:
    """List what was done for a deploy, in order. Three queries at most."""
    preview = Preview.objects.filter(deploy=deploy).defer("files", "dags", "before").first()
    checked = tuple(steps_of_check(preview)) if preview else ()
    operation = operation_of(deploy)
    return checked + (tuple(_applied(operation)) if operation else ())


def steps_for_page(deploy: Deploy) -> list[dict[str, Any]]:
    """Return the same for the component `steps`."""
    states = {"waiting": "wait", "running": "now"}
    return [
        {
            "title": one.title,
            "state": states.get(one.state, one.state),
            "detail": one.detail,
            "took_seconds": one.seconds,
            "log": one.log,
        }
        for one in steps_of_deploy(deploy)
    ]


def operation_of(deploy: Deploy) -> Operation | None:
    """Return the operation that applied a deploy, the last one where it was retried; None before it
    begins.
    """
    if deploy.revision_id is None:
        return None
    rows = Operation.objects.filter(revision=deploy.revision_id, kind__in=OF_A_DEPLOY)
    return rows.order_by("-number").first()


def steps_of_check(preview: Preview) -> Iterator[DeployStep]:
    """List the steps of a check, as far as it came."""
    begins = {key: datetime.fromisoformat(text) for key, text in preview.step_times.items()}
    reached = [step for step in STEPS if step[0] in begins]
    for number, (key, title) in enumerate(reached):
        is_last = number == len(reached) - 1
        ended_at = preview.checked_at if is_last else begins[reached[number + 1][0]]
        failed = is_last and preview.state == PreviewState.FAILED
        running = is_last and preview.state == PreviewState.CHECKING
        yield DeployStep(
            title=title,
            state="failed" if failed else "running" if running else "done",
            started_at=begins[key],
            ended_at=None if running else ended_at,
            detail=preview.problem if failed else "",
            log=tuple(preview.log) if is_last else (),
        )


def _applied(operation: Operation) -> Iterator[DeployStep]:
    is_over = operation.state != OperationState.RUNNING
    for step in operation.steps.order_by("position"):
        state = "skipped" if is_over and step.state == "waiting" else step.state
        yield DeployStep(
            title=step.title,
            state=state,
            started_at=step.started_at,
            ended_at=step.ended_at,
            detail=step.detail,
            log=tuple(step.log.splitlines()),
        )
