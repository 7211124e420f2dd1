"""Connections and variables from a file, and into one."""

from typing import Any, Literal

from ninja import Path, Router
from pydantic import Field

from apps.access.scoped import require
from apps.api.deployments.environment import MANAGE, VIEW
from apps.api.deployments.environment_shapes import TYPES
from apps.api.wire.finding import visible
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.shapes import InOrganization, Shape
from apps.deployments.models import Deployment
from apps.environment.importing.exporting import settings_file
from apps.environment.importing.formats import Means, entries_of
from apps.environment.importing.parsing import MOST_BYTES
from apps.environment.importing.services import Candidate, import_objects, preview
from apps.environment.objects.models import Kind
from apps.environment.objects.services import Place
from apps.organizations.models import Workspace

router = Router(by_alias=True, exclude_none=True, tags=["Environment object"])


class FilePlace(Shape):
    scope: Literal["WORKSPACE", "DEPLOYMENT"]
    scope_entity_id: str


class ImportBody(FilePlace):
    """`text` is an airflow_settings.yaml, a .env file or an export of Airflow. `objectType` is what
    names with a plain value are. Without `objectKeys` all that is new or changed is imported; with
    `isDryRun` nothing is.
    """

    text: str = Field(max_length=MOST_BYTES)
    object_type: Literal["CONNECTION", "AIRFLOW_VARIABLE", "ENVIRONMENT_VARIABLE"] | None = None
    object_keys: list[str] | None = None
    is_secret: bool = True
    auto_link_deployments: bool = False
    is_dry_run: bool = False


class ImportedObject(Shape):
    """`change` is NEW, CHANGED, SAME or REFUSED."""

    object_key: str
    object_type: str
    change: str
    reason: str | None = None


class EnvironmentImportShape(Shape):
    imported: int
    objects: list[ImportedObject]


class SettingsFile(Shape):
    text: str


@router.post(
    "/organizations/{organizationId}/environment-object-imports",
    auth=in_organization(),
    response=EnvironmentImportShape,
    operation_id="ImportEnvironmentObjects",
    summary="Import connections and variables from a text",
)
def import_text(request: Call, at: Path[InOrganization], body: ImportBody) -> Any:
    """The answer names what is new, changed, the same or refused, and never a value."""
    place = _place(request, body, MANAGE)
    entries = entries_of(body.text, means=_means(body))
    found = preview(place=place, entries=entries)
    keys = body.object_keys
    chosen = [one.key for one in found if keys is None or one.entry.name in keys]
    count = 0
    if not body.is_dry_run:
        count = import_objects(
            actor=request.caller.user,
            place=place,
            entries=entries,
            chosen=chosen,
            is_secret=body.is_secret,
            links_all=body.auto_link_deployments,
        )
    return EnvironmentImportShape(imported=count, objects=[_shape(one) for one in found])


@router.post(
    "/organizations/{organizationId}/environment-object-exports",
    auth=in_organization(),
    response=SettingsFile,
    operation_id="ExportEnvironmentObjects",
    summary="Write an airflow_settings.yaml without secrets",
)
def export(request: Call, at: Path[InOrganization], body: FilePlace) -> Any:
    """Of a workspace what it shares, of a Deployment all that reaches it."""
    return SettingsFile(text=settings_file(_place(request, body, VIEW)))


def _place(request: Call, body: FilePlace, permissions: dict[Any, str]) -> Place:
    model: Any = Workspace if body.scope == "WORKSPACE" else Deployment
    place: Place = visible(request, model, body.scope_entity_id)
    require(user=request.caller.user, permission=permissions[model], on=place)
    return place


def _means(body: ImportBody) -> Means:
    kinds: dict[str, Means] = {
        TYPES[Kind.CONNECTION]: "connection",
        TYPES[Kind.VARIABLE]: "variable",
        TYPES[Kind.ENVIRONMENT]: "environment",
    }
    return kinds[body.object_type] if body.object_type else ""


def _shape(one: Candidate) -> ImportedObject:
    return ImportedObject(
        object_key=one.entry.name,
        object_type=TYPES[Kind(one.entry.kind)],
        change=one.what.upper(),
        reason=one.reason or None,
    )
