"""What is wrong with the components of an Airflow."""

from collections.abc import Iterator
from datetime import timedelta

from apps.core.words import duration_in_words
from apps.dataplane.status import ComponentStatus, Observation
from apps.deployments.models import Health
from apps.observability.incidents.detectors.seen import (
    Finding,
    Seen,
    components_of,
    facts_of,
    finding_of,
    utc,
)
from apps.observability.incidents.evidence import evidence
from apps.observability.incidents.kinds import Severity

LATE_HEARTBEAT = timedelta(minutes=1)
# What `apps.dataplane.kubernetes.observe.reasons` writes.
MEMORY, IMAGE = "It exceeded its memory limit", "The image "


def missing(look: Seen) -> Iterator[Finding]:
    said = look.observation
    if said is None or said.exists or look.deployment.applied is None or not look.is_settled:
        return
    yield finding_of(
        "missing",
        title="Nothing of it is on the data plane",
        summary=said.message or "What was applied is gone.",
        proof=evidence(
            facts=[
                ("Applied", f"Revision {look.deployment.applied.number}"),
                ("Observed", utc(said.observed_at)),
            ]
        ),
    )


def broken_components(look: Seen) -> Iterator[Finding]:
    for one in components_of(look):
        if one.state not in ("crashing", "failed"):
            continue
        kind, title = _kind_of(one)
        yield finding_of(
            kind,
            subject=one.name,
            title=title,
            summary=one.detail or "It exits again as soon as it is started.",
            proof=evidence(facts=facts_of(one), excerpt=one.detail),
        )


def _kind_of(component: ComponentStatus) -> tuple[str, str]:
    if component.detail.startswith(MEMORY):
        return "out-of-memory", f"The {component.name} runs out of memory"
    if component.detail.startswith(IMAGE):
        return "image-pull", f"The image of the {component.name} cannot be pulled"
    return "crash-loop", f"The {component.name} crashes again and again"


def heartbeats(look: Seen) -> Iterator[Finding]:
    if look.observation is None:
        return
    for one in look.observation.components:
        late = _lateness(look, one)
        if not late:
            continue
        is_scheduler = one.name == "scheduler"
        what = "No new task starts." if is_scheduler else "What it does waits."
        yield finding_of(
            "heartbeat-late",
            subject=one.name,
            severity=Severity.CRITICAL if is_scheduler else Severity.WARNING,
            title=f"The {one.name} sends no heartbeat",
            summary=f"The last one was {duration_in_words(late.total_seconds())} ago when it was "
            f"looked for; one every few seconds is usual. {what}",
            proof=evidence(
                facts=[
                    ("Last heartbeat", utc(one.heartbeat_at)),
                    ("Observed", utc(look.observation.observed_at)),
                    ("Allowed", duration_in_words(LATE_HEARTBEAT.total_seconds())),
                    *facts_of(one),
                ]
            ),
        )


def _lateness(look: Seen, component: ComponentStatus) -> timedelta:
    """Return how long the heartbeat of a component was missing, nothing while it is in time.

    Before its first heartbeat a component is starting, and a stopped one has none.
    """
    if look.observation is None or component.state != "running":
        return timedelta()
    late = _since_heartbeat(look, look.observation, component)
    return late if late > LATE_HEARTBEAT else timedelta()


def _since_heartbeat(look: Seen, said: Observation, component: ComponentStatus) -> timedelta:
    """Return the time without a heartbeat as it was observed; on clusters, as it was measured."""
    if component.heartbeat_at is not None:
        return said.observed_at - component.heartbeat_at
    return timedelta(seconds=look.number("heartbeat_age", component.name) or 0)


def not_ready(look: Seen) -> Iterator[Finding]:
    for one in components_of(look):
        is_waiting = one.state in ("starting", "running") and one.ready < one.wanted
        if is_waiting and not one.name.startswith("worker ") and not _lateness(look, one):
            yield finding_of(
                "not-ready",
                subject=one.name,
                title=f"The {one.name} does not become ready",
                summary=one.detail or f"{one.ready} of {one.wanted} are ready.",
                proof=evidence(facts=facts_of(one), excerpt=one.detail),
            )


def unhealthy(look: Seen) -> Iterator[Finding]:
    deployment = look.deployment
    if deployment.health != Health.UNHEALTHY:
        return
    yield finding_of(
        "unhealthy",
        title="Airflow is unhealthy",
        summary=deployment.health_message or "Airflow does not answer as it should.",
        proof=evidence(
            facts=[("Since", utc(deployment.health_since))],
            columns=("Component", "State", "Ready", "Detail"),
            rows=[
                (one.name, one.state, f"{one.ready} of {one.wanted}", one.detail)
                for one in components_of(look)
            ],
        ),
    )
