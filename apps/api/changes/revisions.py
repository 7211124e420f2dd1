"""Revisions of a Deployment: list, read as YAML, and restore."""

from datetime import datetime
from typing import Any

from ninja import Path, Query, Router
from pydantic import Field

from apps.api.changes.operations import OperationShape, operation_fields
from apps.api.deployments.shapes import AtDeployment
from apps.api.wire.errors import or_404
from apps.api.wire.gates import Call, on_deployment
from apps.api.wire.idempotency import once
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import Listing, Profile, Shape, profile_of
from apps.deployments.configuration.yaml_text import yaml_of
from apps.deployments.editing.services import restore_revision
from apps.deployments.models import Deployment, Revision
from apps.deployments.pages.queries import revisions_for_page

router = Router(by_alias=True, exclude_none=True, tags=["Deployment"])
SEE = "deployment.view"


class AtRevision(AtDeployment):
    revision_number: int


class RevisionShape(Shape):
    """`status` is PENDING, APPLYING, APPLIED, FAILED or SUPERSEDED. `isInForce`: it is the one that
    should run.
    """

    number: int
    status: str
    summary: str
    reason: str
    failure: str | None = None
    is_in_force: bool
    created_at: datetime
    applied_at: datetime | None = None
    created_by: Profile


class RevisionWithYaml(RevisionShape):
    yaml: str


class RevisionList(Listing):
    revisions: list[RevisionShape]


class Restoring(Shape):
    """With `baseRevisionNumber` it is refused with 409 where another one is in force meanwhile."""

    base_revision_number: int | None = None
    reason: str = Field(default="", max_length=500)


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/revisions",
    auth=on_deployment(SEE),
    response=RevisionList,
    operation_id="ListRevisions",
    summary="List revisions of a Deployment, the newest first",
)
def list_revisions(request: Call, at: Path[AtDeployment], asked: Query[Paging]) -> Any:
    page = page_of(revisions_for_page(request.found), asked, sorts={"number": "-number"})
    rows = [RevisionShape(**_fields(one, request.found)) for one in page.rows]
    return RevisionList(revisions=rows, **page.numbers(asked))


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/revisions/{revisionNumber}",
    auth=on_deployment(SEE),
    response=RevisionWithYaml,
    operation_id="GetRevision",
    summary="Get a revision with its configuration",
)
def get_revision(request: Call, at: Path[AtRevision]) -> Any:
    found = _found(request, at.revision_number)
    fields = _fields(found, request.found)
    return RevisionWithYaml(**fields, yaml=yaml_of(found.configuration))


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/revisions/{revisionNumber}/restore",
    auth=on_deployment("deployment.update"),
    response=OperationShape,
    operation_id="RestoreRevision",
    summary="Make a new revision with the configuration and the code of an earlier one",
)
@once
def restore(request: Call, at: Path[AtRevision], body: Restoring) -> Any:
    started = restore_revision(
        actor=request.caller.user,
        deployment=request.found,
        revision=_found(request, at.revision_number),
        base_revision_number=body.base_revision_number,
        reason=body.reason,
    )
    return OperationShape(**operation_fields(started))


def _found(request: Call, number: int) -> Revision:
    return or_404(revisions_for_page(request.found).filter(number=min(number, 2**31 - 1)).first())


def _fields(one: Revision, deployment: Deployment) -> dict[str, Any]:
    return {
        "number": one.number,
        "status": one.state.upper(),
        "summary": one.summary,
        "reason": one.reason,
        "failure": one.failure or None,
        "is_in_force": one.pk == deployment.wanted_id,
        "created_at": one.created_at,
        "applied_at": one.applied_at,
        "created_by": profile_of(one.created_by),
    }
