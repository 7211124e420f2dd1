"""Why one task instance has not started, with all that has to be asked for it."""

from dataclasses import dataclass, replace
from datetime import datetime

from apps.clusters.connections.planes import plane_for
from apps.dataplane.base import SupportsQuotas
from apps.dataplane.errors import DataPlaneError
from apps.deployments.models import Deployment
from apps.observability.why.facts import Facts, TaskName, facts_about
from apps.observability.why.known import known_of
from apps.observability.why.reasons import checks_of, reason_for
from apps.observability.why.shapes import Reason, Refusal


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`checks` is what was looked at and has room, in sentences."""

    facts: Facts
    reason: Reason
    checks: tuple[str, ...]


def answer_about(deployment: Deployment, *, name: TaskName, now: datetime) -> Answer | None:
    """Ask an Airflow, and its cluster where a task gets a pod of its own. None where there is no
    such task instance. Raises AirflowSilent.
    """
    facts = facts_about(deployment, name=name)
    if facts is None:
        return None
    known = known_of(deployment, now=now)
    if known.executor == "kubernetes" and facts.state == "queued" and known.refusal is None:
        known = replace(known, refusal=_full_quota(deployment))
    checks = tuple(checks_of(facts, known))
    return Answer(facts=facts, reason=reason_for(facts, known), checks=checks)


def _full_quota(deployment: Deployment) -> Refusal | None:
    """Return what the cluster says of its quotas; nothing where it does not answer."""
    try:
        plane = plane_for(deployment.cluster)
        message = plane.full_quota(ref=deployment.ref) if isinstance(plane, SupportsQuotas) else ""
    except DataPlaneError:
        return None
    return Refusal(message=message, is_quota=True) if message else None
