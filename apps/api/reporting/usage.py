"""Usage of Deployments by month, as the page of it has it."""

from datetime import date, datetime
from typing import Any

from ninja import Path, Query, Router
from pydantic import Field

from apps.api.wire.gates import Call, in_organization
from apps.api.wire.paging import Paging, part_of
from apps.api.wire.shapes import InOrganization, Listing, Shape
from apps.core.public_ids import public_id
from apps.usage.prices import price_list
from apps.usage.queries import DeploymentUsage, data_through, months_of, usage_in

router = Router(by_alias=True, exclude_none=True, tags=["Usage"])


class UsageQuery(Paging):
    """`month` like 2026-11; without it all of the last 13 months."""

    month: str = Field(default="", pattern=r"^(\d{4}-(0[1-9]|1[0-2]))?$")


class UsageShape(Shape):
    """`cost` is left out where the operator entered no price."""

    month: str
    workspace_id: str
    workspace_name: str
    deployment_id: str
    deployment_name: str
    is_deleted: bool
    runs_succeeded: int
    runs_failed: int
    tasks_succeeded: int
    tasks_failed: int
    worker_hours: float
    cost: float | None = None


class UsageList(Listing):
    """`data_through` is up to when usage is known, `currency` that of all costs."""

    usage: list[UsageShape]
    data_through: datetime | None = None
    currency: str | None = None


@router.get(
    "/organizations/{organizationId}/usage",
    auth=in_organization("organization.usage.view"),
    response=UsageList,
    operation_id="ListUsage",
    summary="List usage of Deployments by month",
)
def list_usage(request: Call, at: Path[InOrganization], asked: Query[UsageQuery]) -> Any:
    organization = request.organization
    prices = price_list()
    found = usage_in(organization=organization, months=_months(request, asked), prices=prices)
    page = part_of(found, asked)
    return UsageList(
        usage=[_shape(one) for one in page.rows],
        data_through=data_through(organization=organization),
        currency=prices.currency if prices else None,
        **page.numbers(asked),
    )


def _months(request: Call, asked: UsageQuery) -> list[date]:
    if asked.month:
        year, month = map(int, asked.month.split("-"))
        return [date(year, month, 1)] if year else []
    return [month for month, _ in months_of(organization=request.organization, prices=None)]


def _shape(one: DeploymentUsage) -> UsageShape:
    usage, cost = one.usage, one.usage.cost
    return UsageShape(
        month=f"{one.month:%Y-%m}",
        workspace_id=public_id("workspace", one.workspace_id),
        workspace_name=one.workspace,
        deployment_id=public_id("deployment", one.deployment_id),
        deployment_name=one.name,
        is_deleted=one.is_deleted,
        runs_succeeded=usage.runs_succeeded,
        runs_failed=usage.runs_failed,
        tasks_succeeded=usage.tasks_succeeded,
        tasks_failed=usage.tasks_failed,
        worker_hours=float(usage.worker_hours),
        cost=None if cost is None else float(cost),
    )
