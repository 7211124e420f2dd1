"""Airflows from elsewhere: read, checked, and made a Deployment of."""

from datetime import datetime
from pathlib import Path as FilePath
from typing import Any, Literal
from uuid import UUID

from ninja import File, Form, Path, Query, Router
from ninja.files import UploadedFile
from pydantic import Field

from apps.access.scoped import require
from apps.airflow_imports import services
from apps.airflow_imports.models import AirflowImport
from apps.airflow_imports.queries import imports_of
from apps.airflow_imports.services import ImportData
from apps.api.wire.errors import or_404
from apps.api.wire.gates import Call, on_workspace
from apps.api.wire.idempotency import once
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import AtWorkspace, Listing, Profile, Shape, profile_of
from apps.clusters.models import Cluster
from apps.clusters.queries import clusters_for
from apps.core.errors import Invalid
from apps.core.public_ids import number_of, public_id
from apps.dataplane.spec import ExecutorName
from apps.organizations.models import Workspace

router = Router(by_alias=True, exclude_none=True, tags=["Import"])
CREATE, RUN = "workspace.deployments.create", "deployment.airflow.run"
EXECUTORS: dict[str, ExecutorName] = {
    "CELERY": "celery",
    "LOCAL": "local",
    "KUBERNETES": "kubernetes",
}
ADDRESS = "/organizations/{organizationId}/workspaces/{workspaceId}/imports"


class AtImport(AtWorkspace):
    import_id: UUID


class FoundDagShape(Shape):
    dag_id: str
    file: str
    is_paused: bool


class ImportShape(Shape):
    """`status` is WAITING, RUNNING, READY, FAILED or USED; a failed one has the reason in `error`.
    Passwords and Fernet keys are written and never told. `users` are left behind.
    """

    id: str
    name: str
    status: str
    host: str | None = None
    airflow_versions: str | None = None
    database_bytes: int | None = None
    counts: dict[str, int] = {}
    dags: list[FoundDagShape] = []
    users: list[str] = []
    error: str | None = None
    deployment_id: str | None = None
    not_unpaused: dict[str, str] = {}
    created_at: datetime
    ended_at: datetime | None = None
    expires_at: datetime | None = None
    created_by_subject: Profile


class ImportList(Listing):
    imports: list[ImportShape]


class NewImport(Shape):
    """A running PostgreSQL, which is only read. `encryption` is of the connection: verified is TLS
    with a certificate that is checked. Several Fernet keys have commas between, the newest first.
    """

    host: str = Field(max_length=253)
    port: int = Field(default=5432, ge=1, le=65_535)
    database: str = Field(max_length=63)
    user: str = Field(max_length=63)
    password: str = Field(default="", max_length=1000)
    encryption: Literal["verified", "unverified", "none"] = "verified"
    ca_certificate: str = Field(default="", max_length=50_000)
    fernet_key: str = Field(default="", max_length=1000)


class DumpForm(Shape):
    fernet_key: str = Field(default="", max_length=1000)


class FromImport(Shape):
    """Without `clusterId` it is on the portal's own machine, if the workspace can use that. A
    cluster gets the database from the organization's bucket for backups.
    """

    name: str = Field(max_length=60)
    runtime_version: str = Field(max_length=30)
    executor: Literal["CELERY", "LOCAL", "KUBERNETES"] = "CELERY"
    cluster_id: str | None = None


class CreatedFromImport(Shape):
    deployment_id: str
    operation_number: int


@router.get(
    ADDRESS,
    auth=on_workspace(CREATE),
    response=ImportList,
    operation_id="ListImports",
    summary="List Airflows from elsewhere, the newest first",
)
def list_imports(request: Call, at: Path[AtWorkspace], asked: Query[Paging]) -> Any:
    page = page_of(imports_of(request.found), asked, sorts={"createdAt": "-created_at"})
    return ImportList(imports=[_shape(one) for one in page.rows], **page.numbers(asked))


@router.post(
    ADDRESS,
    auth=on_workspace(CREATE),
    response=ImportShape,
    operation_id="CreateImport",
    summary="Read the running database of an Airflow from elsewhere",
)
@once
def new_import(request: Call, at: Path[AtWorkspace], body: NewImport) -> Any:
    """Returns at once; a job reads and checks it."""
    data = ImportData(name=f"{body.database} at {body.host}"[:200], **body.model_dump())
    made = services.begin_import(actor=request.caller.user, workspace=request.found, data=data)
    return _shape(made)


@router.post(
    f"{ADDRESS}/dump",
    auth=on_workspace(CREATE),
    response=ImportShape,
    operation_id="CreateImportOfDump",
    summary="Upload the dump, or the airflow.db, of an Airflow from elsewhere",
    url_name="import_dump",
)
@once
def new_import_of_dump(
    request: Call,
    at: Path[AtWorkspace],
    dump: File[UploadedFile],
    given: Form[DumpForm],
) -> Any:
    """Takes a form (multipart/form-data) with the file in `dump`: of pg_dump, or a database of
    SQLite as `airflow standalone` writes it.
    """
    data = ImportData(
        name=str(dump.name)[:200],
        dump=FilePath(dump.temporary_file_path()),  # type: ignore[attr-defined]  # the handler's
        fernet_key=given.fernet_key,
    )
    made = services.begin_import(actor=request.caller.user, workspace=request.found, data=data)
    return _shape(made)


@router.get(
    ADDRESS + "/{importId}",
    auth=on_workspace(CREATE),
    response=ImportShape,
    operation_id="GetImport",
    summary="Get an Airflow from elsewhere, with what was found",
)
def get_import(request: Call, at: Path[AtImport]) -> Any:
    return _shape(_found(request, at))


@router.post(
    ADDRESS + "/{importId}/deployment",
    auth=on_workspace(CREATE),
    response=CreatedFromImport,
    operation_id="CreateDeploymentFromImport",
    summary="Create a Deployment from an Airflow from elsewhere",
)
@once
def create(request: Call, at: Path[AtImport], body: FromImport) -> Any:
    """All its DAGs are paused. 409 where it is not ready, or was used already."""
    operation = services.create_from_import(
        actor=request.caller.user,
        row=_found(request, at),
        name=body.name,
        runtime=body.runtime_version,
        executor=EXECUTORS[body.executor],
        cluster=_cluster(request.found, body.cluster_id),
    )
    return CreatedFromImport(
        deployment_id=public_id("deployment", operation.deployment_id),
        operation_number=operation.number,
    )


@router.post(
    ADDRESS + "/{importId}/unpause",
    auth=on_workspace(CREATE),
    response=ImportShape,
    operation_id="UnpauseImportedDags",
    summary="Unpause the DAGs that ran before",
)
def unpause(request: Call, at: Path[AtImport]) -> Any:
    """Returns at once; those that Airflow refused are in `notUnpaused` later."""
    row = _found(request, at)
    if row.deployment is not None:
        require(user=request.caller.user, permission=RUN, on=row.deployment)
    services.request_unpause(actor=request.caller.user, row=row)
    return _shape(_found(request, at))


@router.delete(
    ADDRESS + "/{importId}",
    auth=on_workspace(CREATE),
    response={204: None},
    operation_id="DeleteImport",
    summary="Remove what was read of an Airflow from elsewhere",
)
def remove(request: Call, at: Path[AtImport]) -> None:
    services.remove_import(actor=request.caller.user, row=_found(request, at))


def _cluster(workspace: Workspace, text: str | None) -> Cluster | None:
    if not text:
        return None
    found = clusters_for(workspace=workspace).filter(pk=number_of("cluster", text)).first()
    if found is None:
        raise Invalid("This workspace cannot use that cluster.", field="clusterId")
    return found


def _found(request: Call, at: AtImport) -> AirflowImport:
    return or_404(imports_of(request.found).filter(pk=at.import_id).first())


def _shape(row: AirflowImport) -> ImportShape:
    report = row.report
    return ImportShape(
        id=str(row.pk),
        name=row.name,
        status=row.state.upper(),
        host=row.host or None,
        airflow_versions=report.get("versions"),
        database_bytes=report.get("database_bytes"),
        counts=report.get("counts", {}),
        dags=[FoundDagShape(**one) for one in report.get("dags", [])],
        users=report.get("users", []),
        error=row.failure or None,
        deployment_id=public_id("deployment", row.deployment_id) if row.deployment_id else None,
        not_unpaused=row.unpause.get("failed", {}),
        created_at=row.created_at,
        ended_at=row.ended_at,
        expires_at=row.expires_at,
        created_by_subject=profile_of(row.created_by),
    )
