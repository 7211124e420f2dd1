"""Changes of clusters: register, settings, workspaces, test, remove. Secrets never come out."""

from datetime import datetime
from typing import Any

from django import forms
from django.utils import timezone
from ninja import Path
from pydantic import Field, create_model
from pydantic.alias_generators import to_camel

from apps.api.places.clusters import AtCluster, ClusterShape, cluster_shape
from apps.api.places.clusters import router as router
from apps.api.wire.errors import NotOffered, or_404
from apps.api.wire.forms import check
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.idempotency import once
from apps.api.wire.shapes import InOrganization, Name, Shape
from apps.clusters.connections.services import check_cluster, register_cluster
from apps.clusters.connections.storage import request_storage_test
from apps.clusters.forms.access import RegisterByKubeconfig, RegisterByToken
from apps.clusters.forms.settings.form import SettingsForm
from apps.clusters.forms.workspaces import WorkspacesForm
from apps.clusters.models import Cluster
from apps.clusters.queries import deployments_on, permission_rows, state_of
from apps.clusters.services import choose_workspaces, remove_cluster, update_settings
from apps.core.public_ids import number_of

SEE, MANAGE = "organization.clusters.view", "organization.clusters.manage"
KINDS: dict[type[forms.Field], Any] = {forms.IntegerField: int, forms.BooleanField: bool}
NAMES = {
    name: to_camel(name)
    for form in (SettingsForm, RegisterByToken, RegisterByKubeconfig)
    for name in form.base_fields
}


class NewCluster(Shape):
    """A cluster that is there, by a `kubeconfig`, of which `context` names one; or by `server`,
    `caCertificate` and `token`. `namespaces` are those that the portal may write in, one a line,
    where it may not everywhere.
    """

    name: Name = Field(max_length=60)
    kubeconfig: str = ""
    context: str = ""
    server: str = ""
    ca_certificate: str = ""
    tls_server_name: str = ""
    proxy_url: str = ""
    token: str = ""
    namespaces: str = ""


class ClusterChange(Shape):
    """What is left out stays as it is. No `workspaceIds` and `isLimited` false: all workspaces may
    use it.
    """

    name: Name | None = Field(default=None, max_length=60)
    is_limited: bool | None = None
    workspace_ids: list[str] | None = None


class ClusterFinding(Shape):
    title: str
    is_ok: bool
    detail: str


class ClusterHealth(Shape):
    """What the last tests found. `missingPermissions` are those that the portal lacks there."""

    word: str
    message: str
    is_usable: bool
    version: str | None = None
    checked_at: datetime | None = None
    credential_expires_at: datetime | None = None
    ca_expires_at: datetime | None = None
    database_ca_expires_at: datetime | None = None
    registry_ca_expires_at: datetime | None = None
    findings: list[ClusterFinding]
    missing_permissions: list[str]
    storage_findings: list[ClusterFinding]
    deployment_count: int


def _kind(field: forms.Field) -> Any:
    return next((kind for one, kind in KINDS.items() if isinstance(field, one)), str)


# The fields of the form of the page, so that a new one is here at once.
_SETTINGS: dict[str, Any] = {
    name: (_kind(field) | None, None)
    for name, field in SettingsForm.base_fields.items()
    if name != "name"
}
ClusterSettings: Any = create_model(
    "ClusterSettings",
    __base__=Shape,
    __doc__="What is left out stays as it is. Secrets are never sent. Where Deployments run, a "
    "change of what they run with needs `applyAgain`.",
    **_SETTINGS,
)


@router.post(
    "/organizations/{organizationId}/clusters",
    auth=in_organization(MANAGE),
    response=ClusterShape,
    operation_id="CreateCluster",
    summary="Register a Kubernetes cluster",
)
@once
def new_cluster(request: Call, at: Path[InOrganization], body: NewCluster) -> Any:
    """It is tested, and stored whatever the test found: read its health next."""
    if not body.kubeconfig and not body.server:
        raise NotOffered(
            "The portal registers clusters that are there. Send a kubeconfig, or server, "
            "caCertificate and token."
        )
    kind = RegisterByKubeconfig if body.kubeconfig else RegisterByToken
    form = kind(body.model_dump())
    check(form, NAMES)
    made = register_cluster(
        actor=request.caller.user,
        organization=request.organization,
        name=form.cleaned_data["name"],
        access=form.cleaned_data["access"],
        namespaces=form.cleaned_data["namespaces"],
    )
    return cluster_shape(made)


@router.post(
    "/organizations/{organizationId}/clusters/{clusterId}",
    auth=in_organization(MANAGE),
    response=ClusterShape,
    operation_id="UpdateCluster",
    summary="Rename a cluster, and choose the workspaces that may use it",
)
def change_cluster(request: Call, at: Path[AtCluster], body: ClusterChange) -> Any:
    cluster = _found(request, at.cluster_id)
    if body.name and body.name != cluster.name:
        _save(request, cluster, {"name": body.name})
    if body.is_limited is not None or body.workspace_ids is not None:
        _share(request, cluster, body)
    return cluster_shape(_found(request, at.cluster_id))


@router.delete(
    "/organizations/{organizationId}/clusters/{clusterId}",
    auth=in_organization(MANAGE),
    response={204: None},
    operation_id="DeleteCluster",
    summary="Remove a cluster on which no Deployment runs from the portal",
)
def remove(request: Call, at: Path[AtCluster]) -> None:
    """Nothing in the cluster is touched."""
    cluster = _kubernetes(request, at.cluster_id)
    remove_cluster(actor=request.caller.user, cluster=cluster, typed_name=cluster.name)


@router.get(
    "/organizations/{organizationId}/clusters/{clusterId}/health",
    auth=in_organization(SEE),
    response=ClusterHealth,
    operation_id="GetClusterHealth",
    summary="Get what the last test of a cluster found",
)
def get_health(request: Call, at: Path[AtCluster]) -> Any:
    return _health(_found(request, at.cluster_id))


@router.post(
    "/organizations/{organizationId}/clusters/{clusterId}/test",
    auth=in_organization(MANAGE),
    response=ClusterHealth,
    operation_id="TestCluster",
    summary="Test a cluster now",
)
def test_cluster(request: Call, at: Path[AtCluster]) -> Any:
    cluster = _found(request, at.cluster_id)
    check_cluster(actor=request.caller.user, cluster=cluster)
    return _health(_found(request, at.cluster_id))


@router.post(
    "/organizations/{organizationId}/clusters/{clusterId}/test-storage",
    auth=in_organization(MANAGE),
    response=ClusterHealth,
    operation_id="TestClusterStorage",
    summary="Let a worker test the storage of a cluster soon",
)
def test_storage(request: Call, at: Path[AtCluster]) -> Any:
    cluster = _kubernetes(request, at.cluster_id)
    request_storage_test(actor=request.caller.user, cluster=cluster, now=timezone.now())
    return _health(_found(request, at.cluster_id))


@router.get(
    "/organizations/{organizationId}/clusters/{clusterId}/settings",
    auth=in_organization(MANAGE),
    response=ClusterSettings,
    operation_id="GetClusterSettings",
    summary="Get the settings of a Kubernetes cluster",
)
def get_settings(request: Call, at: Path[AtCluster]) -> Any:
    return ClusterSettings(**SettingsForm.stored(_kubernetes(request, at.cluster_id)))


@router.post(
    "/organizations/{organizationId}/clusters/{clusterId}/settings",
    auth=in_organization(MANAGE),
    response=ClusterSettings,
    operation_id="UpdateClusterSettings",
    summary="Change the settings of a Kubernetes cluster",
)
def change_settings(request: Call, at: Path[AtCluster], body: ClusterSettings) -> Any:
    cluster = _kubernetes(request, at.cluster_id)
    _save(request, cluster, body.model_dump(exclude_unset=True))
    return ClusterSettings(**SettingsForm.stored(_kubernetes(request, at.cluster_id)))


def _save(request: Call, cluster: Cluster, sent: dict[str, Any]) -> None:
    """Fill the form of the page with what is stored and what was sent, and save it."""
    if not cluster.is_kubernetes:
        raise NotOffered("This machine has no settings and keeps its name.")
    there = deployments_on(cluster=cluster).filter(phase="active")
    given = {name: value for name, value in sent.items() if value is not None}
    stored = SettingsForm.stored(cluster)
    form = SettingsForm(
        {**stored, **given}, cluster=cluster, deployment_count=there.count(), initial=stored
    )
    check(form, NAMES)
    update_settings(
        actor=request.caller.user,
        cluster=cluster,
        settings=form.settings(),
        secrets=form.secrets(),
        may_apply_again=bool(form.cleaned_data.get("apply_again")),
    )


def _share(request: Call, cluster: Cluster, body: ClusterChange) -> None:
    chosen = cluster.workspaces.values_list("pk", flat=True)
    sent = body.workspace_ids
    # The form refuses 0, which no workspace has.
    ids = list(chosen) if sent is None else [number_of("workspace", one) for one in sent]
    is_limited = bool(ids) if body.is_limited is None else body.is_limited
    form = WorkspacesForm(
        {"reach": "chosen" if is_limited else "all", "workspaces": ids}, cluster=cluster
    )
    check(form, {"workspaces": "workspaceIds"})
    choose_workspaces(
        actor=request.caller.user,
        cluster=cluster,
        is_for_all=not is_limited,
        workspaces=list(form.cleaned_data["workspaces"]),
    )


def _found(request: Call, text: str) -> Cluster:
    there = Cluster.objects.there().filter(organization=request.organization)
    return or_404(
        there.select_related("organization").filter(pk=number_of("cluster", text)).first()
    )


def _kubernetes(request: Call, text: str) -> Cluster:
    found = _found(request, text)
    if not found.is_kubernetes:
        raise NotOffered("This machine has no settings and is always there.")
    return found


def _health(cluster: Cluster) -> ClusterHealth:
    state = state_of(cluster, now=timezone.now())
    rows = permission_rows(cluster)
    return ClusterHealth(
        word=state.word,
        message=state.message,
        is_usable=cluster.is_usable,
        version=cluster.version or None,
        checked_at=cluster.checked_at,
        credential_expires_at=cluster.credential_expires_at,
        ca_expires_at=cluster.ca_expires_at,
        database_ca_expires_at=cluster.database_ca_expires_at,
        registry_ca_expires_at=cluster.registry_ca_expires_at,
        findings=[_finding(one) for one in cluster.check_result.get("findings", [])],
        missing_permissions=[
            f"{one['what']}: {', '.join(one['missing'])}" for one in rows if one["missing"]
        ],
        storage_findings=[_finding(one) for one in cluster.storage_test.get("findings", [])],
        deployment_count=deployments_on(cluster=cluster).count(),
    )


def _finding(one: dict[str, Any]) -> ClusterFinding:
    return ClusterFinding(title=one["title"], is_ok=one["is_ok"], detail=one["detail"])
