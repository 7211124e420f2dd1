"""Objectives of DAGs with their error budgets."""

from decimal import Decimal
from typing import Annotated, Any

from django.utils import timezone
from ninja import Path, Query, Router
from pydantic import Field

from apps.api.wire.errors import or_404
from apps.api.wire.gates import Call, in_organization, on_workspace
from apps.api.wire.paging import Paging, part_of
from apps.api.wire.shapes import AtWorkspace, InOrganization, Listing, Shape
from apps.core.public_ids import number_of, numbers_of, public_id
from apps.deployments.models import Deployment, Phase
from apps.objectives.budget import State
from apps.objectives.models import LONGEST_DAG
from apps.objectives.queries import SEE, Row, objectives_in, rows_of
from apps.objectives.services import remove_objective, set_objective

router = Router(by_alias=True, exclude_none=True, tags=["Objective"])
EDIT = "workspace.alerts.manage"
LONGEST_SECONDS = 7 * 24 * 3600


class AtObjective(AtWorkspace):
    objective_id: str


class ObjectiveQuery(Paging):
    workspace_ids: list[str] = []
    deployment_ids: list[str] = []
    states: list[State] = []


class ObjectiveBody(Shape):
    """What a client sends to set the objective of a DAG, or to change the one that it has."""

    deployment_id: str
    dag_id: str = Field(min_length=1, max_length=LONGEST_DAG, pattern=r"^[\w.-]+$")
    target_percent: Annotated[Decimal, Field(ge=1, le=Decimal("99.99"), decimal_places=2)]
    limit_seconds: int | None = Field(default=None, ge=1, le=LONGEST_SECONDS)


class ObjectiveShape(Shape):
    """Runs are those of the last 28 days. `budget_left_percent` is below 0 when more runs were bad
    than may be; what is not known without a run is left out.
    """

    id: str
    workspace_id: str
    deployment_id: str
    deployment_name: str
    dag_id: str
    target_percent: float
    limit_seconds: int | None = None
    state: State
    good_runs: int
    bad_runs: int
    good_percent: float | None = None
    budget_left_percent: int | None = None
    burn_rate: float | None = None


class ObjectiveList(Listing):
    objectives: list[ObjectiveShape]


@router.get(
    "/organizations/{organizationId}/objectives",
    auth=in_organization(),
    response=ObjectiveList,
    operation_id="ListObjectives",
    summary="List objectives, the worst first",
)
def list_objectives(request: Call, at: Path[InOrganization], asked: Query[ObjectiveQuery]) -> Any:
    found = objectives_in(place=request.organization, user=request.caller.user)
    if asked.workspace_ids:
        inside = numbers_of("workspace", asked.workspace_ids)
        found = found.filter(deployment__workspace__in=inside)
    if asked.deployment_ids:
        found = found.filter(deployment__in=numbers_of("deployment", asked.deployment_ids))
    rows = rows_of(found, now=timezone.now())
    page = part_of([one for one in rows if _is_wanted(one, asked)], asked)
    return ObjectiveList(objectives=[_shape(one) for one in page.rows], **page.numbers(asked))


@router.post(
    "/organizations/{organizationId}/workspaces/{workspaceId}/objectives",
    auth=on_workspace(EDIT),
    response=ObjectiveShape,
    operation_id="SetObjective",
    summary="Set the objective of a DAG",
)
def put_objective(request: Call, at: Path[AtWorkspace], body: ObjectiveBody) -> Any:
    user = request.caller.user
    deployment = or_404(
        Deployment.objects.allowing(user, SEE)
        .filter(workspace=request.found, phase=Phase.ACTIVE)
        .filter(pk=number_of("deployment", body.deployment_id))
        .first()
    )
    now = timezone.now()
    made = set_objective(
        actor=user,
        deployment=deployment,
        dag_id=body.dag_id,
        target_percent=body.target_percent,
        limit_seconds=body.limit_seconds,
        now=now,
    )
    (row,) = rows_of(objectives_in(place=request.found, user=user).filter(pk=made.pk), now=now)
    return _shape(row)


@router.delete(
    "/organizations/{organizationId}/workspaces/{workspaceId}/objectives/{objectiveId}",
    auth=on_workspace(EDIT),
    response={204: None},
    operation_id="RemoveObjective",
    summary="Remove an objective",
)
def delete_objective(request: Call, at: Path[AtObjective]) -> None:
    user = request.caller.user
    inside = objectives_in(place=request.found, user=user)
    found = or_404(inside.filter(pk=number_of("objective", at.objective_id)).first())
    remove_objective(actor=user, objective=found)


def _is_wanted(row: Row, asked: ObjectiveQuery) -> bool:
    return not asked.states or row.budget.state in asked.states


def _shape(row: Row) -> ObjectiveShape:
    one, budget = row.objective, row.budget
    return ObjectiveShape(
        id=public_id("objective", one.pk),
        workspace_id=public_id("workspace", one.deployment.workspace_id),
        deployment_id=public_id("deployment", one.deployment_id),
        deployment_name=one.deployment.name,
        dag_id=one.dag_id,
        target_percent=float(one.target_percent),
        limit_seconds=one.limit_seconds,
        state=budget.state,
        good_runs=budget.good,
        bad_runs=budget.bad,
        good_percent=budget.good_percent,
        budget_left_percent=budget.left_percent,
        burn_rate=budget.burn,
    )
