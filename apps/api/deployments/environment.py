"""Environment objects: connections and variables of a workspace or of a Deployment."""

from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from ninja import Path, Query, Router

from apps.access.scoped import require
from apps.api.deployments.environment_shapes import (
    KINDS,
    AskedConnection,
    AtObject,
    ExcludedLink,
    MadeObject,
    NewObject,
    ObjectBody,
    ObjectList,
    ObjectShape,
    TriedShape,
    object_shape,
)
from apps.api.deployments.shapes import AtDeployment
from apps.api.wire.errors import NotHere, NotOffered, or_404
from apps.api.wire.finding import visible
from apps.api.wire.gates import Call, in_organization, on_deployment
from apps.api.wire.idempotency import once
from apps.api.wire.paging import Paging, page_of, part_of
from apps.api.wire.shapes import InOrganization
from apps.core.errors import Invalid
from apps.core.public_ids import number_of, public_id
from apps.deployments.models import Deployment
from apps.environment.delivery.effective import Effective, effective_objects
from apps.environment.delivery.trying import try_connection
from apps.environment.objects.models import EnvironmentObject, Kind
from apps.environment.objects.queries import deployments_in
from apps.environment.objects.services import (
    ObjectData,
    Place,
    create_object,
    delete_object,
    override_object,
    update_object,
)
from apps.environment.objects.values import merged
from apps.organizations.models import Workspace

router = Router(by_alias=True, exclude_none=True, tags=["Environment object"])
ADDRESS = "/organizations/{organizationId}/environment-objects"
ONE = f"{ADDRESS}/{{environmentObjectId}}"
VIEW = {Workspace: "workspace.environment.view", Deployment: "deployment.view"}
MANAGE = {Workspace: "workspace.environment.manage", Deployment: "deployment.update"}
SORTS = {"objectKey": "name", "createdAt": "created_at", "updatedAt": "updated_at"}


class Search(Paging):
    """`resolveLinked` lists, for a Deployment, what reaches it: its workspace's, too."""

    workspace_id: str = ""
    deployment_id: str = ""
    object_type: str = ""
    object_key: str = ""
    resolve_linked: bool = True
    show_secrets: bool = False


@router.get(
    ADDRESS,
    auth=in_organization(),
    response=ObjectList,
    operation_id="ListEnvironmentObjects",
    summary="List connections and variables",
)
def list_objects(request: Call, at: Path[InOrganization], asked: Query[Search]) -> Any:
    """Those of a workspace, of a Deployment, or of all that the caller may see. Secrets are never
    sent, whatever `showSecrets` says.
    """
    kind = KINDS.get(asked.object_type, "") if asked.object_type else None
    if asked.deployment_id and asked.resolve_linked:
        place = visible(request, Deployment, asked.deployment_id)
        found = [one for one in effective_objects(place) if _fits(one.source, kind, asked)]
        part = part_of(found, asked)
        rows = [_effective_shape(one, place) for one in part.rows]
        return ObjectList(environment_objects=rows, **part.numbers(asked))
    page = page_of(_rows(request, kind, asked), asked, sorts=SORTS)
    rows = [object_shape(one) for one in page.rows]
    return ObjectList(environment_objects=rows, **page.numbers(asked))


@router.post(
    ADDRESS,
    auth=in_organization(),
    response=MadeObject,
    operation_id="CreateEnvironmentObject",
    summary="Create a connection or a variable",
)
@once
def new_object(request: Call, at: Path[InOrganization], body: NewObject) -> Any:
    model = Workspace if body.scope == "WORKSPACE" else Deployment
    place = visible(request, model, body.scope_entity_id)
    require(user=request.caller.user, permission=MANAGE[model], on=place)
    if body.object_type not in KINDS:
        raise NotOffered("The portal sends metrics on by remote write, in its settings.")
    kind = KINDS[body.object_type]
    with transaction.atomic():
        made = create_object(
            actor=request.caller.user,
            place=place,
            kind=kind,
            data=_data(body, kind, body.object_key, None, place),
        )
        _override(request, made, body)
    return MadeObject(id=public_id("environment_object", made.pk))


@router.get(
    ONE,
    auth=in_organization(),
    response=ObjectShape,
    operation_id="GetEnvironmentObject",
    summary="Get a connection or a variable",
)
def get_object(request: Call, at: Path[AtObject]) -> Any:
    return object_shape(_found(request, at.environment_object_id, VIEW))


@router.post(
    ONE,
    auth=in_organization(),
    response=ObjectShape,
    operation_id="UpdateEnvironmentObject",
    summary="Change a connection or a variable",
)
def change_object(request: Call, at: Path[AtObject], body: ObjectBody) -> Any:
    """What is missing stays: a secret that is not sent, too."""
    found = _found(request, at.environment_object_id, MANAGE)
    with transaction.atomic():
        update_object(
            actor=request.caller.user,
            found=found,
            data=_data(body, Kind(found.kind), found.name, found, found.place),
        )
        _override(request, found, body)
    return object_shape(_found(request, at.environment_object_id, MANAGE))


@router.delete(
    ONE,
    auth=in_organization(),
    response={204: None},
    operation_id="DeleteEnvironmentObject",
    summary="Delete a connection or a variable",
)
def remove_object(request: Call, at: Path[AtObject]) -> None:
    found = _found(request, at.environment_object_id, MANAGE)
    delete_object(actor=request.caller.user, found=found)


@router.post(
    f"{ONE}/exclude-linking",
    auth=in_organization(),
    response={204: None},
    operation_id="ExcludeLinkingEnvironmentObject",
    summary="Exclude a Deployment from an object that is linked to all",
)
def exclude_linking(request: Call, at: Path[AtObject], body: ExcludedLink) -> None:
    found = _found(request, at.environment_object_id, MANAGE)
    excluded = {one.deployment_id for one in found.links.all() if one.is_excluded}
    excluded.add(_deployment(found.workspace, body.scope_entity_id).pk)
    reached = frozenset(deployments_in(found.workspace).values_list("pk", flat=True)) - excluded
    data = _data(ObjectBody(), Kind(found.kind), found.name, found, found.place)
    fields = {name: getattr(data, name) for name in data.__dataclass_fields__}
    update_object(
        actor=request.caller.user, found=found, data=ObjectData(**{**fields, "linked": reached})
    )


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/connection-tests",
    auth=on_deployment("deployment.deploys.create"),
    response=TriedShape,
    operation_id="TestConnection",
    summary="Test a connection in a Deployment",
)
def test_connection(request: Call, at: Path[AtDeployment], body: AskedConnection) -> Any:
    """The hook of its provider tries it, in the Airflow of the Deployment."""
    tried = try_connection(
        actor=request.caller.user, deployment=request.found, name=body.object_key
    )
    return TriedShape(is_good=tried.is_good, message=tried.message)


def _rows(request: Call, kind: str | None, asked: Search) -> QuerySet[EnvironmentObject]:
    user = request.caller.user
    rows = EnvironmentObject.objects.filter(workspace__organization=request.organization)
    if asked.deployment_id:
        rows = rows.filter(deployment=visible(request, Deployment, asked.deployment_id))
    elif asked.workspace_id:
        place = visible(request, Workspace, asked.workspace_id)
        require(user=user, permission=VIEW[Workspace], on=place)
        rows = rows.filter(workspace=place, deployment=None)
    else:
        workspaces = Workspace.objects.allowing(user, VIEW[Workspace])
        deployments = Deployment.objects.visible_to(user)
        shared = Q(deployment=None, workspace__in=workspaces)
        rows = rows.filter(shared | Q(deployment__in=deployments))
    if kind is not None:
        rows = rows.filter(kind=kind)
    if asked.object_key:
        rows = rows.filter(name=asked.object_key)
    return rows.select_related("created_by", "updated_by").prefetch_related("links")


def _fits(found: EnvironmentObject, kind: str | None, asked: Search) -> bool:
    is_called = not asked.object_key or found.name == asked.object_key
    return is_called and (kind is None or found.kind == kind)


def _effective_shape(one: Effective, deployment: Deployment) -> ObjectShape:
    """Describe what reaches a Deployment, with what is overridden there."""
    names = set(one.source.set_fields) | set(one.link.set_fields if one.link else ())
    plain = merged(one.source.plain, one.link.plain) if one.link else one.source.plain
    shape = object_shape(one.source, plain=plain, set_fields=sorted(names))
    shape.scope, shape.scope_entity_id = "DEPLOYMENT", public_id("deployment", deployment.pk)
    # Whoever sees one Deployment need not know of the others.
    shape.links, shape.exclude_links = [], []
    return shape


def _found(request: Call, text: str, permissions: Any) -> EnvironmentObject:
    above = ("workspace__organization", "deployment__workspace__organization")
    rows = EnvironmentObject.objects.filter(workspace__organization=request.organization)
    rows = rows.select_related(*above, "created_by", "updated_by").prefetch_related("links")
    found = or_404(rows.filter(pk=number_of("environment_object", text)).first())
    user, place = request.caller.user, found.place
    if not user.has_perm(f"{place.access_scope}.view", place):
        raise NotHere
    require(user=user, permission=permissions[type(place)], on=place)
    return found


def _data(
    body: ObjectBody, kind: Kind, name: str, found: EnvironmentObject | None, place: Place
) -> ObjectData:
    links_all = body.auto_link_deployments
    if links_all is None:
        links_all = found.links_all if found else False
    description = body.description
    return ObjectData(
        name=name,
        description=(found.description if found else "") if description is None else description,
        links_all=links_all,
        linked=_linked(body, links_all, found, place),
        **_value(body, kind, found),
    )


def _value(body: ObjectBody, kind: Kind, found: EnvironmentObject | None) -> dict[str, Any]:
    stored: dict[str, Any] = found.plain if found else {}
    if kind == Kind.CONNECTION:
        return {"value": body.connection.value() if body.connection else stored}
    if kind == Kind.BACKEND:
        return {"value": body.secrets_backend.value() if body.secrets_backend else stored}
    sent = body.variable()
    if sent is None:
        return {"value": stored, "is_secret": found.is_secret if found else False}
    value = stored if sent.value is None else {"value": sent.value}
    # Clients read "" in place of a secret, and send it back.
    if found is not None and found.is_secret and sent.is_secret and not sent.value:
        value = {}
    return {"value": value, "is_secret": sent.is_secret}


def _linked(
    body: ObjectBody, links_all: bool, found: EnvironmentObject | None, place: Place
) -> frozenset[int] | None:
    if isinstance(place, Deployment):
        return None
    has_said = body.links is not None or body.exclude_links is not None
    if found is not None and not has_said and body.auto_link_deployments is None:
        return None
    links = {_deployment(place, one.scope_entity_id).pk for one in body.links or ()}
    excluded = {_deployment(place, one.scope_entity_id).pk for one in body.exclude_links or ()}
    if not links_all:
        return frozenset(links)
    return frozenset(deployments_in(place).values_list("pk", flat=True)) - excluded


def _override(request: Call, made: EnvironmentObject, body: ObjectBody) -> None:
    for link in body.links or ():
        override_object(
            actor=request.caller.user,
            found=made,
            deployment=_deployment(made.workspace, link.scope_entity_id),
            value=link.value(),
        )


def _deployment(workspace: Workspace, text: str) -> Deployment:
    found = deployments_in(workspace).filter(pk=number_of("deployment", text)).first()
    if found is None:
        raise Invalid("A link names a Deployment that is not in the workspace.", field="links")
    return found
