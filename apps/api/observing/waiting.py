"""Which tasks of a Deployment wait, and the one reason why one of them does."""

from typing import Any

from django.utils import timezone
from ninja import Path, Query, Router
from pydantic import Field

from apps.api.deployments.shapes import AtDeployment
from apps.api.wire.errors import or_404
from apps.api.wire.gates import Call, on_deployment
from apps.api.wire.shapes import Shape
from apps.dags.pages.queries import SEE
from apps.observability.why.answers import answer_about
from apps.observability.why.facts import NAME_CHARACTERS, TaskName, waiting_tasks

router = Router(by_alias=True, exclude_none=True, tags=["DAG"])


class WaitingTaskShape(Shape):
    """`mapIndex` is -1 for a task that is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str
    queue: str
    waiting_seconds: int | None = None


class WaitingTaskList(Shape):
    """At most 100, queued ones first."""

    waiting_tasks: list[WaitingTaskShape]


class ReasonQuery(Shape):
    dag_id: str = Field(min_length=1, max_length=NAME_CHARACTERS)
    run_id: str = Field(min_length=1, max_length=NAME_CHARACTERS)
    task_id: str = Field(min_length=1, max_length=NAME_CHARACTERS)
    map_index: int = Field(default=-1, ge=-1, le=1_000_000)


class ReasonShape(Shape):
    """`reason` is a key of its own for each cause, `checks` is what was looked at and has room."""

    state: str
    reason: str
    title: str
    message: str
    checks: list[str]


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/waiting-tasks",
    auth=on_deployment(SEE),
    response=WaitingTaskList,
    operation_id="ListWaitingTasks",
    summary="List the task instances that have not started",
)
def list_waiting(request: Call, at: Path[AtDeployment]) -> Any:
    """As its Airflow answers now; 503 while it does not."""
    return WaitingTaskList(
        waiting_tasks=[
            WaitingTaskShape(
                dag_id=one.name.dag_id,
                run_id=one.name.run_id,
                task_id=one.name.task_id,
                map_index=one.name.map_index,
                state=one.state,
                queue=one.queue,
                waiting_seconds=one.seconds,
            )
            for one in waiting_tasks(request.found)
        ]
    )


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/waiting-tasks/reason",
    auth=on_deployment(SEE),
    response=ReasonShape,
    operation_id="ExplainWaitingTask",
    summary="Get the one reason why a task instance has not started",
)
def explain(request: Call, at: Path[AtDeployment], asked: Query[ReasonQuery]) -> Any:
    """As its Airflow answers now; 503 while it does not."""
    name = TaskName(**asked.model_dump())
    answer = or_404(answer_about(request.found, name=name, now=timezone.now()))
    return ReasonShape(
        state=answer.facts.state,
        reason=answer.reason.key,
        title=answer.reason.title,
        message=answer.reason.message,
        checks=list(answer.checks),
    )
