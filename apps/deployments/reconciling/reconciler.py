"""One pass of the loop that reconciles a Deployment: claim, compile, apply or delete, observe.

Nothing here waits. A pass does what can be done now and sets when the next is due; a pass that dies
half-way leaves a lease that ends and a row that is due, and every step of a data plane is safe to
repeat. Between passes all state is in rows, and every write checks that the lease is held.
"""

import logging
import random
import time
import traceback
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.clusters.connections.planes import plane_for
from apps.dataplane import fence
from apps.dataplane.base import DataPlane, SupportsBulkObserve
from apps.dataplane.errors import DataPlaneError, Permanent, Temporary, Unreachable
from apps.dataplane.status import Drift, Observation, Progress, Step
from apps.deployments.models import (
    Deployment,
    Health,
    Operation,
    OperationState,
    Phase,
    Revision,
    RevisionState,
)
from apps.deployments.reconciling import (
    breaker,
    cluster_leases,
    import_errors,
    lifecycle,
    results,
    shared_values,
    surveys,
)
from apps.deployments.reconciling.compiler import compile_spec
from apps.deployments.reconciling.lifecycle import Lease, LeaseLost
from apps.deployments.secrets import image_pulling

logger = logging.getLogger(__name__)

# Settled: how often to observe where every observation is a pass, and where surveys and watches
# observe, too.
SETTLED_SECONDS, SURVEYED_SECONDS = 15.0, 600.0
# Airflow's DAG processor has imported new code after this time.
IMPORTED_SECONDS = 60.0
# A request that began before the end of the lease may take so long.
FENCE_MARGIN_SECONDS = 5.0
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 2.0, 30.0
# What two clocks may differ by.
TURN_MARGIN = timedelta(minutes=1)
BLIND_AFTER_FAILURES = 2
STALLED_MINUTES = int(results.STALLED_AFTER.total_seconds()) // 60
LOG_LINES = 30
UNSETTLED = (RevisionState.PENDING, RevisionState.APPLYING)


def reconcile(*, deployment_id: int) -> Lease | None:
    """Run one pass, unless another worker holds the Deployment, and return the lease that it had.

    Raises only unexpected errors.
    """
    began_at = time.monotonic()
    lease = lifecycle.claim(deployment_id=deployment_id)
    if lease is None:
        return None
    try:
        with fence.writing_until(began_at + lifecycle.LEASE_SECONDS - FENCE_MARGIN_SECONDS):
            _drive(lease)
    finally:
        if lease.has_slot:
            cluster_leases.release(token=lease.token)
    return lease


def _drive(lease: Lease) -> None:
    rows = lifecycle.leased(lease).select_related("cluster", "wanted", "applied")
    deployment = rows.first()
    if deployment is None:
        return
    if lifecycle.is_poison(deployment):
        results.quarantine(lease=lease)
        return
    try:
        _run(lease, deployment)
    except LeaseLost:
        logger.warning("lease lost", extra={"deployment": deployment.ref})
    except Exception as error:
        # What the pass held is given back: after a MemoryError not even a row could be written.
        traceback.clear_frames(error.__traceback__)
        # The count of unfinished passes stays: three such passes in a row and a person must look.
        _push_ahead(lease, deployment)
        raise


def _run(lease: Lease, deployment: Deployment) -> None:
    try:
        plane = plane_for(deployment.cluster)
        if deployment.phase == Phase.DELETING:
            _delete(lease, deployment, plane)
        elif deployment.wanted is not None and deployment.wanted.state in UNSETTLED:
            _apply(lease, deployment, plane)
        else:
            _reconcile_settled(lease, deployment, plane)
    except Permanent as error:
        revision = None if deployment.phase == Phase.DELETING else deployment.wanted
        results.fail(lease=lease, error=error, revision=revision)
    except DataPlaneError as error:
        if isinstance(error, Unreachable) and lease.has_slot:
            breaker.failed(cluster=deployment.cluster, error=error)
        _back_off(lease, deployment, error)
    else:
        if lease.has_slot:
            breaker.answered(cluster=deployment.cluster, now=timezone.now())


def _apply(lease: Lease, deployment: Deployment, plane: DataPlane) -> None:
    """Drive the wanted revision one pass further."""
    revision = results.begin(lease=lease)
    if revision is None:
        _finish(lease, deployment, None, after_seconds=0)
        return
    try:
        spec = compile_spec(deployment=deployment, revision=revision)
        if not _is_for_settings(deployment, revision):
            # What others changed stays until the next edit, not longer.
            spec = replace(spec, corrects_drift=True)
        progress = plane.apply(spec=spec)
    except Permanent as error:
        error = _with_log(plane, deployment.ref, error)
        results.fail(lease=lease, error=error, revision=revision)
        return
    stalled = results.record_progress(
        lease=lease,
        revision=revision,
        progress=progress,
        versions=results.Versions(
            cluster=deployment.cluster.settings_version,
            layers=deployment.layers_version,
            hibernation=deployment.hibernation_version,
        ),
    )
    if stalled is not None:
        add_error = _stalled_error(plane, deployment.ref, stalled)
        add_error = _with_log(plane, deployment.ref, add_error)
        results.fail(lease=lease, error=add_error, revision=revision)
        return
    _finish_apply(lease, deployment, plane, progress)


def _is_for_settings(deployment: Deployment, revision: Revision) -> bool:
    """Return whether a revision is applied again only for changed settings of the cluster."""
    if revision.applied_at is None:
        return False
    running = deployment.operations.filter(state=OperationState.RUNNING)
    return running.filter(kind=Operation.Kind.SETTINGS).exists()


def _reconcile_settled(lease: Lease, deployment: Deployment, plane: DataPlane) -> None:
    """Observe a settled Deployment, and apply it again where the data plane lost or changed
    something.

    Drift is left alone where the configuration does not correct it.
    """
    observation = plane.observe(ref=deployment.ref)
    wanted = deployment.wanted
    if wanted is None or wanted.state != RevisionState.APPLIED:
        _finish_observation(lease, deployment, plane, observation)
        return
    is_current = observation.exists and observation.applied_revision == wanted.number
    has_old_values = not shared_values.is_delivered(deployment) or _has_old_plan(deployment)
    if is_current and (has_old_values or _has_old_pull_secret(deployment, wanted)):
        spec = compile_spec(deployment=deployment, revision=wanted)
        _finish_apply(lease, deployment, plane, plane.apply(spec=spec))
        return
    if is_current and not observation.is_drifted:
        _finish_observation(lease, deployment, plane, observation)
        return
    if is_current and _is_about_to_turn(deployment):
        # The data plane keeps time itself: what it does seconds before the portal is no drift.
        _finish(lease, deployment, observation, after_seconds=SETTLED_SECONDS, is_urgent=False)
        return
    spec = compile_spec(deployment=deployment, revision=wanted)
    drift = (
        plane.drift(spec=spec)
        if isinstance(plane, SupportsBulkObserve) and observation.exists
        else ()
    )
    if is_current and drift and not spec.corrects_drift:
        seen = replace(observation, drift=drift)
        _finish_observation(lease, deployment, plane, seen)
        return
    logger.info("applied again", extra={"deployment": deployment.ref, "revision": wanted.number})
    progress = plane.apply(spec=spec)
    if drift:
        _finish_correction(lease, deployment, plane, progress, drift)
        return
    _finish_apply(lease, deployment, plane, progress)


def _has_old_plan(deployment: Deployment) -> bool:
    """Whether it fell asleep, woke, or got another plan since the last apply."""
    return deployment.hibernation_applied != deployment.hibernation_version


def _is_about_to_turn(deployment: Deployment) -> bool:
    """Whether it is to fall asleep or to wake within a minute, or was to."""
    at = deployment.hibernation_turns_at
    return at is not None and at <= timezone.now() + TURN_MARGIN


def _has_old_pull_secret(deployment: Deployment, wanted: Revision) -> bool:
    """Whether the data plane has a credential of an earlier period, which ends within a day."""
    period = image_pulling.pull_period(wanted.configuration.image)
    return period is not None and deployment.observation.get(results.PULL_PERIOD) != period


def _finish_correction(
    lease: Lease,
    deployment: Deployment,
    plane: DataPlane,
    progress: Progress,
    drift: tuple[Drift, ...],
) -> None:
    """Record the corrected drift. Repeated changes are corrected once a minute."""
    results.record_correction(lease=lease, drift=drift)
    deployment.observation[surveys.CORRECTED_AT] = timezone.now().isoformat()
    seen = plane.observe(ref=deployment.ref)
    after = progress.retry_after_seconds
    if progress.is_done:
        after = surveys.BETWEEN_CORRECTIONS.total_seconds()
    _finish(lease, deployment, seen, after_seconds=after, is_urgent=False)


def _delete(lease: Lease, deployment: Deployment, plane: DataPlane) -> None:
    progress = plane.delete(ref=deployment.ref)
    results.record_deletion(lease=lease, progress=progress)
    if not progress.is_done:
        _finish(lease, deployment, None, after_seconds=progress.retry_after_seconds)


def _finish_apply(
    lease: Lease, deployment: Deployment, plane: DataPlane, progress: Progress
) -> None:
    observation = plane.observe(ref=deployment.ref)
    if progress.is_done:
        _note_pull_period(deployment)
        _finish_observation(
            lease,
            deployment,
            plane,
            observation,
            has_new_code=_has_new_code(deployment),
            # What was read after this count is on the data plane now.
            environment_delivered=deployment.environment_version,
            hibernation_applied=deployment.hibernation_version,
        )
        return
    _finish(lease, deployment, observation, after_seconds=progress.retry_after_seconds)


def _note_pull_period(deployment: Deployment) -> None:
    image = deployment.wanted.configuration.image if deployment.wanted else None
    period = image_pulling.pull_period(image)
    if period is not None:
        deployment.observation[results.PULL_PERIOD] = period


def _has_new_code(deployment: Deployment) -> bool:
    """Tell whether the pass brought other code than the revision that was applied before."""
    before = deployment.applied.code_digest if deployment.applied else ""
    return deployment.wanted is not None and deployment.wanted.code_digest != before


def _finish_observation(
    lease: Lease,
    deployment: Deployment,
    plane: DataPlane,
    observation: Observation,
    *,
    has_new_code: bool = False,
    **fields: Any,
) -> None:
    """End a pass over what is at rest. Where surveys see all, a pass of its own is rare, but new
    code is looked at again once Airflow has had time to import it.
    """
    observation = import_errors.completed(
        plane=plane, deployment=deployment, observation=observation
    )
    after = SETTLED_SECONDS
    if (
        isinstance(plane, SupportsBulkObserve)
        and lease.has_slot
        and observation.health == "healthy"
    ):
        after = SURVEYED_SECONDS * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load
        if has_new_code:
            after = IMPORTED_SECONDS
    _finish(lease, deployment, observation, after_seconds=after, is_urgent=False, **fields)


def _finish(
    lease: Lease,
    deployment: Deployment,
    observation: Observation | None,
    *,
    after_seconds: float,
    **fields: Any,
) -> None:
    if observation is not None:
        fields |= results.observed_fields(deployment, observation)
    lifecycle.release(
        lease=lease,
        after_seconds=after_seconds,
        unfinished_passes=0,
        failures=0,
        last_error="",
        **fields,
    )


def _back_off(lease: Lease, deployment: Deployment, error: DataPlaneError) -> None:
    """Retry later, with growing delays, and record why. Health that is not seen becomes unknown."""
    fields = {}
    after = wait_seconds(deployment.failures)
    if isinstance(error, Temporary) and error.retry_after_seconds is not None:
        after = max(after, error.retry_after_seconds)
    if isinstance(error, Unreachable) or deployment.failures >= BLIND_AFTER_FAILURES:
        fields = results.health_fields(deployment, Health.UNKNOWN, error.message)
    lifecycle.release(
        lease=lease,
        after_seconds=after * random.uniform(1.0, 1.25),  # noqa: S311 - spreads load
        unfinished_passes=0,
        failures=deployment.failures + 1,
        last_error=f"{error.message} Retrying."[:500],
        **fields,
    )


def _push_ahead(lease: Lease, deployment: Deployment) -> None:
    lifecycle.release(
        lease=lease,
        after_seconds=wait_seconds(deployment.failures),
        failures=deployment.failures + 1,
        last_error="The portal ran into an internal error and is retrying.",
    )


def wait_seconds(failures: int) -> float:
    """Return how long to wait after this many consecutive failures: doubling, to a limit."""
    return min(FIRST_WAIT_SECONDS * 2.0 ** min(failures, 10), LONGEST_WAIT_SECONDS)


def _stalled_error(plane: DataPlane, ref: str, stalled: Step) -> Permanent:
    """Turn a step that stands still into a failure that names the component at fault, if one is."""
    message = f"“{stalled.title}” did not finish within {STALLED_MINUTES} minutes."
    for component in plane.observe(ref=ref).components:
        if component.state != "running" or component.ready < component.wanted:
            detail = component.detail or f"It is {component.state}."
            return Permanent(f"{message} {component.name}: {detail}", component=component.name)
    return Permanent(message, log=stalled.log)


def _with_log(plane: DataPlane, ref: str, error: Permanent) -> Permanent:
    """Add the last log lines of the failing component, unless the data plane did."""
    if error.log or not error.component:
        return error
    try:
        page = plane.logs(ref=ref, component=error.component, limit=LOG_LINES)
    except DataPlaneError:
        return error
    lines = tuple(line.text for line in page.lines)
    return Permanent(error.message, component=error.component, log=lines)
