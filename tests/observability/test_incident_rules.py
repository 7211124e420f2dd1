"""What counts as an incident, and when it opens and closes: pure, but for the rows read."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings

from apps.deployments.models import Deployment, Revision, RevisionState
from apps.observability.incidents.detectors.findings import MOST_FINDINGS, findings
from apps.observability.incidents.detectors.seen import seen
from apps.observability.incidents.evidence import (
    CELL_CHARACTERS,
    MOST_ROWS,
    evidence,
    evidence_from,
)
from apps.observability.incidents.hysteresis import Changes, evaluate
from apps.observability.incidents.kinds import KINDS, Severity
from apps.observability.incidents.models import Incident
from apps.observability.incidents.remedies import REMEDIES
from tests.clusters.material import registered
from tests.observability.incidents import NOW, component, notice, observe

LATE = (NOW - timedelta(minutes=3)).isoformat()
QUEUE = {"name": "default", "workers_ready": 2, "workers_wanted": 2, "tasks_running": 8}
NO_QUEUE = "3 tasks wait for the queue gpu, which does not exist."
NO_START = (
    "1 task has waited in the queue default for more than 5 minutes, and none of that queue runs."
)
DRIFT = [{"object": "Deployment/scheduler", "fields": ["spec.replicas"]}]
FAILURE = {
    "file": "a.py",
    "line": 3,
    "message": "No module named 'x'",
    "traceback": "t",
    "at": None,
}


def kinds_of(deployment: Deployment, now: datetime = NOW) -> dict[str, str]:
    """Return the kinds found, each with its subject."""
    return {one.kind: one.subject for one in findings(seen(deployment, now=now))}


OBSERVED: dict[str, tuple[dict[str, Any], str]] = {
    "missing": ({"exists": False, "health": "stopped", "components": []}, ""),
    "unhealthy": ({"health": "unhealthy", "message": "The scheduler is stopped."}, ""),
    "heartbeat-late": ({"components": component("scheduler", heartbeat_at=LATE)}, "scheduler"),
    "crash-loop": ({"components": component("triggerer", state="crashing", ready=0)}, "triggerer"),
    "out-of-memory": (
        {
            "components": component(
                "scheduler",
                state="crashing",
                detail="It exceeded its memory limit and was killed 9 times. Choose a larger size.",
            )
        },
        "scheduler",
    ),
    "image-pull": (
        {
            "components": component(
                "scheduler", state="failed", detail="The image x:1 cannot be pulled: denied"
            )
        },
        "scheduler",
    ),
    "not-ready": (
        {"components": component("dag-processor", state="starting", ready=0)},
        "dag-processor",
    ),
    "unschedulable": ({"notices": [notice("FailedScheduling")]}, ""),
    "quota": ({"notices": [notice("FailedCreate", "exceeded quota: compute")]}, ""),
    "volume": ({"notices": [notice("FailedMount")]}, ""),
    "queue-missing": ({"warnings": [NO_QUEUE]}, "gpu"),
    "tasks-cannot-start": ({"warnings": [NO_START]}, "default"),
    "queue-at-capacity": ({"queues": [{**QUEUE, "tasks_queued": 5}]}, "default"),
    "queue-not-scaling": (
        {"queues": [{**QUEUE, "tasks_queued": None, "note": "KEDA cannot count tasks"}]},
        "default",
    ),
    "import-errors": ({"import_errors": 1, "import_failures": [FAILURE]}, ""),
    "drift": ({"is_drifted": True, "drift": DRIFT}, ""),
}


GIB = 2.0**30
# By kind what is measured then, and what looks like it and is none.
MEASURED: dict[str, tuple[dict[tuple[str, str], float], dict[tuple[str, str], float]]] = {
    "tasks-lost": ({("lost_tasks", ""): 3}, {("lost_tasks", ""): 0}),
    "triggerer-full": (
        {("triggers", ""): 1000, ("trigger_slots", ""): 1000, ("triggers_waiting", ""): 1},
        {("triggers", ""): 1000, ("trigger_slots", ""): 1000, ("triggers_waiting", ""): 0},
    ),
    "parsing-late": (
        {("parse_age", ""): 100, ("parse_interval", ""): 30},
        {("parse_age", ""): 89, ("parse_interval", ""): 30},
    ),
    "scheduling-off": ({("schedules", ""): 0}, {("schedules", ""): 1}),
    "volume-full": (
        {("volume_bytes", ""): 100 * GIB, ("volume_free", ""): 9 * GIB},
        {("volume_bytes", ""): 100 * GIB, ("volume_free", ""): 11 * GIB},
    ),
    "database-large": ({("database_bytes", ""): 51 * GIB}, {("database_bytes", ""): 49 * GIB}),
}


@pytest.mark.parametrize("kind", MEASURED)
def test_each_thing_measured_is_found_as_its_kind_alone(kind: str, deployment: Deployment) -> None:
    observe(deployment)
    wrong, fine = MEASURED[kind]

    def found(measured: dict[tuple[str, str], float]) -> list[str]:
        look = seen(deployment, now=NOW, measured=measured)
        return [one.kind for one in findings(look)]

    assert found(wrong) == [kind]
    assert found(fine) == found({}) == []


def test_what_is_worse_is_told_as_worse(deployment: Deployment) -> None:
    observe(deployment)
    for measured, severity in (
        ({("volume_bytes", ""): 100.0, ("volume_free", ""): 2.0}, Severity.CRITICAL),
        ({("database_bytes", ""): 80 * GIB}, Severity.WARNING),
        ({("database_bytes", ""): 60 * GIB}, Severity.INFO),
    ):
        (found,) = findings(seen(deployment, now=NOW, measured=measured))
        assert found.severity == severity


def test_on_clusters_heartbeats_and_full_queues_are_measured(
    make_deployment: Callable[..., Deployment],
) -> None:
    deployment = make_deployment()
    deployment.cluster = registered(deployment.workspace.organization)
    queue = {**QUEUE, "tasks_queued": None, "tasks_running": None}
    configured = deployment.wanted.configuration.queues[0]
    slots = float(configured.max_workers * configured.concurrency)
    observe(deployment, queues=[{**queue, "workers_ready": configured.max_workers}])
    fine = {("heartbeat_age", "scheduler"): 20.0, ("running", "default"): slots}
    late = {("heartbeat_age", "scheduler"): 95.0}
    full = {("running", "default"): slots, ("queued", "default"): 4.0}

    def found(measured: dict[tuple[str, str], float]) -> dict[str, str]:
        look = seen(deployment, now=NOW, measured=measured)
        return {one.kind: one.subject for one in findings(look)}

    assert found(fine) == {}
    assert found(late) == {"heartbeat-late": "scheduler"}
    assert found(full) == {"queue-at-capacity": "default"}
    assert seen(deployment, now=NOW).unknown_kinds == {
        *MEASURED,
        "heartbeat-late",
        "queue-at-capacity",
    }
    assert seen(deployment, now=NOW, measured=fine).unknown_kinds == set()


@pytest.mark.parametrize("kind", OBSERVED)
def test_each_thing_observed_is_found_as_its_kind_alone(kind: str, deployment: Deployment) -> None:
    changes, subject = OBSERVED[kind]

    observe(deployment, **changes)

    assert kinds_of(deployment) == {kind: subject}


def test_a_healthy_deployment_has_none(deployment: Deployment) -> None:
    queue = {**QUEUE, "tasks_queued": 0}
    observe(
        deployment,
        components=component("scheduler", heartbeat_at=(NOW - timedelta(seconds=20)).isoformat()),
        queues=[queue],
    )

    assert kinds_of(deployment) == {}


def test_each_kind_is_either_observed_or_read_from_rows() -> None:
    observed = {key for key, kind in KINDS.items() if kind.is_observed}
    assert observed == OBSERVED.keys() | MEASURED.keys()
    assert {key for key, kind in KINDS.items() if kind.is_measured} == MEASURED.keys()
    assert KINDS.keys() == REMEDIES.keys()


@pytest.mark.parametrize(
    "changes",
    [
        {"notices": [notice("FailedScheduling", is_over=True)]},
        {"notices": [notice("FailedScheduling", last_at=(NOW - timedelta(hours=1)).isoformat())]},
        {"notices": [notice("FailedCreate", "a webhook said no")]},
        {"queues": [{**QUEUE, "tasks_queued": 5, "workers_ready": 1}]},
        {"queues": [{**QUEUE, "tasks_queued": 5, "tasks_running": 7}]},
        {"queues": [{**QUEUE, "tasks_queued": None}]},
        {"components": component("scheduler", state="stopped", heartbeat_at=LATE)},
        {"components": component("worker default", state="starting", ready=0)},
        {"warnings": ["Something else."]},
    ],
)
def test_what_only_looks_like_one_is_none(changes: dict[str, Any], deployment: Deployment) -> None:
    observe(deployment, **changes)

    assert kinds_of(deployment) == {}


def test_a_component_that_says_why_stands_for_the_whole(deployment: Deployment) -> None:
    observe(deployment, health="unhealthy", components=component("scheduler", state="crashing"))

    assert kinds_of(deployment) == {"crash-loop": "scheduler"}


def test_a_component_that_runs_and_never_answers_is_told_once(deployment: Deployment) -> None:
    silent = component("dag-processor", ready=0, detail="It runs but sends no heartbeat.")
    observe(deployment, components=silent)
    assert kinds_of(deployment) == {"not-ready": "dag-processor"}

    silent = component("scheduler", ready=0, heartbeat_at=LATE)
    observe(deployment, components=silent, health="unhealthy")
    assert kinds_of(deployment) == {"heartbeat-late": "scheduler"}

    observe(deployment, components=component("api-server", ready=0), health="unhealthy")
    assert kinds_of(deployment) == {"unhealthy": ""}


def test_the_documentation_names_each_kind() -> None:
    page = (settings.DOCS_FOLDER / "observe.md").read_text()

    for kind in KINDS.values():
        assert f"| {kind.label} | {kind.severity.label}" in page
        assert kind.detected in page


def test_rows_tell_of_failed_changes_and_delays(deployment: Deployment) -> None:
    observe(deployment)
    deployment.wanted = Revision(
        deployment=deployment,
        number=2,
        config=deployment.wanted.config,
        state=RevisionState.FAILED,
        failure="The scheduler ended.",
    )
    deployment.last_error = "The cluster refused it."

    assert kinds_of(deployment) == {"revision-failed": "", "delayed": ""}

    deployment.quarantined_at = NOW
    assert kinds_of(deployment) == {"revision-failed": "", "stopped-retrying": ""}


@pytest.mark.parametrize(
    ("column", "subject"),
    [
        ("credential_expires_at", ""),
        ("ca_expires_at", "CA certificate"),
        ("database_ca_expires_at", "CA certificate of the database server"),
        ("registry_ca_expires_at", "CA certificate of the registry"),
    ],
)
@pytest.mark.parametrize(
    ("left", "found"),
    [
        (timedelta(days=20), None),
        (timedelta(days=10), Severity.WARNING),
        (timedelta(days=1), Severity.CRITICAL),
        (timedelta(days=-1), Severity.CRITICAL),
    ],
)
def test_a_credential_or_ca_that_ends_is_told_in_time(
    left: timedelta,
    found: Severity | None,
    column: str,
    subject: str,
    make_deployment: Callable[..., Deployment],
) -> None:
    deployment = make_deployment()
    deployment.cluster = registered(deployment.workspace.organization, **{column: NOW + left})
    observe(deployment)

    told = findings(seen(deployment, now=NOW))

    assert [(one.severity, one.subject) for one in told] == ([(found, subject)] if found else [])
    of_settings = " of the " in subject
    assert all(("in the settings of the cluster" in one.summary) == of_settings for one in told)


def test_a_credential_and_a_ca_that_end_are_two_incidents(
    make_deployment: Callable[..., Deployment],
) -> None:
    deployment = make_deployment()
    deployment.cluster = registered(
        deployment.workspace.organization,
        credential_expires_at=NOW + timedelta(days=3),
        ca_expires_at=NOW,
    )
    observe(deployment)

    told = [one.title for one in findings(seen(deployment, now=NOW))]

    assert told == [
        "The CA certificate of eu-1 has expired",
        "The credential of eu-1 expires soon",
    ]


def test_a_runtime_without_support_is_told(make_deployment: Callable[..., Deployment]) -> None:
    deployment = make_deployment(config={"runtime": "1.0.0-1"})
    observe(deployment)

    assert kinds_of(deployment) == {"runtime-unsupported": ""}


def test_what_cannot_be_observed_is_unreachable_and_nothing_else(deployment: Deployment) -> None:
    observe(deployment, at=NOW - timedelta(minutes=6), import_errors=1)
    assert kinds_of(deployment) == {"unreachable": ""}

    deployment.cluster.unreachable_since = NOW
    assert kinds_of(deployment) == {"unreachable": ""}

    observe(deployment, import_errors=1)
    assert kinds_of(deployment) == {"unreachable": ""}, "an observation from before"


@pytest.mark.parametrize(
    "stored",
    [
        {"observed_at": "yesterday"},
        {"observed_at": NOW.isoformat(), "exists": True},
        {"components": [3]},
        {"queues": {"a": 1}},
    ],
)
def test_an_observation_that_cannot_be_read_is_none(
    stored: dict[str, Any], deployment: Deployment
) -> None:
    deployment.observation = stored

    assert kinds_of(deployment) == {}


def test_hostile_words_are_bounded_and_plain(deployment: Deployment) -> None:
    bad = "\x1b[31m\u202e<script>" + "x" * 5_000
    observe(
        deployment,
        components=[
            {"name": f"{bad}{number}", "state": "failed", "ready": 0, "wanted": 1, "detail": bad}
            for number in range(300)
        ],
    )

    found = findings(seen(deployment, now=NOW))

    assert 0 < len(found) <= MOST_FINDINGS
    for one in found:
        assert len(one.subject) <= 120
        assert len(one.title) <= 160
        assert len(one.summary) <= 600
        assert "\x1b" not in one.title + one.summary + one.evidence.excerpt
        assert "\u202e" not in one.title + one.summary + one.evidence.excerpt


def test_evidence_has_caps_and_survives_strange_rows() -> None:
    kept = evidence(columns=("a", "b"), rows=[("x" * 900, None)] * 99, facts=[("Empty", "")])

    assert len(kept.rows) == MOST_ROWS
    assert kept.rows_left_out == 99 - MOST_ROWS
    assert len(kept.rows[0][0]) == CELL_CHARACTERS
    assert kept.facts == ()
    assert evidence_from(kept.as_json()) == kept
    for strange in (None, [], {"facts": 3, "rows": [1, "x"], "columns": {}, "rows_in_all": "9"}):
        assert evidence_from(strange).rows == ()


class Life:
    """One Deployment whose evaluations are played, without a database."""

    def __init__(self) -> None:
        self.rows: list[Incident] = []
        self.told: list[str] = []

    def play(self, found: list[Any], *, at: datetime, is_blind: bool = False) -> None:
        changes = Changes()
        unclosed = [row for row in self.rows if row.closed_at is None]
        evaluate(
            deployment_id=1, rows=unclosed, found=found, is_blind=is_blind, now=at, changes=changes
        )
        self.rows = [row for row in self.rows if row not in changes.forgotten] + changes.created
        self.told += [str(event.what) for event in changes.events]

    def play_every(self, seconds: int, times: int, found: list[Any], *, at: datetime) -> datetime:
        for _ in range(times):
            self.play(found, at=at)
            at += timedelta(seconds=seconds)
        return at


@pytest.fixture
def errors(deployment: Deployment) -> list[Any]:
    observe(deployment, import_errors=1)
    return findings(seen(deployment, now=NOW))


def test_it_opens_after_it_held_and_closes_after_it_was_clear(errors: list[Any]) -> None:
    life = Life()

    life.play(errors, at=NOW)
    assert [row.opened_at for row in life.rows] == [None]

    at = life.play_every(30, 3, errors, at=NOW + timedelta(seconds=30))
    assert [row.opened_at for row in life.rows] == [NOW + timedelta(seconds=30)]

    at = life.play_every(30, 2, [], at=at)
    assert life.rows[0].is_open
    life.play([], at=at)
    assert life.rows[0].closed_at == at
    assert life.told == ["opened", "closed"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_opens_when_it_has_held_and_closes_when_it_was_clear_for_long_enough(
    kind: str, errors: list[Any]
) -> None:
    life, found = Life(), [replace(errors[0], kind=kind)]

    until_opened, at = _plays(life, found, at=NOW, told=["opened"])
    until_closed, _ = _plays(life, [], at=at, told=["opened", "closed"])

    rule = KINDS[kind]
    assert until_opened == max(rule.opens.evaluations, 1 + -(-rule.opens.seconds // 30))
    assert until_closed == max(rule.closes.evaluations, 1 + -(-rule.closes.seconds // 30))
    # One look at a cluster that does not show it may be a flicker; rows do not flicker.
    assert until_closed > 1 or not rule.is_observed


def _plays(life: Life, found: list[Any], *, at: datetime, told: list[str]) -> tuple[int, datetime]:
    """Evaluate every 30 seconds until this was told; return how often that took, and when."""
    for number in range(1, 100):
        life.play(found, at=at)
        at += timedelta(seconds=30)
        if life.told == told:
            return number, at
    raise AssertionError(life.told)


def test_a_flicker_opens_nothing(errors: list[Any]) -> None:
    life = Life()

    for number in range(10):
        life.play(errors if number % 2 == 0 else [], at=NOW + timedelta(seconds=30 * number))

    assert life.told == []
    assert life.rows == []


def test_a_moment_of_calm_closes_nothing(errors: list[Any]) -> None:
    life = Life()
    at = life.play_every(30, 3, errors, at=NOW)

    for number in range(10):
        life.play(errors if number % 2 else [], at=at + timedelta(seconds=30 * number))

    assert life.told == ["opened"]
    assert len(life.rows) == 1


def test_silence_of_the_plane_closes_nothing(errors: list[Any]) -> None:
    life = Life()
    at = life.play_every(30, 3, errors, at=NOW)

    for number in range(100):
        life.play([], at=at + timedelta(seconds=30 * number), is_blind=True)

    assert life.rows[0].is_open
    assert life.rows[0].clear_since is None


def test_two_workers_at_once_count_as_one(errors: list[Any]) -> None:
    life = Life()

    for _ in range(5):
        life.play(errors, at=NOW)

    assert [row.evaluations for row in life.rows] == [1]


def test_a_clock_that_jumps_opens_and_closes_nothing_by_itself(errors: list[Any]) -> None:
    life = Life()
    life.play(errors, at=NOW)
    life.play(errors, at=NOW - timedelta(hours=1))
    assert life.told == [], "back: it has not held for a time yet"

    at = life.play_every(30, 3, errors, at=NOW)
    life.play([], at=at + timedelta(hours=9))
    assert life.told == ["opened"], "ahead: it was not clear often enough"


def test_a_severity_that_changes_is_told(errors: list[Any]) -> None:
    life = Life()
    at = life.play_every(30, 3, errors, at=NOW)

    life.play([replace(errors[0], severity=Severity.CRITICAL)], at=at)

    assert life.told == ["opened", "changed"]
    assert life.rows[0].severity == Severity.CRITICAL
