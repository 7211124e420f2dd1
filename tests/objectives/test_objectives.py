"""Objectives: counted from results, judged by their budget, shown, sent as a file, told."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.alerts.deliveries.models import Delivery
from apps.alerts.evaluation.models import Alert
from apps.alerts.sweeping.sweep import sweep
from apps.audit.models import AuditEvent
from apps.deployments.models import Deployment
from apps.objectives import counting, services
from apps.objectives.budget import Budget, State
from apps.objectives.models import Objective, ObjectiveDay
from apps.objectives.queries import objectives_in, rows_of
from apps.organizations.models import Organization, Workspace
from tests.alerts.examples import ended, make_channel, make_rule, succeeded
from tests.core.pages import check_page
from tests.objectives.examples import make_objective

pytestmark = pytest.mark.django_db
HERE, ABOVE = "/w/warehouse/objectives/", "/o/nordhavn/objectives/"


def budget(target: str, good: int, bad: int, **today: int) -> Budget:
    return Budget(target_percent=Decimal(target), good=good, bad=bad, **today)


@pytest.mark.parametrize(
    ("target", "good", "bad", "left", "state"),
    [
        ("99", 0, 0, None, State.UNKNOWN),
        ("99", 200, 0, 100, State.KEPT),
        ("99", 199, 1, 50, State.KEPT),
        ("90", 92, 8, 20, State.LOW),
        ("90", 90, 10, 0, State.LOW),
        ("90", 89, 11, -10, State.SPENT),
        # Of ten runs a target of 99 % allows a tenth of one to be bad.
        ("99", 9, 1, -900, State.SPENT),
    ],
)
def test_a_budget_is_what_the_target_leaves(
    target: str, good: int, bad: int, left: int | None, state: State
):
    found = budget(target, good, bad)

    assert found.left_percent == left
    assert found.state == state


def test_the_burn_rate_is_one_when_the_budget_lasts_just_long_enough():
    assert budget("90", 50, 3, good_today=9, bad_today=1).burn == pytest.approx(1)
    assert budget("90", 50, 3, good_today=0, bad_today=1).burn == pytest.approx(10)
    assert budget("90", 50, 3).burn is None


def days_of(objective: Objective) -> list[tuple[int, int]]:
    return list(objective.days.order_by("day").values_list("good", "bad"))


def test_runs_are_counted_by_day_and_again_when_more_is_known(deployment: Deployment, alice: User):
    now = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
    yesterday = now - timedelta(days=1)
    succeeded(deployment, "orders", run="a", at=yesterday)
    ended(deployment, "orders", run="b", at=yesterday)
    ended(deployment, "bills", run="c", at=now)
    ended(deployment, "orders", run="d", task="load", at=now)
    old = now - timedelta(days=40)
    objective = services.set_objective(
        actor=alice,
        deployment=deployment,
        dag_id="orders",
        target_percent=Decimal(99),
        limit_seconds=None,
        now=now,
    )
    ObjectiveDay.objects.create(objective=objective, day=old.date(), good=1)

    assert days_of(objective) == [(1, 0), (1, 1)]
    succeeded(deployment, "orders", run="e", at=now - timedelta(minutes=1))
    counting.count_runs(now=now)
    counting.count_runs(now=now)
    assert counting.forget_days(now=now) == 1
    assert days_of(objective) == [(1, 1), (1, 0)]


def test_a_run_that_takes_too_long_is_a_bad_one(deployment: Deployment, alice: User):
    now = timezone.now()
    for run, seconds in (("a", 59), ("b", 60), ("c", 61)):
        succeeded(deployment, "orders", run=run, at=now, seconds=seconds)

    def set_limit(limit: int | None) -> list[tuple[int, int]]:
        objective = services.set_objective(
            actor=alice,
            deployment=deployment,
            dag_id="orders",
            target_percent=Decimal(99),
            limit_seconds=limit,
            now=now,
        )
        return days_of(objective)

    assert set_limit(60) == [(2, 1)]
    assert set_limit(None) == [(3, 0)]
    assert Objective.objects.count() == 1


def text_of(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    text = response.content.decode()
    check_page(text)
    return " ".join(text.split())


def test_the_pages_show_the_worst_first(
    deployment: Deployment, alice: User, client_of: Callable[[User], Client]
):
    client = client_of(alice)
    assert "No objectives yet" in text_of(client, HERE)
    make_objective(deployment, "kept", target="90", days={0: (9, 0), 20: (10, 1)})
    make_objective(deployment, "spent", days={1: (1, 1)})
    make_objective(deployment, "silent", days={30: (1, 1)})

    for page in (HERE, ABOVE):
        text = text_of(client, page)
        places = [text.index(f">{name}</a>") for name in ("spent", "kept", "silent")]
        assert places == sorted(places)
        assert "3 in all, 1 spent" in text
        assert "No run in 28 days" in text
        assert "1 of 2 bad" in text
    assert "No matches" in text_of(client, f"{HERE}?q=zzz")
    assert ">kept</a>" not in text_of(client, f"{HERE}?q=PEN")


def test_the_file_has_a_row_for_each_objective(
    deployment: Deployment, alice: User, client_of: Callable[[User], Client]
):
    deployment.name = "=cmd|etl"
    deployment.save()
    make_objective(deployment, "-orders", days={0: (3, 1)}, limit_seconds=60)

    answer = client_of(alice).get(f"{ABOVE}csv/")

    (row,) = csv.DictReader(io.StringIO(answer.content.decode()))
    assert (row["deployment"], row["dag"], row["limit_seconds"]) == ("'=cmd|etl", "'-orders", "60")
    assert (row["good_percent"], row["budget_left_percent"], row["state"]) == (
        "75.00",
        "-2400",
        "spent",
    )


def test_an_objective_is_set_changed_and_removed(
    deployment: Deployment, alice: User, client_of: Callable[[User], Client]
):
    client = client_of(alice)
    entered = {"deployment": deployment.pk, "dag_id": "orders", "target_percent": "99.5"}

    assert client.post(f"{HERE}new/", entered).status_code == 302
    objective = Objective.objects.get()
    page = f"{HERE}{objective.pk}/"
    assert "99.5" in text_of(client, page)
    assert client.post(page, {"target_percent": "90", "limit_minutes": "5"}).status_code == 302
    objective.refresh_from_db()
    assert (objective.target_percent, objective.limit_seconds) == (90, 300)
    assert client.post(f"{page}remove/").status_code == 302
    assert not Objective.objects.exists()
    actions = list(AuditEvent.objects.order_by("pk").values_list("action", flat=True))
    assert actions[-3:] == ["objective.set", "objective.set", "objective.removed"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"target_percent": "100"},
        {"target_percent": "nan"},
        {"dag_id": "a/b"},
        {"dag_id": "x" * 251},
        {"dag_id": "a\nb"},
        {"limit_minutes": "0"},
        {"deployment": "0"},
    ],
)
def test_what_is_wrong_is_said(
    deployment: Deployment,
    alice: User,
    client_of: Callable[[User], Client],
    wrong: dict[str, str],
):
    entered = {"deployment": deployment.pk, "dag_id": "orders", "target_percent": "99", **wrong}

    assert client_of(alice).post(f"{HERE}new/", entered).status_code == 422
    assert not Objective.objects.exists()


def test_objectives_are_for_those_who_see_the_deployment(
    deployment: Deployment,
    workspace: Workspace,
    organization: Organization,
    bob: User,
    charlie: User,
    client_of: Callable[[User], Client],
):
    objective = make_objective(deployment, days={0: (1, 0)})
    assert ">orders</a>" in text_of(client_of(bob), HERE)
    assert client_of(bob).get(f"{HERE}new/").status_code == 403
    assert client_of(bob).post(f"{HERE}{objective.pk}/remove/").status_code == 403
    for path in (HERE, ABOVE, f"{HERE}csv/", f"{HERE}{objective.pk}/"):
        assert client_of(charlie).get(path).status_code == 404
    assert not objectives_in(place=organization, user=charlie)


def test_an_objective_of_another_workspace_is_not_found(
    deployment: Deployment,
    organization: Organization,
    alice: User,
    client_of: Callable[[User], Client],
):
    objective = make_objective(deployment)
    other = Workspace.objects.create(organization=organization, name="Other", slug="other")

    assert client_of(alice).get(f"/w/{other.slug}/objectives/{objective.pk}/").status_code == 404


def test_there_is_a_most(deployment: Deployment, alice: User, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(services, "MOST", 1)
    make_objective(deployment, "bills")

    with pytest.raises(services.TooManyObjectives):
        services.set_objective(
            actor=alice,
            deployment=deployment,
            dag_id="orders",
            target_percent=Decimal(99),
            limit_seconds=None,
            now=timezone.now(),
        )


def test_a_page_asks_as_few_questions_of_many(
    deployment: Deployment,
    alice: User,
    client_of: Callable[[User], Client],
    django_assert_max_num_queries: Callable[..., Any],
):
    for number in range(60):
        make_objective(deployment, f"dag_{number}", days={0: (1, 1)})
    client = client_of(alice)
    client.get(HERE)

    with django_assert_max_num_queries(8):
        client.get(HERE)


def test_a_spent_budget_is_told_once_and_when_it_is_over(
    deployment: Deployment, workspace: Workspace, alice: User
):
    now = timezone.now()
    objective = make_objective(deployment, days={0: (1, 1)}, today=now.astimezone(UTC).date())
    make_objective(deployment, "bills", days={0: (1, 0)}, today=now.astimezone(UTC).date())
    channel = make_channel(workspace, alice)
    make_rule(workspace, "budget-spent", channels=[channel], since=now)

    for minute in range(3):
        sweep(now=now + timedelta(minutes=minute))

    alert = Alert.objects.get()
    assert list(alert.subjects) == ["orders"]
    titles = list(Delivery.objects.values_list("message__title", flat=True))
    assert titles == ["DAG orders has spent the error budget in etl-prod"]
    # After a week it is still so: an alert of which nothing is heard would close.
    for day in range(1, 9):
        sweep(now=now + timedelta(days=day))
    assert Alert.objects.get().is_open
    objective.days.update(good=1000)
    sweep(now=now + timedelta(days=9))
    assert Alert.objects.get().close_reason == "orders is well again."
    rows = rows_of(Objective.objects.all(), now=now)
    assert [row.budget.state for row in rows] == ["kept", "kept"]
