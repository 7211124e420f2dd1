"""What is wrong with a Deployment now: pure functions over what the portal has stored.

Each takes what is `Seen` and yields findings. `findings` runs all of them; `KINDS` says how long
each must hold. The words of clusters and of Airflow are quoted, never interpreted, beyond those
sentences that the portal's own observers write.
"""

from collections.abc import Callable, Iterable

from apps.deployments.models import Phase
from apps.observability.incidents.detectors.components import (
    broken_components,
    heartbeats,
    missing,
    not_ready,
    unhealthy,
)
from apps.observability.incidents.detectors.portal import (
    credential_ends,
    delayed,
    revision_failed,
    runtime_unsupported,
    stopped_retrying,
    unreachable,
)
from apps.observability.incidents.detectors.seen import Finding, Seen
from apps.observability.incidents.detectors.surroundings import (
    database_large,
    drift,
    pods,
    volume_full,
)
from apps.observability.incidents.detectors.work import (
    import_errors,
    parsing_late,
    queues,
    scheduling_off,
    tasks_lost,
    triggerer_full,
    waiting_tasks,
)

MOST_FINDINGS = 50
VITAL = ("api-server", "scheduler")
# These say more than that Airflow as a whole is unhealthy.
SPECIFIC = frozenset(
    {"missing", "heartbeat-late", "crash-loop", "out-of-memory", "image-pull", "unschedulable"}
)
Detector = Callable[[Seen], Iterable[Finding]]
# From the portal's own rows, whether the data plane answers or not.
ALWAYS: tuple[Detector, ...] = (
    unreachable,
    revision_failed,
    stopped_retrying,
    delayed,
    credential_ends,
    runtime_unsupported,
)
OBSERVED: tuple[Detector, ...] = (
    missing,
    broken_components,
    heartbeats,
    not_ready,
    pods,
    waiting_tasks,
    queues,
    tasks_lost,
    triggerer_full,
    parsing_late,
    scheduling_off,
    volume_full,
    database_large,
    import_errors,
    drift,
    unhealthy,
)


def findings(look: Seen) -> list[Finding]:
    """Return all that is wrong with an active Deployment, one finding per kind and subject."""
    if look.deployment.phase != Phase.ACTIVE:
        return []
    # What hibernates neither runs nor beats, and that is wanted.
    is_quiet = look.is_blind or look.deployment.is_hibernating
    detectors = ALWAYS if is_quiet else ALWAYS + OBSERVED
    found: dict[tuple[str, str], Finding] = {}
    for detector in detectors:
        for finding in detector(look):
            found.setdefault((finding.kind, finding.subject), finding)
    if any(kind in SPECIFIC for kind, _ in found):
        found.pop(("unhealthy", ""), None)
    if ("unhealthy", "") in found:
        for component in VITAL:
            found.pop(("not-ready", component), None)
    return list(found.values())[:MOST_FINDINGS]
