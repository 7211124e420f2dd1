"""What had nothing to do for hours is put to sleep, and nothing else is."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.accounts.models import User
from apps.dags.models import DagSummary
from apps.dataplane.hibernation.plans import HibernationPlan, Schedule
from apps.deployments.editing.hibernating import save_plan, stay_awake
from apps.deployments.editing.plans import plan_of
from apps.deployments.models import Deployment, Revision
from apps.hibernation import idle
from apps.hibernation.idle import hibernate_idle

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 6, 5, 12, tzinfo=UTC)
QUIET = {("queued", "default"): 0.0, ("running", "default"): 0.0}
Drive = Callable[[Deployment], Deployment]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[Any, float]:
    """What the collector measured last, of every Deployment."""
    found: dict[Any, float] = dict(QUIET)

    def latest(*, deployment_ids: list[int], **_: Any) -> dict[int, dict[Any, float]]:
        return dict.fromkeys(deployment_ids, found)

    monkeypatch.setattr(idle, "latest", latest)
    return found


@pytest.fixture
def up(alice: User, created: Deployment, drive: Drive) -> Deployment:
    """One that was edited a day ago, and is to sleep after four hours."""
    drive(created)
    plan = HibernationPlan(idle_hours=4)
    save_plan(actor=alice, deployment=created, plan=plan, now=NOW - timedelta(days=1))
    Revision.objects.update(applied_at=NOW - timedelta(days=1))
    return drive(created)


def ran(up: Deployment, ended_at: datetime) -> None:
    due = int(ended_at.timestamp()) - 60
    DagSummary.objects.create(
        deployment=up,
        dag_id="etl",
        state="succeeded",
        is_paused=False,
        has_import_error=False,
        runs=[["success", due, 60], ["success", due - 3600, None]],
    )


@pytest.mark.usefixtures("measured")
def test_it_hibernates_after_its_hours_and_not_before(up: Deployment):
    ran(up, NOW - timedelta(hours=4))

    assert hibernate_idle(now=NOW - timedelta(seconds=1)) == 0
    assert hibernate_idle(now=NOW) == 1

    found = Deployment.objects.get(pk=up.pk)
    assert found.is_hibernating
    override = plan_of(found).override
    assert override is not None
    assert override.until is None
    assert hibernate_idle(now=NOW) == 0


@pytest.mark.usefixtures("measured")
def test_the_next_wake_of_a_schedule_ends_it(alice: User, up: Deployment):
    nights = Schedule(hibernate_at="0 19 * * *", wake_at="0 7 * * *")
    plan = HibernationPlan(idle_hours=4, schedules=(nights,))
    save_plan(actor=alice, deployment=up, plan=plan, now=NOW)

    assert hibernate_idle(now=NOW) == 1

    override = plan_of(Deployment.objects.get(pk=up.pk)).override
    assert override is not None
    assert override.until == datetime(2026, 6, 6, 7, tzinfo=UTC)


@pytest.mark.parametrize("name", ["queued", "running"])
def test_a_task_keeps_it_awake(up: Deployment, measured: dict[Any, float], name: str):
    measured[name, "default"] = 1.0

    assert hibernate_idle(now=NOW) == 0


def test_where_it_is_not_known_what_runs_it_stays_awake(up: Deployment, measured: dict[Any, float]):
    measured.clear()

    assert hibernate_idle(now=NOW) == 0


@pytest.mark.usefixtures("measured")
def test_what_is_kept_awake_or_never_to_sleep_stays_awake(alice: User, up: Deployment):
    stay_awake(actor=alice, deployment=up, now=NOW)
    assert hibernate_idle(now=NOW) == 0

    plan = replace(plan_of(Deployment.objects.get(pk=up.pk)), idle_hours=0, override=None)
    save_plan(actor=alice, deployment=up, plan=plan, now=NOW)
    assert hibernate_idle(now=NOW) == 0
