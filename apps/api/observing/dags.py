"""DAGs of many Deployments in one list, and the runs of one."""

from datetime import datetime
from typing import Any

from ninja import Path, Query, Router
from pydantic import Field

from apps.api.deployments.shapes import AtDeployment
from apps.api.wire.gates import Call, in_organization, on_deployment
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import InOrganization, Listing, Shape
from apps.core.errors import Invalid
from apps.core.public_ids import numbers_of, public_id
from apps.dags.airflow.api import airflow_of
from apps.dags.airflow.dags import PAGE_SIZE, RUN_STATES, Run, read_runs
from apps.dags.models import DagState, DagSummary
from apps.dags.pages.queries import SEE, DagFilter, dags_of, deployments_with_dags

router = Router(by_alias=True, exclude_none=True, tags=["DAG"])
SORTS = {"dagId": "dag_id", "nextRunAt": "next_run_at", "lastRunAt": "last_run_at"}


class AtDag(AtDeployment):
    dag_id: str


class DagShape(Shape):
    """As it was when the portal looked last. `state` is import-error, failed, running, succeeded,
    paused or no-runs.
    """

    dag_id: str
    name: str
    description: str
    deployment_id: str
    deployment_name: str
    workspace_id: str
    state: str
    is_paused: bool
    has_import_error: bool
    schedule: str
    next_run_at: datetime | None = None
    last_run_at: datetime | None = None
    owners: list[str]
    tags: list[str]


class DagList(Listing):
    dags: list[DagShape]


class DagQuery(Paging):
    deployment_ids: list[str] = []
    workspace_ids: list[str] = []
    search: str = Field(default="", max_length=100)
    state: str = ""
    tag: str = Field(default="", max_length=100)
    owner: str = Field(default="", max_length=100)


class DagRunShape(Shape):
    run_id: str
    state: str
    kind: str
    due_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float | None = None
    triggered_by: str
    note: str


class DagRunList(Shape):
    """25 runs a page."""

    dag_runs: list[DagRunShape]
    total_count: int
    page: int
    limit: int


class DagRunQuery(Shape):
    page: int = Field(default=1, ge=1, le=1_000_000)
    state: str = ""


@router.get(
    "/organizations/{organizationId}/dags",
    auth=in_organization(),
    response=DagList,
    operation_id="ListDags",
    summary="List the DAGs of all Deployments whose Airflow the caller may see",
)
def list_dags(request: Call, at: Path[InOrganization], asked: Query[DagQuery]) -> Any:
    seen = deployments_with_dags(user=request.caller.user, on=request.organization)
    if asked.deployment_ids:
        seen = seen.filter(pk__in=numbers_of("deployment", asked.deployment_ids))
    if asked.workspace_ids:
        seen = seen.filter(workspace__in=numbers_of("workspace", asked.workspace_ids))
    if asked.state and asked.state not in DagState.values:
        raise Invalid(f"Choose one of {', '.join(DagState.values)}.", field="state")
    wanted = DagFilter(text=asked.search, state=asked.state, tag=asked.tag, owner=asked.owner)
    page = page_of(dags_of(seen=seen, wanted=wanted), asked, sorts=SORTS)
    return DagList(dags=[_shape(one) for one in page.rows], **page.numbers(asked))


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/dags/{dagId}/runs",
    auth=on_deployment(SEE),
    response=DagRunList,
    operation_id="ListDagRuns",
    summary="List the runs of a DAG, the latest first",
)
def list_runs(request: Call, at: Path[AtDag], asked: Query[DagRunQuery]) -> Any:
    """As its Airflow answers now; 503 while it does not. To trigger, pause and clear there is
    Airflow's own API, through the portal.
    """
    if asked.state and asked.state not in RUN_STATES:
        raise Invalid(f"Choose one of {', '.join(RUN_STATES)}.", field="state")
    airflow = airflow_of(request.found)
    found = read_runs(airflow, dag_id=at.dag_id, state=asked.state, page=asked.page)
    return DagRunList(
        dag_runs=[_run(one) for one in found.runs],
        total_count=found.count,
        page=asked.page,
        limit=PAGE_SIZE,
    )


def _shape(one: DagSummary) -> DagShape:
    deployment = one.deployment
    return DagShape(
        dag_id=one.dag_id,
        name=one.name,
        description=one.description,
        deployment_id=public_id("deployment", deployment.pk),
        deployment_name=deployment.name,
        workspace_id=public_id("workspace", deployment.workspace_id),
        state=one.state,
        is_paused=one.is_paused,
        has_import_error=one.has_import_error,
        schedule=one.schedule,
        next_run_at=one.next_run_at,
        last_run_at=one.last_run_at,
        owners=one.owners,
        tags=one.tags,
    )


def _run(one: Run) -> DagRunShape:
    return DagRunShape(
        run_id=one.run_id,
        state=one.state,
        kind=one.kind,
        due_at=one.due_at,
        started_at=one.started_at,
        ended_at=one.ended_at,
        seconds=one.seconds,
        triggered_by=one.by,
        note=one.note,
    )
