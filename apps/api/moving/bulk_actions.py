"""One change to many Deployments, for programs: prepare it, look at the preview, begin it, follow
it. Rights are asked of each Deployment, when it is prepared and again before it is begun.
"""

from datetime import datetime
from typing import Any, Literal

from django.db import transaction
from django.db.models import QuerySet
from ninja import Path, Query, Router
from pydantic import Field

from apps.api.wire.errors import NotHere, or_404
from apps.api.wire.finding import place_of
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.idempotency import once
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import InOrganization, Listing, Profile, Shape, profile_of
from apps.bulk_actions import services
from apps.bulk_actions.models import BulkAction, BulkItem
from apps.bulk_actions.queries import Filter, actions_of, candidates, items_of, with_counts
from apps.bulk_actions.services import AT_ONCE, MOST_AT_ONCE, MOST_ITEMS, Place
from apps.core.errors import Invalid
from apps.core.public_ids import number_of, numbers_of, public_id

router = Router(by_alias=True, exclude_none=True, tags=["Bulk action"])
ADDRESS = "/organizations/{organizationId}/bulk-actions"
ONE = f"{ADDRESS}/{{bulkActionId}}"


class AtAction(InOrganization):
    bulk_action_id: str


class InPlace(Paging):
    """Without `workspaceId` those of the organization itself."""

    workspace_id: str = ""


class BulkFilter(Shape):
    name: str = ""
    status: str = ""
    runtime: str = ""
    executor: str = ""


class NewBulkAction(Shape):
    """`kind` is restart, apply, upgrade (target, startsAt), variable (name, value, isSecret),
    workers (queue, minWorkers, maxWorkers) or description (description). The Deployments are those
    of `deploymentIds`, or else all that `filter` finds. With `begin` it begins at once.
    """

    kind: str
    parameters: dict[str, str | int | bool] = {}
    workspace_id: str | None = None
    deployment_ids: list[str] | None = Field(default=None, max_length=MOST_ITEMS)
    filter: BulkFilter | None = None
    at_once: int = Field(default=AT_ONCE, ge=1, le=MOST_AT_ONCE)
    stops_on_failure: bool = True
    begin: bool = False


class BulkStep(Shape):
    """STOP begins no more. RETRY and SKIP go on; what failed or was refused is tried again, or
    not.
    """

    step: Literal["BEGIN", "STOP", "RETRY", "SKIP"]


class BulkItemShape(Shape):
    """`status` is WAITING, RUNNING, DONE, FAILED, REFUSED or SKIPPED."""

    deployment_id: str
    deployment_name: str
    status: str
    message: str
    operation_number: int | None = None


class BulkActionShape(Shape):
    """`status` is DRAFT, RUNNING, STOPPED or ENDED. A secret is in no parameters."""

    id: str
    workspace_id: str | None = None
    kind: str
    parameters: dict[str, Any]
    status: str
    stop_reason: str | None = None
    at_once: int
    stops_on_failure: bool
    total: int
    done: int
    failed: int
    refused: int
    created_at: datetime
    created_by: Profile
    ended_at: datetime | None = None


class BulkActionWithItems(BulkActionShape):
    items: list[BulkItemShape]


class BulkActionList(Listing):
    bulk_actions: list[BulkActionShape]


@router.get(
    ADDRESS,
    auth=in_organization(),
    response=BulkActionList,
    operation_id="ListBulkActions",
    summary="List actions on many Deployments, the newest first",
)
def list_actions(request: Call, at: Path[InOrganization], asked: Query[InPlace]) -> Any:
    place = place_of(request, asked.workspace_id)
    rows = with_counts(actions_of(user=request.caller.user, place=place))
    page = page_of(rows, asked, sorts={"createdAt": "-created_at"})
    shapes = [BulkActionShape(**_fields(one)) for one in page.rows]
    return BulkActionList(bulk_actions=shapes, **page.numbers(asked))


@router.post(
    ADDRESS,
    auth=in_organization(),
    response=BulkActionWithItems,
    operation_id="CreateBulkAction",
    summary="Prepare a change to many Deployments, or begin it",
)
@once
def new_action(request: Call, at: Path[InOrganization], body: NewBulkAction) -> Any:
    """Nothing changes before it is begun: the answer says for each Deployment what would, or why it
    is refused.
    """
    user, place = request.caller.user, place_of(request, body.workspace_id or "")
    with transaction.atomic():
        made = services.prepare(
            actor=user,
            place=place,
            kind=body.kind,
            parameters={_snake(name): value for name, value in body.parameters.items()},
            deployments=_deployments(request, place, body),
            at_once=body.at_once,
            stops_on_failure=body.stops_on_failure,
        )
        if body.begin:
            services.begin(actor=user, action=made)
    return _shape(request, made)


@router.get(
    ONE,
    auth=in_organization(),
    response=BulkActionWithItems,
    operation_id="GetBulkAction",
    summary="Get an action with its Deployments",
)
def get_action(request: Call, at: Path[AtAction]) -> Any:
    return _shape(request, _found(request, at.bulk_action_id))


@router.post(
    f"{ONE}/steps",
    auth=in_organization(),
    response=BulkActionWithItems,
    operation_id="UpdateBulkAction",
    summary="Begin, stop or resume an action",
)
def take_step(request: Call, at: Path[AtAction], body: BulkStep) -> Any:
    """Whoever prepared it takes all steps; an owner may stop it."""
    user, found = request.caller.user, _found(request, at.bulk_action_id)
    if body.step == "BEGIN":
        services.begin(actor=user, action=found)
    elif body.step == "STOP":
        services.stop(actor=user, action=found)
    else:
        services.resume(actor=user, action=found, skips_failed=body.step == "SKIP")
    return _shape(request, found)


@router.delete(
    ONE,
    auth=in_organization(),
    response={204: None},
    operation_id="EndBulkAction",
    summary="End an action that is stopped, or discard one that was not begun",
)
def end_action(request: Call, at: Path[AtAction]) -> None:
    services.finish(actor=request.caller.user, action=_found(request, at.bulk_action_id))


def _deployments(request: Call, place: Place, body: NewBulkAction) -> QuerySet[Any]:
    if body.deployment_ids is None and body.filter is None:
        raise Invalid("Name Deployments, or send a filter; an empty one means all.", field="filter")
    asked = body.filter or BulkFilter()
    query = {**asked.model_dump(), "q": asked.name}
    found = candidates(user=request.caller.user, place=place, wanted=Filter.from_query(query))
    if body.deployment_ids is None:
        return found[: MOST_ITEMS + 1]
    numbers = set(numbers_of("deployment", body.deployment_ids))
    named = found.filter(pk__in=numbers)
    if named.count() != len(set(body.deployment_ids)):
        raise Invalid("A Deployment that is named is not here.", field="deploymentIds")
    return named


def _found(request: Call, text: str) -> BulkAction:
    rows = BulkAction.objects.filter(organization=request.organization)
    related = ("organization", "workspace__organization")
    row = rows.select_related(*related).filter(pk=number_of("bulk-action", text)).first()
    user = request.caller.user
    if row is None or not user.has_perm(f"{row.place.access_scope}.view", row.place):
        raise NotHere
    or_404(actions_of(user=user, place=row.place).filter(pk=row.pk).first())
    return row


def _shape(request: Call, action: BulkAction) -> BulkActionWithItems:
    whole = with_counts(BulkAction.objects.filter(pk=action.pk)).select_related("actor").get()
    items = items_of(whole, user=request.caller.user)
    return BulkActionWithItems(**_fields(whole), items=[_item(one) for one in items])


def _item(one: BulkItem) -> BulkItemShape:
    return BulkItemShape(
        deployment_id=public_id("deployment", one.deployment_id),
        deployment_name=one.deployment.name,
        status=one.state.upper(),
        message=one.message,
        operation_number=one.operation.number if one.operation else None,
    )


def _fields(one: Any) -> dict[str, Any]:
    """Return the fields of an action of `with_counts`."""
    return {
        "id": public_id("bulk-action", one.pk),
        "workspace_id": public_id("workspace", one.workspace_id) if one.workspace_id else None,
        "kind": one.kind,
        "parameters": one.parameters,
        "status": one.state.upper(),
        "stop_reason": one.stop_reason or None,
        "at_once": one.at_once,
        "stops_on_failure": one.stops_on_failure,
        "total": one.total,
        "done": one.done,
        "failed": one.failed,
        "refused": one.refused,
        "created_at": one.created_at,
        "created_by": profile_of(one.actor),
        "ended_at": one.ended_at,
    }


def _snake(name: str) -> str:
    return "".join(f"_{one.lower()}" if one.isupper() else one for one in name)
