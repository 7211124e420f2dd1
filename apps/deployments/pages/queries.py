"""Reads of the pages of a Deployment; those of the list are in `list_queries`."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from statistics import median
from typing import Any
from uuid import UUID

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import JSONObject
from django.utils import timezone

from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.dataplane.status import (
    ComponentStatus,
    Drift,
    ImportFailure,
    Notice,
    Observation,
    QueueStatus,
)
from apps.deployments.configuration.options import deployment_options
from apps.deployments.configuration.validation import validate
from apps.deployments.database_version import present_of
from apps.deployments.models import (
    Deployment,
    Draft,
    Operation,
    OperationState,
    OperationStep,
    Phase,
    Revision,
    SecretValue,
)
from apps.organizations.models import Workspace

# Enough for a stable median, few enough to follow a change of the machine.
RECENT_OPERATIONS = 12
_TIMES = ("observed_at", "started_at", "heartbeat_at", "last_at", "at")
STEP_STATES = {"waiting": "wait", "running": "now"}


def usual_cluster(*, workspace: Workspace, clusters: Sequence[Cluster]) -> Cluster:
    """Return the one of some clusters that the workspace's newest Deployment runs on, or the first
    of them.
    """
    rows = Deployment.objects.filter(workspace=workspace, cluster__in=clusters)
    newest = rows.order_by("-created_at").values_list("cluster_id", flat=True).first()
    return next((cluster for cluster in clusters if cluster.pk == newest), clusters[0])


def is_name_taken(*, workspace: Workspace, name: str) -> bool:
    """Return whether an existing Deployment of the workspace has the name, ignoring case."""
    living = Deployment.objects.filter(workspace=workspace).exclude(phase=Phase.DELETED)
    return living.filter(name__iexact=name).exists()


def open_drafts(
    *, author: User, workspace: Workspace, deployment: Deployment | None
) -> QuerySet[Draft]:
    """List the open drafts of a person, newest first."""
    drafts = Draft.objects.filter(author=author, workspace=workspace, deployment=deployment)
    return drafts.filter(operation=None).order_by("-updated_at")


def usable_secrets(
    *, user: User, workspace: Workspace, deployment: Deployment | None, ids: Iterable[str]
) -> dict[str, SecretValue]:
    """Return the sealed values that a form of this person may refer to, by id.

    Those are the Deployment's own and those that the person typed and nothing uses yet.
    """
    wanted = {secret_id for secret_id in ids if _is_uuid(secret_id)}
    usable = Q(deployment=None, created_by=user)
    if deployment is not None:
        usable |= Q(deployment=deployment)
    found = SecretValue.objects.filter(usable, workspace=workspace, pk__in=wanted)
    return {str(secret.pk): secret for secret in found.select_related("created_by")}


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


@dataclass(frozen=True, kw_only=True)
class UsualTime:
    """How long operations of a kind took of late, in seconds: the whole, and each step by key."""

    count: int
    total: float | None
    steps: dict[str, float]


def usual_time(*, cluster: Cluster, kind: str) -> UsualTime:
    """Return the medians of the last successful operations of a kind on a cluster. Two queries."""
    done = Operation.objects.filter(
        kind=kind, state=OperationState.SUCCEEDED, deployment__cluster=cluster
    ).exclude(ended_at=None)
    recent = list(done.order_by("-ended_at").only("started_at", "ended_at")[:RECENT_OPERATIONS])
    if not recent:
        return UsualTime(count=0, total=None, steps={})
    seconds: dict[str, list[float]] = defaultdict(list)
    steps = OperationStep.objects.filter(operation__in=recent).exclude(
        Q(started_at=None) | Q(ended_at=None)
    )
    for step in steps.only("key", "started_at", "ended_at"):
        seconds[step.key].append(_seconds(step))
    return UsualTime(
        count=len(recent),
        total=median(_seconds(operation) for operation in recent),
        steps={key: median(values) for key, values in seconds.items()},
    )


def _seconds(ended: Operation | OperationStep) -> float:
    if ended.started_at is None or ended.ended_at is None:
        return 0.0
    return (ended.ended_at - ended.started_at).total_seconds()


def steps_for_page(
    *, operation: Operation, usual: UsualTime, now: datetime
) -> list[dict[str, Any]]:
    """Return the steps of an operation as the component `steps` shows them.

    What still waited when the operation ended did not run; what was done by the time of the first
    report took a time that is not known.
    """
    rows = []
    is_over = operation.state != OperationState.RUNNING
    for step in operation.steps.order_by("position"):
        took = None
        if step.started_at is not None:
            end = step.ended_at or (now if step.state == "running" else None)
            took = (end - step.started_at).total_seconds() if end else None
        state = STEP_STATES.get(step.state, step.state)
        if is_over and state == "wait":
            state = "skipped"
        rows.append(
            {
                "title": step.title,
                "state": state,
                "detail": step.detail,
                "took_seconds": took or None,
                "usual_seconds": usual.steps.get(step.key) if state in ("wait", "now") else None,
                "log": step.log.splitlines(),
            }
        )
    return rows


def operations_of(deployment: Deployment) -> QuerySet[Operation]:
    """List the operations of a Deployment, newest first."""
    return (
        Operation.objects.filter(deployment=deployment)
        .select_related("actor", "revision")
        .annotate(step_count=Count("steps"))
        .order_by("-number")
    )


def with_running_step(operations: QuerySet[Operation]) -> QuerySet[Operation]:
    """Let each operation bring `running_step`: the title and the detail of the step that runs, None
    without one.
    """
    running = OperationStep.objects.filter(operation=OuterRef("pk"), state="running")
    said = running.order_by("position").values(said=JSONObject(title="title", detail="detail"))
    return operations.annotate(running_step=Subquery(said[:1]))


def know_revisions(deployment: Deployment, known: Iterable[Revision]) -> None:
    """Give a Deployment its wanted and applied revision, where they are among those that a page has
    read anyway. No query, unless `known` is one.
    """
    by_id = {revision.pk: revision for revision in known}
    for name in ("wanted", "applied"):
        found = by_id.get(getattr(deployment, f"{name}_id"))
        if found is not None:
            setattr(deployment, name, found)


def revisions_for_page(deployment: Deployment) -> QuerySet[Revision]:
    """List the revisions of a Deployment, newest first."""
    return (
        Revision.objects.filter(deployment=deployment)
        .select_related("created_by")
        .order_by("-number")
    )


def restore_refusals(
    deployment: Deployment, revisions: Iterable[Revision], *, now: datetime
) -> dict[int, str]:
    """Return, by the id of a revision, why it cannot be restored; empty where it can. The wanted
    one is left out: it is not restored but in force.
    """
    others = [revision for revision in revisions if revision.pk != deployment.wanted_id]
    if not others:
        return {}
    options = deployment_options(
        cluster=deployment.cluster,
        workspace=deployment.workspace,
        today=timezone.localdate(now),
    )
    present = present_of(deployment, options)
    refusals = {}
    for revision in others:
        configuration = revision.configuration
        problems = validate(
            configuration=configuration,
            options=options,
            present=replace(present, settings=configuration.own_settings),
        )
        refusals[revision.pk] = problems[0].message if problems else ""
    return refusals


def secrets_of(deployment: Deployment) -> dict[str, SecretValue]:
    """Return the sealed values of a Deployment by id, to say who set them and when."""
    found = SecretValue.objects.filter(deployment=deployment).defer("sealed")
    return {str(secret.pk): secret for secret in found.select_related("created_by")}


def observation_of(deployment: Deployment) -> Observation | None:
    """Return the last observation of a Deployment, None before the first.

    Fields written by another version of the portal are read as far as they are known.
    """
    data: Mapping[str, Any] = deployment.observation
    if not data:
        return None
    known = _known(Observation, data)
    known["components"] = tuple(
        ComponentStatus(**_known(ComponentStatus, item)) for item in data.get("components", ())
    )
    known["queues"] = tuple(
        QueueStatus(**_known(QueueStatus, item)) for item in data.get("queues", ())
    )
    known["drift"] = tuple(
        Drift(
            object=item["object"],
            fields=tuple(item["fields"]),
            values={path: (old, new) for path, (old, new) in item.get("values", {}).items()},
            is_gone=item.get("is_gone", False),
            authors={path: (by, at) for path, (by, at) in item.get("authors", {}).items()},
        )
        for item in data.get("drift", ())
    )
    known["notices"] = tuple(Notice(**_known(Notice, item)) for item in data.get("notices") or ())
    known["import_failures"] = tuple(
        ImportFailure(**_known(ImportFailure, item)) for item in data.get("import_failures") or ()
    )
    known["warnings"] = tuple(str(one) for one in data.get("warnings") or ())
    return Observation(**known)


def _known(kind: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    known = {field.name: data[field.name] for field in fields(kind) if field.name in data}
    for name in _TIMES:
        if known.get(name):
            known[name] = datetime.fromisoformat(known[name])
    return known
