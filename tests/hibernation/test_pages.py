"""The pages of hibernation, and the same by API."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.core.public_ids import public_id
from apps.dags.models import DagSummary
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.hibernation.plans import HibernationPlan, Schedule
from apps.dataplane.status import AirflowResponse
from apps.deployments.editing.hibernating import hibernate, save_plan
from apps.deployments.editing.plans import plan_of
from apps.deployments.models import Deployment, Health
from apps.hibernation.models import Sleep
from apps.hibernation.queries import MissedRuns, missed_runs, slept_in_month, slept_seconds
from apps.usage.models import UsageDay
from tests.alerts.examples import make_rule
from tests.core.pages import check_page

pytestmark = pytest.mark.django_db

WEEKLY = {
    "sleep_days": ["MON", "FRI"],
    "sleep_time": "19:30",
    "wake_days": ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"],
    "wake_time": "07:00",
    "time_zone": "Europe/Oslo",
    "description": "Nights <b>",
    "is_enabled": "on",
}
NIGHTS = Schedule(hibernate_at="0 19 * * *", wake_at="0 7 * * *")
Drive = Callable[[Deployment], Deployment]


@pytest.fixture
def up(created: Deployment, drive: Drive) -> Deployment:
    return drive(created)


@pytest.fixture
def web(alice: User, client_of: Callable[[User], Client]) -> Client:
    return client_of(alice)


def page(up: Deployment, name: str = "") -> str:
    return f"/d/{up.ref}/hibernation/{name}"


def read(up: Deployment) -> Deployment:
    return Deployment.objects.get(pk=up.pk)


def test_a_schedule_by_days_and_times_is_saved_shown_and_removed(web: Client, up: Deployment):
    answer = web.post(page(up, "schedules/new/"), WEEKLY)

    assert answer.status_code == 302
    (schedule,) = plan_of(read(up)).schedules
    assert schedule.hibernate_at == "30 19 * * MON,FRI"
    assert (schedule.wake_at, schedule.time_zone) == ("0 7 * * *", "Europe/Oslo")
    shown = web.get(page(up))
    check_page(shown.content.decode())
    assert "Nights &lt;b&gt;" in shown.content.decode()
    form = web.get(page(up, "schedules/1/")).content.decode()
    assert 'value="19:30"' in form
    changed = {**WEEKLY, "hibernate_at": "*/30 20 * * *", "is_enabled": ""}
    web.post(page(up, "schedules/1/"), changed)
    assert plan_of(read(up)).schedules[0].hibernate_at == "*/30 20 * * *"
    assert web.post(page(up, "schedules/1/remove/")).status_code == 302
    assert plan_of(read(up)).schedules == ()
    assert web.get(page(up, "schedules/1/")).status_code == 404


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sleep_days": []}, "Choose at least one day"),
        ({"sleep_time": "25:00"}, "Enter a valid time"),
        ({"time_zone": "Mars/Base"}, "Choose a time zone"),
        ({"hibernate_at": "whenever"}, "Enter a cron expression of five fields"),
        ({"hibernate_at": "0 7 * * *"}, "It wakes at the moments"),
    ],
)
def test_a_wrong_schedule_is_said_and_nothing_typed_is_lost(
    web: Client, up: Deployment, wrong: dict[str, Any], message: str
):
    answer = web.post(page(up, "schedules/new/"), {**WEEKLY, **wrong})

    assert answer.status_code == 422
    text = answer.content.decode()
    assert message in text
    assert "Nights &lt;b&gt;" in text
    assert plan_of(read(up)).schedules == ()


def test_there_are_at_most_ten_schedules(alice: User, web: Client, up: Deployment):
    plan = HibernationPlan(schedules=(NIGHTS,) * 10)
    save_plan(actor=alice, deployment=up, plan=plan, now=timezone.now())

    answer = web.post(page(up, "schedules/new/"), WEEKLY)

    assert "at most 10 schedules" in answer.content.decode()


def test_the_confirm_names_what_runs_and_waits_and_is_missed(web: Client, up: Deployment):
    rows = [
        {"dag_id": "etl", "task_id": "load", "state": "running", "operator": "PythonOperator"},
        *[{"dag_id": "etl", "task_id": "each", "state": "running", "map_index": n} for n in (0, 1)],
        {"dag_id": "etl", "task_id": "wait", "state": "running", "operator": "FileSensor"},
        {"dag_id": "etl", "task_id": "later", "state": "deferred", "operator": "Bash<b>"},
    ]
    data = {"task_instances": rows, "total_entries": 7}
    FakePlane.store.respond = lambda *_: AirflowResponse(status=200, data=data)
    DagSummary.objects.create(
        deployment=up,
        dag_id="etl",
        state="running",
        is_paused=False,
        has_import_error=False,
        schedule="0 * * * *",
    )

    answer = web.get(page(up, "hibernate/"))

    check_page(answer.content.decode())
    text = " ".join(answer.content.decode().split())
    assert "etl.load</li>" in text
    assert "etl.each, 2 times" in text
    assert "etl.wait (sensor)" in text
    assert "etl.later (deferred)" in text
    assert "2 more are not listed" in text
    assert "In a day, 1 DAG with a schedule misses 24 runs" in text


def test_what_is_missed_and_made_up_for_at_waking_is_said_of_each_kind_of_dag(
    web: Client, up: Deployment
):
    now = datetime(2026, 6, 5, 12, 30, tzinfo=UTC)
    scheduled(up, "hourly", "0 * * * *", catches_up=True)
    scheduled(up, "nightly", "@daily", catches_up=False)
    scheduled(up, "later", "0 3 * * 0", catches_up=True)
    scheduled(up, "every", "1 day, 0:00:00", catches_up=None)
    scheduled(up, "minutes", "0:20:00", catches_up=None)
    scheduled(up, "paused", "0 * * * *", is_paused=True)
    for name in ("Asset", "@once", "@continuous"):
        scheduled(up, name, name)
    for number, odd in enumerate(("Trigger, Two", "0:00:00", "99 * * * *", "Asset or 0 1 * * *")):
        scheduled(up, f"odd-{number}", odd)

    missed = missed_runs(up, now=now, until=now + timedelta(hours=12))

    assert missed == MissedRuns(
        dags=3, runs=49, catching_up=1, made_up=12, once=1, unknown=1, uncounted=4
    )
    text = " ".join(web.get(page(up, "hibernate/")).content.decode().split())
    assert "with catch-up on makes up for 24 of them" in text
    assert "1 without catch-up runs once, for the last run that it missed" in text
    assert "Airflow has not said whether catch-up is on for 2." in text
    assert "4 DAGs have a timetable whose times only Airflow knows" in text


def test_a_dag_of_each_minute_does_not_hide_the_others(up: Deployment):
    now = datetime(2026, 6, 5, 12, 30, tzinfo=UTC)
    scheduled(up, "busy", "* * * * *", catches_up=True)
    scheduled(up, "hourly", "0 * * * *", catches_up=False)

    missed = missed_runs(up, now=now, until=now + timedelta(days=3))

    assert (missed.catching_up, missed.once, missed.is_capped) == (1, 1, True)


def test_where_nothing_is_scheduled_nothing_is_said_to_be_missed(web: Client, up: Deployment):
    scheduled(up, "data", "Asset")

    text = " ".join(web.get(page(up, "hibernate/")).content.decode().split())

    assert "In a day, no run is missed" in text


def scheduled(deployment: Deployment, name: str, schedule: str, **facts: Any) -> None:
    facts = {"is_paused": False, "has_import_error": False, "state": "running", **facts}
    DagSummary.objects.create(deployment=deployment, dag_id=name, schedule=schedule, **facts)


def test_hibernate_and_wake_by_page(web: Client, up: Deployment, drive: Drive):
    answer = web.post(page(up, "hibernate/"), {"hours": "12"})

    assert answer.status_code == 302
    assert "/operations/" in answer["Location"]
    assert drive(up).is_hibernating
    assert "Hibernating" in web.get(f"/d/{up.ref}/").content.decode()
    wake_page = web.get(page(up, "wake-up/"))
    check_page(wake_page.content.decode())
    assert web.post(page(up, "wake-up/"), {"hours": "always"}).status_code == 302
    override = plan_of(read(up)).override
    assert override is not None
    assert (override.is_hibernating, override.until) == (False, None)
    web.post(page(up, "follow/"))
    assert plan_of(read(up)).override is None


def test_a_time_of_the_past_is_refused_at_the_form(web: Client, up: Deployment):
    answer = web.post(page(up, "hibernate/"), {"until": "2020-01-01T10:00"})

    assert answer.status_code == 422
    assert "within the next year" in answer.content.decode()
    assert not read(up).is_hibernating


def test_the_limits_are_set(web: Client, up: Deployment):
    answer = web.post(page(up, "limits/"), {"task_minutes": "90", "idle_hours": "6"})

    assert answer.status_code == 302
    plan = plan_of(read(up))
    assert (plan.task_minutes, plan.idle_hours) == (90, 6)
    wrong = {"task_minutes": "9000", "idle_hours": "-1"}
    assert web.post(page(up, "limits/"), wrong).status_code == 422


def test_who_may_only_see_it_may_not_put_it_to_sleep(
    bob: User, charlie: User, client_of: Callable[[User], Client], up: Deployment
):
    assert client_of(bob).get(page(up)).status_code == 200
    assert client_of(bob).post(page(up, "hibernate/")).status_code == 403
    assert client_of(charlie).get(page(up)).status_code == 404
    assert client_of(charlie).post(page(up, "wake-up/")).status_code == 404
    assert not read(up).is_hibernating


def test_opening_airflow_wakes_it_for_those_who_may(
    alice: User, charlie: User, client_of: Callable[[User], Client], up: Deployment, drive: Drive
):
    hibernate(actor=alice, deployment=up, until=None, now=timezone.now())
    drive(up)
    address = f"/airflow/{up.ref}/"
    alices = client_of(alice)

    assert client_of(charlie).get(address).status_code == 404
    assert alices.get(address, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 503
    assert read(up).is_hibernating
    answer = alices.get(address, headers={"Sec-Fetch-Site": "same-site"})

    assert answer.status_code == 503
    assert answer["Refresh"].startswith("5;")
    text = answer.content.decode()
    assert "Airflow of etl-prod is starting" in text
    assert "Waking up. Airflow is starting again." in text
    assert [word for word in ("Hibernating", "Falling asleep") if word in text] == []
    assert drive(up).health == Health.HEALTHY
    assert alices.get(address).status_code == 200


def test_how_long_it_slept_is_recorded(alice: User, up: Deployment):
    begin = datetime(2026, 6, 30, 22, tzinfo=UTC)
    hibernate(actor=alice, deployment=up, until=begin + timedelta(hours=4), now=begin)
    save_plan(actor=alice, deployment=up, plan=HibernationPlan(), now=begin + timedelta(hours=3))

    (sleep,) = Sleep.objects.all()

    now = begin + timedelta(hours=5)
    assert sleep.ended_at == begin + timedelta(hours=3)
    assert slept_seconds([sleep], begin=begin, end=now) == (3 * 3600, 3 * 3600)
    organization = up.workspace.organization_id
    june = slept_in_month(organization_id=organization, month=begin.date(), now=now)
    july = slept_in_month(organization_id=organization, month=now.date(), now=now)
    assert (june[0], july[0]) == (2 * 3600, 1 * 3600)


def test_the_api_has_the_same(alice: User, up: Deployment, program_of: Any, drive: Drive):
    program = program_of(alice)
    address = f"/deployments/{public_id('deployment', up.pk)}"
    before = program.get(address).json()
    assert "scalingSpec" not in before
    assert before["isDevelopmentMode"] is True
    sent = {
        "schedules": [
            {"hibernateAtCron": "0 19 * * *", "wakeAtCron": "0 7 * * *", "timeZone": "Asia/Tokyo"}
        ],
        "taskMinutes": 5,
    }

    answer = program.post(address, {**before, "scalingSpec": {"hibernationSpec": sent}})

    assert answer.status_code == 200, answer.json()
    spec = answer.json()["scalingSpec"]["hibernationSpec"]
    assert spec["schedules"][0]["timeZone"] == "Asia/Tokyo"
    assert spec["taskMinutes"] == 5
    spec["schedules"][0].pop("timeZone")
    again = program.post(address, {**before, "scalingSpec": {"hibernationSpec": spec}}).json()
    assert again["scalingSpec"]["hibernationSpec"]["schedules"][0]["timeZone"] == "Asia/Tokyo"
    now = timezone.now()
    until = (now + timedelta(hours=2)).isoformat()
    scheduled(up, "orders", "0:30:00", catches_up=True)
    due = now + timedelta(hours=1)
    make_rule(up.workspace, "dag-late", name="Orders", due_at=due.time(), zone="UTC")
    later = (now + timedelta(hours=3)).time()
    make_rule(up.workspace, "dag-late", name="After it", due_at=later, zone="UTC")

    answer = program.post(
        f"{address}/hibernation-override", {"isHibernating": True, "overrideUntil": until}
    )

    assert answer.status_code == 200
    assert answer.json()["isHibernating"] is True
    (deadline,) = answer.json()["deadlinesAsleep"]
    assert (deadline["ruleName"], deadline["dags"]) == ("Orders", 1)
    assert deadline["dueAt"].startswith(f"{due:%Y-%m-%dT%H:%M}")
    missed = answer.json()["missedRuns"]
    assert (missed["runs"], missed["madeUp"], missed["isCapped"]) == (3, 3, False)
    drive(up)
    body = program.get(address).json()
    assert body["status"] == "HIBERNATING"
    status = body["scalingStatus"]["hibernationStatus"]
    assert (status["isHibernating"], status["reason"]) == (True, "By override.")
    assert program.delete(f"{address}/hibernation-override").status_code == 204
    assert plan_of(read(up)).override is None


def test_the_api_refuses_and_hides(
    bob: User, charlie: User, alice: User, up: Deployment, program_of: Any
):
    address = f"/deployments/{public_id('deployment', up.pk)}/hibernation-override"

    assert program_of(bob).post(address, {"isHibernating": True}).status_code == 403
    past = {"isHibernating": True, "overrideUntil": "2020-01-01T00:00:00Z"}
    program = program_of(alice)
    assert program.post(address, past).status_code == 400
    assert program.post(address, {}).status_code == 400
    elsewhere = charlie.organizationgrant_set.get().content_object
    stranger = program_of(charlie, at=elsewhere)
    assert stranger.post(address, past).status_code == 404
    assert not read(up).is_hibernating


def test_the_hours_saved_are_on_the_pages_of_usage_and_organization(web: Client, up: Deployment):
    now = timezone.now()
    UsageDay.objects.create(deployment=up, day=now.date(), worker_seconds=60, through=now)
    begin = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    Sleep.objects.create(
        deployment=up, began_at=begin, ended_at=begin + timedelta(minutes=90), workers=4
    )

    text = web.get("/o/nordhavn/usage/").content.decode()
    overview = web.get("/o/nordhavn/").content.decode()

    ended = min(begin + timedelta(minutes=90), now)
    hours = (ended - begin).total_seconds() / 3600
    assert f"{hours:.1f} hours, at least {4 * hours:.1f} worker hours saved" in text
    assert f"<dd>{4 * hours:.1f} worker hours</dd>" in overview
