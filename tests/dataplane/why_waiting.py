"""Why a task of a shared Deployment waits, as its page would say it at this moment."""

from datetime import UTC, datetime

from apps.deployments.configuration.schema import Configuration
from apps.deployments.models import Deployment, Revision, RevisionState
from apps.deployments.reconciling.results import observed_json
from apps.observability.why.facts import TaskName, facts_in
from apps.observability.why.known import known_of
from apps.observability.why.reasons import reason_for
from apps.observability.why.shapes import Known
from tests.dataplane.world import World


def reason_of(world: World, name: TaskName) -> str:
    """Return the key of the reason, from what Airflow says and what is observed now."""
    facts = facts_in(world.airflow("GET", f"/auth/portal/why?{name.as_query}"))
    return reason_for(facts, known_now(world)).key if facts else "not there yet"


def known_now(world: World) -> Known:
    """Return what a portal knows that has just observed the Deployment."""
    assert world.spec
    seen = world.plane.observe(ref=world.spec.ref)
    configuration = Configuration(
        description="", runtime="3.3.2-1", executor=world.spec.executor, queues=world.spec.queues
    )
    deployment = Deployment(
        ref=world.spec.ref,
        applied=Revision(number=1, state=RevisionState.APPLIED, config=configuration.to_json()),
        observation=observed_json({}, seen),
        observed_at=seen.observed_at,
    )
    return known_of(deployment, now=datetime.now(UTC))
