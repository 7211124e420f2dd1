"""Components of a status page, in the order in which they stand there."""

from datetime import datetime
from typing import Any, Literal

from django.utils import timezone
from ninja import Path, Query, Router

from apps.api.status.pages import MANAGE, status_page
from apps.api.wire.errors import or_404
from apps.api.wire.forms import check, fields_named
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.idempotency import once
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import InOrganization, Listing, Shape
from apps.core.public_ids import number_of, public_id
from apps.status_pages.manage.forms import ComponentForm
from apps.status_pages.setup import services
from apps.status_pages.setup.models import Component

router = Router(by_alias=True, exclude_none=True, tags=["Status page"])
FIELDS = {"deployments": "deploymentIds", "cluster": "clusterId"}


class AtComponent(InOrganization):
    component_id: str


class ComponentBody(Shape):
    """`source` says what the state is read from: DEPLOYMENTS, CLUSTER or PORTAL. Readers see
    `name`, `about` and `group`, and nothing of what it is read from.
    """

    name: str
    about: str = ""
    group: str = ""
    source: str = "DEPLOYMENTS"
    deployment_ids: list[str] = []
    cluster_id: str = ""


class Move(Shape):
    direction: Literal["UP", "DOWN"]


class ComponentShape(Shape):
    id: str
    name: str
    about: str
    group: str
    position: int
    source: str
    deployment_ids: list[str]
    cluster_id: str | None = None
    status: str
    status_at: datetime
    created_at: datetime


class ComponentList(Listing):
    components: list[ComponentShape]


@router.get(
    "/organizations/{organizationId}/status-page/components",
    auth=in_organization(MANAGE),
    response=ComponentList,
    operation_id="ListStatusComponents",
    summary="List components of the status page, in their order",
)
def list_components(request: Call, at: Path[InOrganization], asked: Query[Paging]) -> Any:
    found = status_page(request).components.prefetch_related("deployments")
    page = page_of(found, asked, sorts={"position": "position", "name": "name"})
    return ComponentList(components=[_shape(one) for one in page.rows], **page.numbers(asked))


@router.post(
    "/organizations/{organizationId}/status-page/components",
    auth=in_organization(MANAGE),
    response=ComponentShape,
    operation_id="CreateStatusComponent",
    summary="Add a component at the end",
)
@once
def new_component(request: Call, at: Path[InOrganization], body: ComponentBody) -> Any:
    return _save(request, body, None)


@router.post(
    "/organizations/{organizationId}/status-page/components/{componentId}",
    auth=in_organization(MANAGE),
    response=ComponentShape,
    operation_id="UpdateStatusComponent",
    summary="Change a component",
)
def change_component(request: Call, at: Path[AtComponent], body: ComponentBody) -> Any:
    return _save(request, body, _found(request, at))


@router.post(
    "/organizations/{organizationId}/status-page/components/{componentId}/move",
    auth=in_organization(MANAGE),
    response=ComponentShape,
    operation_id="MoveStatusComponent",
    summary="Move a component one place up or down",
)
def move_component(request: Call, at: Path[AtComponent], body: Move) -> Any:
    component, is_up = _found(request, at), body.direction == "UP"
    services.move_component(component=component, is_up=is_up, now=timezone.now())
    return _shape(_found(request, at))


@router.delete(
    "/organizations/{organizationId}/status-page/components/{componentId}",
    auth=in_organization(MANAGE),
    response={204: None},
    operation_id="DeleteStatusComponent",
    summary="Delete a component with its history",
)
def delete_component(request: Call, at: Path[AtComponent]) -> None:
    component, user = _found(request, at), request.caller.user
    services.delete_component(actor=user, component=component, now=timezone.now())


def _save(request: Call, body: ComponentBody, component: Component | None) -> ComponentShape:
    page, user = status_page(request), request.caller.user
    entered = {
        "name": body.name,
        "about": body.about,
        "group": body.group,
        "source": body.source.lower(),
        "deployments": [number_of("deployment", one) for one in body.deployment_ids],
        "cluster": number_of("cluster", body.cluster_id) if body.cluster_id else "",
    }
    form = ComponentForm(entered, page=page, component=component, user=user)
    check(form, FIELDS)
    with fields_named(FIELDS):
        saved = services.save_component(
            actor=user,
            page=page,
            component=component,
            data=form.component_data(),
            now=timezone.now(),
        )
    saved.refresh_from_db()
    return _shape(saved)


def _found(request: Call, at: AtComponent) -> Component:
    rows = status_page(request).components.select_related("page__organization")
    return or_404(rows.filter(key=at.component_id).first())


def _shape(component: Component) -> ComponentShape:
    deployments = sorted(one.pk for one in component.deployments.all())
    cluster = component.cluster_id
    return ComponentShape(
        id=component.key,
        name=component.name,
        about=component.about,
        group=component.group,
        position=component.position,
        source=component.source.upper(),
        deployment_ids=[public_id("deployment", one) for one in deployments],
        cluster_id=public_id("cluster", cluster) if cluster else None,
        status=component.state,
        status_at=component.state_at,
        created_at=component.created_at,
    )
