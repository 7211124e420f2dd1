"""What a pass of the reconciler records: each a transaction that first locks the leased row."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.utils import timezone

from apps.audit.services import record
from apps.dataplane.errors import DataPlaneError
from apps.dataplane.status import Drift, Observation, Progress, Step
from apps.deployments.models import (
    Deployment,
    Operation,
    OperationState,
    OperationStep,
    Phase,
    Revision,
    RevisionState,
)
from apps.deployments.reconciling import lifecycle
from apps.deployments.reconciling.lifecycle import Lease

STALLED_AFTER = timedelta(minutes=10)
# In what is stored of an observation: of which period the pull secret on the data plane is.
PULL_PERIOD = "pull_period"
MOST_AUDITED = 50
AFTER_FAILURE_SECONDS, BETWEEN_REPAIRS_SECONDS = 2.0, 60.0
QUARANTINED = (
    "The portal stopped retrying: three times in a row its worker crashed, took too long or ran "
    "out of memory. The log of the worker says which."
)


@transaction.atomic
def begin(*, lease: Lease) -> Revision | None:
    """Mark the wanted revision as being applied and return it; None when none is due."""
    revision = lifecycle.lock(lease).wanted
    if revision is None:
        return None
    if revision.state == RevisionState.PENDING:
        lifecycle.move(_rows(revision), "revision", RevisionState.APPLYING)
    elif revision.state != RevisionState.APPLYING:
        return None
    return revision


@dataclass(frozen=True, kw_only=True)
class Versions:
    """Which settings a pass applied: the `settings_version` of the cluster, and the
    `layers_version` and `hibernation_version` of the Deployment.
    """

    cluster: int
    layers: int
    hibernation: int


@transaction.atomic
def record_progress(
    *, lease: Lease, revision: Revision, progress: Progress, versions: Versions
) -> Step | None:
    """Record the progress of an apply, and mark as applied what is done. Returns a stalled step.
    `versions` are those of the settings that it was applied with.

    A revision replaced in the meantime is left as it is: the next pass applies the newer one.
    """
    deployment = lifecycle.lock(lease)
    if deployment.wanted_id != revision.pk:
        return None
    now = timezone.now()
    operation = _running_operation(deployment)
    stalled = _record_steps(operation, progress.steps, now) if operation else None
    # One that fell asleep or woke meanwhile needs another pass, which ends the operation.
    if not progress.is_done or deployment.hibernation_version != versions.hibernation:
        return stalled
    if lifecycle.move(
        _rows(revision), "revision", RevisionState.APPLIED, applied_at=now, failure=""
    ):
        Deployment.objects.filter(pk=deployment.pk).update(
            applied=revision,
            settings_version=versions.cluster,
            layers_applied=versions.layers,
        )
    if operation:
        # Of those that no later pass named.
        operation.steps.filter(state="running").update(state="done", ended_at=now)
    _end_operation(operation, OperationState.SUCCEEDED, now)
    return None


@transaction.atomic
def record_deletion(*, lease: Lease, progress: Progress) -> None:
    """Record the progress of a deletion. When it is done, end the phase and delete the secrets."""
    deployment = lifecycle.lock(lease)
    now = timezone.now()
    operation = _running_operation(deployment)
    if operation:
        _record_steps(operation, progress.steps, now)
    if not progress.is_done:
        return
    _end_operation(operation, OperationState.SUCCEEDED, now)
    _forget(deployment, now)
    record(
        action="deployment.deleted",
        actor=operation.actor if operation else None,
        organization_id=deployment.workspace.organization_id,
        target_kind="deployment",
        target_id=deployment.pk,
        target_label=deployment.name,
    )


@transaction.atomic
def fail(*, lease: Lease, error: DataPlaneError, revision: Revision | None) -> None:
    """Record that a revision, or without one the deletion, cannot continue without a person.

    The pass ends here; observation of what runs continues. If a newer revision is wanted by now,
    the error is obsolete and dropped.
    """
    deployment = lifecycle.lock(lease)
    is_deleting = deployment.phase == Phase.DELETING
    wish = None if is_deleting else deployment.wanted_id
    if wish != (revision.pk if revision else None):
        lifecycle.release(lease=lease, after_seconds=0, unfinished_passes=0)
        return
    after_seconds: float | None = AFTER_FAILURE_SECONDS
    last_error = ""
    if is_deleting or _is_settled(deployment):
        # No revision fails when lost objects cannot be restored, so the error is shown on the row.
        after_seconds = None if is_deleting else BETWEEN_REPAIRS_SECONDS
        last_error = error.message[:500]
    _fail_operation(deployment, error)
    lifecycle.release(
        lease=lease,
        after_seconds=after_seconds,
        unfinished_passes=0,
        failures=0,
        is_urgent=False,
        last_error=last_error,
    )


@transaction.atomic
def quarantine(*, lease: Lease) -> None:
    """Stop driving a Deployment whose passes kill their workers, until a person retries."""
    deployment = lifecycle.lock(lease)
    if not lifecycle.is_poison(deployment):
        lifecycle.release(lease=lease, after_seconds=0)
        return
    _fail_operation(deployment, DataPlaneError(QUARANTINED))
    lifecycle.release(
        lease=lease,
        after_seconds=None,
        quarantined_at=timezone.now(),
        is_urgent=False,
        last_error=QUARANTINED,
    )


@transaction.atomic
def record_correction(*, lease: Lease, drift: Sequence[Drift]) -> None:
    """Record that the portal reverted what others had changed on the data plane."""
    deployment = lifecycle.lock(lease)
    record(
        action="deployment.drift_corrected",
        actor=None,
        organization_id=deployment.workspace.organization_id,
        target_kind="deployment",
        target_id=deployment.pk,
        target_label=deployment.name,
        changes={
            one.object: [", ".join(map(one.described, one.fields)) or "gone", "reverted"]
            for one in drift[:MOST_AUDITED]
        },
    )


def observed_fields(deployment: Deployment, observation: Observation) -> dict[str, Any]:
    """Return the columns that an observation sets."""
    fields = health_fields(deployment, observation.health, observation.message)
    return fields | {
        "observed_at": observation.observed_at,
        "observation": observed_json(deployment.observation, observation),
    }


def observed_json(before: Mapping[str, Any], observation: Observation) -> dict[str, Any]:
    """Return what is stored of an observation. What it did not include is kept from `before`:
    notices, import errors, the fields of objects that still drift, and drift of kinds that were not
    checked. So is when drift was corrected last, and of which period the pull secret is.
    """
    found: dict[str, Any] = json.loads(json.dumps(asdict(observation), cls=DjangoJSONEncoder))
    found |= {name: before[name] for name in ("corrected_at", PULL_PERIOD) if name in before}
    if observation.notices is None:
        found["notices"] = before.get("notices") or []
    if observation.import_errors is None:
        found["import_errors"] = before.get("import_errors") if observation.exists else None
    if found["import_failures"] is None:
        found["import_failures"] = before.get("import_failures") or []
    if found["warnings"] is None:
        found["warnings"] = (before.get("warnings") or []) if observation.exists else []
    if not found["import_errors"]:
        found["import_failures"] = []
    known = {one["object"]: one for one in before.get("drift", ())}
    for one in found["drift"]:
        if not one["fields"]:
            before_it = known.get(one["object"], one)
            one["fields"] = before_it["fields"]
            one["values"] = before_it.get("values", {})
            one["is_gone"] = before_it.get("is_gone", False)
            one["authors"] = before_it.get("authors", {})
    checked_for_drift = found.pop("checked_for_drift")
    if checked_for_drift is not None:
        found["drift"] += [
            one for name, one in known.items() if name.split("/")[0] not in checked_for_drift
        ]
        found["is_drifted"] = bool(found["drift"])
    return found


def health_fields(deployment: Deployment, health: str, message: str) -> dict[str, Any]:
    """Return the columns of a verdict about health; `health_since` moves only with the verdict."""
    fields: dict[str, Any] = {"health": health, "health_message": message[:500]}
    if health != deployment.health:
        fields["health_since"] = timezone.now()
    return fields


def _is_settled(deployment: Deployment) -> bool:
    return deployment.wanted is not None and deployment.wanted.state == RevisionState.APPLIED


def _rows(revision: Revision) -> Any:
    return Revision.objects.filter(pk=revision.pk)


def _running_operation(deployment: Deployment) -> Operation | None:
    running = deployment.operations.filter(state=OperationState.RUNNING)
    return running.select_related("actor").first()


def _end_operation(
    operation: Operation | None, state: OperationState, now: datetime, **fields: Any
) -> None:
    if operation is not None:
        rows = Operation.objects.filter(pk=operation.pk)
        lifecycle.move(rows, "operation", state, ended_at=now, **fields)


def _record_steps(operation: Operation, steps: Sequence[Step], now: datetime) -> Step | None:
    known = {row.key: row for row in operation.steps.all()}
    stalled = None
    for position, step in enumerate(steps):
        row = known.get(step.key)
        if row is None:
            row = OperationStep(operation=operation, position=position, key=step.key)
        if _copy(step, row, now):
            row.save()
        allowed = max(STALLED_AFTER, timedelta(seconds=step.allowed_seconds))
        if step.state == "running" and row.started_at and now - row.started_at > allowed:
            stalled = step
    return stalled


def _copy(step: Step, row: OperationStep, now: datetime) -> bool:
    """Copy a step onto its row, times included; return whether anything is new.

    A step that an earlier pass worked on has run, even where a later pass found nothing left to do.
    """
    if step.state == "skipped" and row.started_at is not None:
        step = replace(step, state="done", detail=row.detail if row.state == "done" else "")
    news = {
        "title": step.title[:160],
        "state": step.state,
        "detail": step.detail[:500],
        "log": "\n".join(step.log),
    }
    if row.pk and all(getattr(row, name) == value for name, value in news.items()):
        return False
    for name, value in news.items():
        setattr(row, name, value)
    has_begun = step.state not in ("waiting", "skipped")
    if has_begun and row.started_at is None:
        row.started_at = now
    row.ended_at = now if step.state in ("done", "failed") else None
    return True


def _fail_operation(deployment: Deployment, error: DataPlaneError) -> None:
    now = timezone.now()
    if deployment.wanted is not None and deployment.phase == Phase.ACTIVE:
        failed = RevisionState.FAILED
        lifecycle.move(_rows(deployment.wanted), "revision", failed, failure=error.message[:1000])
    operation = _running_operation(deployment)
    if operation is None:
        return
    _fail_step(operation, error, now)
    _end_operation(
        operation,
        OperationState.FAILED,
        now,
        failure=error.message[:1000],
        failed_component=error.component[:80],
    )


def _fail_step(operation: Operation, error: DataPlaneError, now: datetime) -> None:
    """Mark the running step, or the first waiting one, as failed, with the log lines."""
    rows = list(operation.steps.exclude(state__in=["done", "skipped"]).order_by("position"))
    row = next(
        (row for row in rows if row.state in ("failed", "running")), rows[0] if rows else None
    )
    if row is None:
        title = "Remove the Deployment" if operation.kind == Operation.Kind.DELETE else "Apply"
        row = OperationStep(
            operation=operation, position=operation.steps.count(), key="failure", title=title
        )
    row.state = "failed"
    row.detail = error.message[:500]
    row.log = "\n".join(error.log) or row.log
    row.started_at = row.started_at or now
    row.ended_at = now
    row.save()


def _forget(deployment: Deployment, now: datetime) -> None:
    rows = Deployment.objects.filter(pk=deployment.pk)
    lifecycle.move(
        rows,
        "phase",
        Phase.DELETED,
        deleted_at=now,
        next_reconcile_at=None,
        lease_token=None,
        lease_until=None,
        airflow_secrets=None,
        last_error="",
    )
    deployment.grants.all().delete()
    deployment.drafts.all().delete()
    deployment.secret_values.all().delete()
