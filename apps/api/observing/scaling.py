"""How a worker queue scaled, and which minimum and maximum would have served it best."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from ninja import Path, Query, Router

from apps.api.deployments.shapes import AtDeployment
from apps.api.observing.history import (
    SEE,
    HistoryShape,
    RangeQuery,
    history_fields,
    range_asked,
)
from apps.api.wire.errors import NotHere
from apps.api.wire.gates import Call, on_deployment
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import Listing, Shape
from apps.dataplane.spec import WorkerQueue
from apps.deployments.configuration.options import deployment_options
from apps.deployments.models import Deployment
from apps.observability.history.decisions import decisions_of
from apps.observability.history.models import RecordedDecision
from apps.observability.scaling import words
from apps.observability.scaling.pages import history_of, queues_of, replay_of
from apps.observability.scaling.simulation import Outcome, Settings

router = Router(by_alias=True, exclude_none=True, tags=["Analytics"])


class AtQueue(AtDeployment):
    queue_name: str


class QueueSettings(Shape):
    """What a worker queue may do; names are those of the queue in the Deployment."""

    min_worker_count: int
    max_worker_count: int
    worker_concurrency: int
    cooldown_seconds: int


class ReplayOutcome(Shape):
    worker_hours: float
    most_workers: float
    average_wait_seconds: float


class RecommendationShape(Shape):
    """`isChange` is false where the present settings are the best of those tried; `reason` says
    why. `was` is what happened, `present` a replay with the present settings, which says how far to
    trust `recommended`.
    """

    is_change: bool
    reason: str
    present_settings: QueueSettings | None = None
    recommended_settings: QueueSettings | None = None
    was: ReplayOutcome | None = None
    present: ReplayOutcome | None = None
    recommended: ReplayOutcome | None = None


class DecisionShape(Shape):
    at: datetime
    title: str
    formula: str
    message: str
    workers: int
    ready: int | None = None
    wanted: int


class DecisionList(Listing):
    decisions: list[DecisionShape]


class DecisionQuery(RangeQuery, Paging):
    pass


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/worker-queues/{queueName}/history",
    auth=on_deployment(SEE),
    response=HistoryShape,
    exclude_none=False,
    operation_id="GetWorkerQueueHistory",
    summary="Get workers and tasks of a worker queue over time",
)
def get_queue_history(request: Call, at: Path[AtQueue], asked: Query[RangeQuery]) -> Any:
    queue = _queue(request.found, at.queue_name)
    shown = range_asked(asked)
    found = history_of(deployment=request.found, queue=queue.name, shown=shown)
    return HistoryShape(**history_fields(found))


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/worker-queues/{queueName}/decisions",
    auth=on_deployment(SEE),
    response=DecisionList,
    operation_id="ListScalingDecisions",
    summary="List why a worker queue scaled, the newest first",
)
def list_decisions(request: Call, at: Path[AtQueue], asked: Query[DecisionQuery]) -> Any:
    queue, shown = _queue(request.found, at.queue_name), range_asked(asked)
    found = decisions_of(
        deployment_id=request.found.pk, queue=queue.name, begin=shown.begin, end=shown.end
    )
    page = page_of(found, asked, sorts={"at": "-at"})
    return DecisionList(decisions=[_decision(one) for one in page.rows], **page.numbers(asked))


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/worker-queues/{queueName}"
    "/recommendation",
    auth=on_deployment(SEE),
    response=RecommendationShape,
    operation_id="GetScalingRecommendation",
    summary="Get the minimum and maximum of workers that would have served a queue best",
)
def get_recommendation(request: Call, at: Path[AtQueue], asked: Query[RangeQuery]) -> Any:
    """Of a range of at most 7 days."""
    deployment: Deployment = request.found
    options = deployment_options(cluster=deployment.cluster, today=timezone.localdate())
    found = replay_of(
        deployment=deployment,
        queue=_queue(deployment, at.queue_name),
        shown=range_asked(asked),
        asked=None,
        most_workers=options.max_workers.ceiling,
    )
    if found is None:
        return RecommendationShape(is_change=False, reason="No task of this time is known.")
    advice = found.recommendation
    return RecommendationShape(
        is_change=advice.is_change,
        reason=advice.why,
        present_settings=_settings(found.held),
        recommended_settings=_settings(advice.settings),
        was=_outcome(found.was),
        present=_outcome(found.control),
        recommended=_outcome(advice.outcome),
    )


def _queue(deployment: Deployment, name: str) -> WorkerQueue:
    for queue in queues_of(deployment):
        if queue.name == name:
            return queue
    raise NotHere


def _settings(settings: Settings) -> QueueSettings:
    return QueueSettings(
        min_worker_count=settings.min_workers,
        max_worker_count=settings.max_workers,
        worker_concurrency=settings.concurrency,
        cooldown_seconds=settings.cooldown_seconds,
    )


def _outcome(outcome: Outcome) -> ReplayOutcome:
    return ReplayOutcome(
        worker_hours=round(outcome.worker_hours, 2),
        most_workers=outcome.workers.peak(),
        average_wait_seconds=round(outcome.wait_seconds, 1),
    )


def _decision(one: RecordedDecision) -> DecisionShape:
    return DecisionShape(
        at=one.at,
        title=words.title_of(one),
        formula=words.formula_of(one),
        message=words.message_of(one),
        workers=one.workers,
        ready=one.ready,
        wanted=one.wanted,
    )
