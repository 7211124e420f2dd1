"""Each machine as a table: what may follow what, and the badge that is made of the three."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from apps.clusters.models import Cluster
from apps.deployments.badge import display_status, status_expression
from apps.deployments.models import (
    Deployment,
    Health,
    Operation,
    OperationState,
    Phase,
    Revision,
    RevisionState,
)
from apps.deployments.reconciling.lifecycle import TRANSITIONS, move

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("before", "after"), list(itertools.product(RevisionState, repeat=2)))
def test_a_revision_moves_only_as_drawn(
    deployment: Deployment, before: RevisionState, after: RevisionState
) -> None:
    Revision.objects.update(state=before)
    drawn = {
        ("pending", "applying"),
        ("pending", "applied"),
        ("pending", "failed"),
        ("pending", "superseded"),
        ("applying", "applied"),
        ("applying", "failed"),
        ("applying", "superseded"),
        ("failed", "pending"),
        ("applied", "pending"),
    }

    has_moved = move(Revision.objects.all(), "revision", after) if after in allowed() else False

    assert has_moved == ((before, after) in drawn)
    assert Revision.objects.get().state == (after if has_moved else before)


def allowed() -> Any:
    return TRANSITIONS["revision"]


@pytest.mark.parametrize(
    ("before", "after", "may"),
    [
        (Phase.ACTIVE, Phase.DELETING, True),
        (Phase.DELETING, Phase.DELETED, True),
        (Phase.ACTIVE, Phase.DELETED, False),
        (Phase.DELETED, Phase.DELETING, False),
        (Phase.DELETING, Phase.DELETING, False),
    ],
)
def test_a_phase_moves_only_as_drawn(
    deployment: Deployment, before: Phase, after: Phase, may: bool
) -> None:
    Deployment.objects.update(phase=before)

    assert move(Deployment.objects.all(), "phase", after) is may


@pytest.mark.parametrize("end", [OperationState.SUCCEEDED, OperationState.FAILED])
def test_an_operation_ends_once(deployment: Deployment, end: OperationState) -> None:
    Operation.objects.create(deployment=deployment, number=1, kind="update", title="x")

    assert move(Operation.objects.all(), "operation", end)
    assert not move(Operation.objects.all(), "operation", OperationState.SUPERSEDED)


@pytest.fixture
def shown(make_deployment: Callable[..., Deployment]) -> Callable[..., Deployment]:
    def make(*, state: str, applied: bool = True, **fields: Any) -> Deployment:
        deployment = make_deployment(**fields)
        Revision.objects.filter(deployment=deployment).update(state=state, failure="Disk is full.")
        if not applied:
            Deployment.objects.filter(pk=deployment.pk).update(applied=None)
        return Deployment.objects.select_related("wanted", "applied").get(pk=deployment.pk)

    return make


@pytest.mark.parametrize("health", list(Health))
@pytest.mark.parametrize("state", ["pending", "applying"])
def test_what_is_still_being_created_is_never_unhealthy(
    shown: Callable[..., Deployment], state: str, health: str
) -> None:
    status = display_status(shown(state=state, applied=False, health=health))

    assert (status.word, status.tone, status.is_settled) == ("Creating", "move", False)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"state": "applied", "health": "healthy"}, "Healthy"),
        ({"state": "applied", "health": "unhealthy"}, "Unhealthy"),
        ({"state": "applied", "health": "stopped"}, "Unhealthy"),
        ({"state": "applied", "health": "unknown"}, "Unknown"),
        ({"state": "applied", "health": "starting"}, "Starting"),
        ({"state": "applying", "health": "unhealthy"}, "Updating"),
        ({"state": "failed", "health": "healthy"}, "Update failed"),
        ({"state": "failed", "applied": False}, "Failed"),
        ({"state": "applied", "phase": "deleting"}, "Deleting"),
        ({"state": "applied", "phase": "deleting", "next_reconcile_at": None}, "Failed"),
        ({"state": "applied", "phase": "deleted"}, "Deleted"),
        ({"state": "applying", "quarantined_at": timezone.now()}, "Stopped retrying"),
    ],
)
def test_the_badge_has_one_word_for_each(
    shown: Callable[..., Deployment], fields: dict[str, Any], word: str
) -> None:
    assert display_status(shown(**fields)).word == word


@pytest.mark.parametrize(
    ("fields", "word", "message"),
    [
        (
            {"state": "applied", "health": "healthy"},
            "Unreachable",
            "This page shows data from before",
        ),
        (
            {"state": "applied", "health": "unhealthy"},
            "Unreachable",
            "This page shows data from before",
        ),
        (
            {"state": "applied", "health": "starting"},
            "Unreachable",
            "This page shows data from before",
        ),
        ({"state": "applying"}, "Updating", "The change is applied as soon as it answers."),
        ({"state": "pending", "applied": False}, "Creating", "The change is applied as soon"),
        ({"state": "applied", "phase": "deleting"}, "Deleting", "It is deleted as soon as"),
        ({"state": "failed"}, "Update failed", "Disk is full."),
    ],
)
def test_what_cannot_be_seen_is_said_to_be_unreachable(
    shown: Callable[..., Deployment], fields: dict[str, Any], word: str, message: str
) -> None:
    deployment = shown(**fields)
    deployment.cluster.unreachable_since = timezone.now()

    status = display_status(deployment)

    assert status.word == word
    assert message in status.message


def test_new_code_is_said_to_be_deployed(shown: Callable[..., Deployment]) -> None:
    deployment = shown(state="applied")
    deployment.wanted = Revision(number=2, state="applying", code_digest="a" * 64)

    assert display_status(deployment).word == "Deploying"


def test_the_database_counts_as_the_badge_says(make_deployment: Callable[..., Deployment]) -> None:
    one = make_deployment()
    silent = Cluster.objects.create(
        organization=one.cluster.organization,
        kind=Cluster.Kind.LOCAL,
        name="Silent",
        unreachable_since=one.created_at,
    )
    states = [state for state in RevisionState if state != RevisionState.SUPERSEDED]
    combinations = list(
        itertools.product(
            states,
            (True, False),
            Health,
            Phase,
            (None, one.created_at),
            (True, False),
            (one.cluster, silent),
            (True, False),
        )
    )
    made = Deployment.objects.bulk_create(
        Deployment(
            workspace=one.workspace,
            cluster=cluster,
            name=f"all-{number}",
            ref=f"all-{number}",
            health=health,
            phase=phase,
            next_reconcile_at=due,
            quarantined_at=one.created_at if is_quarantined else None,
            is_hibernating=is_hibernating,
        )
        for number, (
            _,
            _,
            health,
            phase,
            due,
            is_quarantined,
            cluster,
            is_hibernating,
        ) in enumerate(combinations)
    )
    revisions = Revision.objects.bulk_create(
        Revision(deployment=deployment, number=1, config={}, state=state, failure="Disk is full.")
        for deployment, (state, *_) in zip(made, combinations, strict=True)
    )
    for deployment, revision, (_, is_applied, *_) in zip(
        made, revisions, combinations, strict=True
    ):
        deployment.wanted, deployment.applied = revision, revision if is_applied else None
    Deployment.objects.bulk_update(made, ["wanted", "applied"])

    rows = Deployment.objects.select_related("wanted", "applied", "cluster").annotate(
        group=status_expression()
    )

    assert rows.count() == 1920 + 1
    for row in rows:
        assert display_status(row).group == row.group  # type: ignore[attr-defined]
