"""One pass of the loop that makes a Deployment true: claim, compile, apply or delete, observe.

Nothing here waits. A pass does what can be done now and says when the next is due; a pass that
dies half-way leaves a lease that ends and a row that is due, and every step of a data plane is safe
to repeat. Between passes all state is in rows, and every write asks whether the lease is held.
"""

import logging

from apps.clusters.connections import plane_for
from apps.dataplane.base import DataPlane
from apps.dataplane.errors import DataPlaneError, Permanent, Unreachable
from apps.dataplane.status import Observation, Step
from apps.deployments import lifecycle, records
from apps.deployments.compiler import compile_spec
from apps.deployments.lifecycle import Lease, LeaseLost
from apps.deployments.models import Deployment, Health, Phase, RevisionState

logger = logging.getLogger(__name__)

SETTLED_SECONDS = 15.0
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 2.0, 30.0
BLIND_AFTER_FAILURES = 2
STALLED_MINUTES = int(records.STALLED_AFTER.total_seconds()) // 60
LOG_LINES = 30
UNSETTLED = (RevisionState.PENDING, RevisionState.APPLYING)


def reconcile(*, deployment_id: int) -> None:
    """Run one pass, unless another worker holds the Deployment. Raises only what nobody foresaw."""
    lease = lifecycle.claim(deployment_id=deployment_id)
    if lease is None:
        return
    rows = lifecycle.leased(lease).select_related("cluster", "wanted", "applied")
    deployment = rows.first()
    if deployment is None:
        return
    if lifecycle.is_poison(deployment):
        records.quarantine(lease=lease)
        return
    try:
        _run(lease, deployment)
    except LeaseLost:
        logger.warning("lease lost", extra={"deployment": deployment.ref})
    except Exception:
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
            _keep(lease, deployment, plane)
    except Permanent as error:
        revision = None if deployment.phase == Phase.DELETING else deployment.wanted
        records.fail(lease=lease, error=error, revision=revision)
    except DataPlaneError as error:
        _back_off(lease, deployment, error)


def _apply(lease: Lease, deployment: Deployment, plane: DataPlane) -> None:
    """Drive the wanted revision one pass further."""
    revision = records.begin(lease=lease)
    if revision is None:
        _end(lease, deployment, None, after_seconds=0)
        return
    try:
        progress = plane.apply(spec=compile_spec(deployment=deployment, revision=revision))
    except Permanent as error:
        error = _with_log(plane, deployment.ref, error)
        records.fail(lease=lease, error=error, revision=revision)
        return
    stalled = records.record_progress(lease=lease, revision=revision, progress=progress)
    if stalled is not None:
        blame = _blame(plane, deployment.ref, stalled)
        blame = _with_log(plane, deployment.ref, blame)
        records.fail(lease=lease, error=blame, revision=revision)
        return
    after = SETTLED_SECONDS if progress.is_done else progress.retry_after_seconds
    _end(lease, deployment, plane.observe(ref=deployment.ref), after_seconds=after)


def _keep(lease: Lease, deployment: Deployment, plane: DataPlane) -> None:
    """Look at a Deployment at rest, and apply again what the data plane lost or changed."""
    observation = plane.observe(ref=deployment.ref)
    wanted = deployment.wanted
    is_true = (
        observation.exists
        and not observation.is_drifted
        and wanted is not None
        and observation.applied_revision == wanted.number
    )
    if is_true or wanted is None or wanted.state != RevisionState.APPLIED:
        _end(lease, deployment, observation, after_seconds=SETTLED_SECONDS)
        return
    logger.info("applied again", extra={"deployment": deployment.ref, "revision": wanted.number})
    progress = plane.apply(spec=compile_spec(deployment=deployment, revision=wanted))
    after = SETTLED_SECONDS if progress.is_done else progress.retry_after_seconds
    _end(lease, deployment, plane.observe(ref=deployment.ref), after_seconds=after)


def _delete(lease: Lease, deployment: Deployment, plane: DataPlane) -> None:
    progress = plane.delete(ref=deployment.ref)
    records.record_deletion(lease=lease, progress=progress)
    if not progress.is_done:
        _end(lease, deployment, None, after_seconds=progress.retry_after_seconds)


def _end(
    lease: Lease, deployment: Deployment, observation: Observation | None, *, after_seconds: float
) -> None:
    fields = records.observed_fields(deployment, observation) if observation else {}
    lifecycle.release(
        lease=lease,
        after_seconds=after_seconds,
        n_unfinished_passes=0,
        n_failures=0,
        trouble="",
        **fields,
    )


def _back_off(lease: Lease, deployment: Deployment, error: DataPlaneError) -> None:
    """Try again later, each time later, and say so. What cannot be seen is unknown, not healthy."""
    fields = {}
    if isinstance(error, Unreachable) or deployment.n_failures >= BLIND_AFTER_FAILURES:
        fields = records.health_fields(deployment, Health.UNKNOWN, error.sentence)
    lifecycle.release(
        lease=lease,
        after_seconds=wait_seconds(deployment.n_failures),
        n_unfinished_passes=0,
        n_failures=deployment.n_failures + 1,
        trouble=f"{error.sentence} The portal tries again."[:500],
        **fields,
    )


def _push_ahead(lease: Lease, deployment: Deployment) -> None:
    lifecycle.release(
        lease=lease,
        after_seconds=wait_seconds(deployment.n_failures),
        n_failures=deployment.n_failures + 1,
        trouble="The portal met an error of its own and tries again.",
    )


def wait_seconds(n_failures: int) -> float:
    """Return how long to wait after a failure that had so many before it: doubling, to a limit."""
    return min(FIRST_WAIT_SECONDS * 2.0 ** min(n_failures, 10), LONGEST_WAIT_SECONDS)


def _blame(plane: DataPlane, ref: str, stalled: Step) -> Permanent:
    """Turn a step that stands still into a failure that names the component at fault, if one is."""
    sentence = f"“{stalled.title}” did not end within {STALLED_MINUTES} minutes."
    for component in plane.observe(ref=ref).components:
        if component.state != "running" or component.ready < component.wanted:
            detail = component.detail or f"It is {component.state}."
            return Permanent(f"{sentence} {component.name}: {detail}", component=component.name)
    return Permanent(sentence, log=stalled.log)


def _with_log(plane: DataPlane, ref: str, error: Permanent) -> Permanent:
    """Add the last lines of the failing component, if the data plane did not and can tell them."""
    if error.log or not error.component:
        return error
    try:
        page = plane.logs(ref=ref, component=error.component, limit=LOG_LINES)
    except DataPlaneError:
        return error
    lines = tuple(line.text for line in page.lines)
    return Permanent(error.sentence, component=error.component, log=lines)
