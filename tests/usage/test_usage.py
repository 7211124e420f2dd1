"""Usage: summed from history, shown by month, sent as a file."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.deployments.models import Deployment
from apps.observability.history.metrics import FINE
from apps.observability.history.models import HistoryDay, Series
from apps.observability.history.packing import empty, packed
from apps.organizations.models import Organization
from apps.usage.models import Price, UsageDay
from apps.usage.rollup import roll_up
from tests.core.pages import check_page

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
TODAY = NOW.date()
HERE = "/o/nordhavn/usage/"


def measured(
    deployment: Deployment,
    metric: str,
    values: dict[int, float],
    *,
    day: date = TODAY,
    label: str = "",
) -> None:
    """Store values of a day, by their place in it, of five minutes each."""
    series, _ = Series.objects.get_or_create(deployment=deployment, metric=metric, label=label)
    floats = empty(FINE)
    for place, value in values.items():
        floats[place] = value
    HistoryDay.objects.update_or_create(
        series=series, step=FINE, day=day, defaults={"packed": packed(floats)}
    )


def used(deployment: Deployment, day: date, **fields: Any) -> UsageDay:
    through = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=12)
    return UsageDay.objects.create(deployment=deployment, day=day, through=through, **fields)


def text_of(client: Client, path: str = HERE) -> str:
    response = client.get(path)
    assert response.status_code == 200
    text = response.content.decode()
    check_page(text)
    return " ".join(text.split())


def test_days_are_summed_and_summed_again_when_more_is_known(deployment: Deployment):
    measured(deployment, "runs_succeeded", {0: 2, 100: 3})
    measured(deployment, "runs_failed", {100: 1})
    measured(deployment, "tasks_succeeded", {100: 40})
    measured(deployment, "tasks_failed", {100: 4})
    measured(deployment, "workers", {0: 2, 1: 0}, label="default")
    measured(deployment, "workers", {0: 1}, label="heavy")
    measured(deployment, "runs_succeeded", {287: 9}, day=TODAY - timedelta(days=40))
    measured(deployment, "queued", {0: 99})

    assert roll_up(now=NOW) == 2

    found = UsageDay.objects.get(day=TODAY)
    counts = (found.runs_succeeded, found.runs_failed, found.tasks_succeeded, found.tasks_failed)
    assert counts == (5, 1, 40, 4)
    assert found.worker_seconds == 3 * FINE
    assert found.through == datetime(2026, 11, 28, 8, 25, tzinfo=UTC)
    measured(deployment, "runs_succeeded", {0: 2, 100: 3, 101: 4})
    roll_up(now=NOW + timedelta(hours=1))
    assert UsageDay.objects.get(day=TODAY).runs_succeeded == 9
    assert UsageDay.objects.count() == 2


def test_what_an_airflow_tells_late_is_summed_after_all(deployment: Deployment):
    measured(deployment, "runs_succeeded", {0: 1})
    roll_up(now=NOW)
    measured(deployment, "runs_succeeded", {5: 7}, day=TODAY - timedelta(days=2))

    roll_up(now=NOW)

    assert UsageDay.objects.get(day=TODAY - timedelta(days=2)).runs_succeeded == 7


def test_the_page_shows_a_month_and_what_it_cost(
    deployment: Deployment, alice: User, client_of: Callable[[User], Client], settings: Any
):
    settings.WORKER_HOUR_PRICE, settings.CURRENCY = Decimal("0.25"), "NOK"
    used(deployment, date(2026, 11, 3), runs_succeeded=1500, runs_failed=500, worker_seconds=36_000)
    used(deployment, date(2026, 11, 4), tasks_succeeded=7, worker_seconds=1_800)
    used(deployment, date(2026, 10, 4), runs_succeeded=1, worker_seconds=3_600)
    client = client_of(alice)

    text = text_of(client)

    assert "2,000, 75.0 % of them succeeded" in text
    assert "10.5" in text
    assert "2.63 NOK, 0.25 NOK a worker hour" in text
    assert "Data through" in text
    assert "October 2026" in text
    assert "0.25 NOK, 0.25 NOK a worker hour" in text_of(client, f"{HERE}?month=2026-10")
    for wrong in ("x", "2026-13", "1999-01", "'"):
        assert "2,000" in text_of(client, f"{HERE}?month={wrong}")
    settings.WORKER_HOUR_PRICE = None
    assert "has entered no price" in text_of(client)


def test_the_file_has_a_row_for_each_month_and_deployment(
    deployment: Deployment, alice: User, client_of: Callable[[User], Client], settings: Any
):
    settings.WORKER_HOUR_PRICE = Decimal("0.25")
    deployment.name = "=cmd|etl"
    deployment.save()
    used(deployment, date(2026, 11, 3), runs_succeeded=3, worker_seconds=3_600)
    used(deployment, date(2026, 10, 4), runs_failed=1)
    client = client_of(alice)

    answer = client.get(f"{HERE}csv/")

    assert answer.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [(one["month"], one["deployment"], one["cost"]) for one in rows] == [
        ("2026-11", "'=cmd|etl", "0.25"),
        ("2026-10", "'=cmd|etl", "0.00"),
    ]
    one_month = client.get(f"{HERE}csv/?month=2026-10")
    assert "2026-11" not in one_month.content.decode()
    assert "nordhavn-usage-2026-10.csv" in one_month.headers["Content-Disposition"]


def test_nothing_is_shown_of_others_and_before_anything_is_known(
    organization: Organization,
    deployment: Deployment,
    alice: User,
    bob: User,
    charlie: User,
    client_of: Callable[[User], Client],
):
    assert "No usage yet" in text_of(client_of(alice))
    used(deployment, TODAY, runs_succeeded=1)
    assert client_of(bob).get(HERE).status_code == 403
    assert client_of(charlie).get(f"{HERE}csv/").status_code == 404
    theirs = Organization.objects.exclude(pk=organization.pk).get()
    assert "No usage yet" in text_of(client_of(charlie), f"/o/{theirs.slug}/usage/")


def test_the_page_asks_as_few_questions_of_many_deployments(
    make_deployment: Callable[..., Deployment],
    alice: User,
    client_of: Callable[[User], Client],
    django_assert_max_num_queries: Callable[..., Any],
):
    for number in range(30):
        used(make_deployment(name=f"etl-{number}", ref=f"etl-{number}-x"), TODAY, runs_failed=1)
    client = client_of(alice)
    client.get(HERE)

    with django_assert_max_num_queries(11):
        client.get(HERE)


def enter(client: Client, amount: str, begin: str, currency: str = "EUR", status: int = 302) -> str:
    entered = {"amount": amount, "currency": currency, "valid_from": begin}
    response = client.post("/prices/", entered)
    assert response.status_code == status
    return response.content.decode()


def test_operators_enter_prices_that_hold_from_a_day_on(
    deployment: Deployment, alice: User, client_of: Callable[[User], Client], settings: Any
):
    settings.WORKER_HOUR_PRICE = Decimal(9)
    for day, hours in ((3, 10), (20, 10)):
        used(deployment, date(2026, 11, day), worker_seconds=hours * 3600)
    used(deployment, date(2026, 9, 1), worker_seconds=3600)
    operator = User.objects.create_user("op@example.org", "x", is_operator=True)
    client = client_of(operator)
    assert "PORTAL_WORKER_HOUR_PRICE says 9" in text_of(client, "/prices/")

    enter(client, "0.5", "2026-11-01")
    enter(client, "0.25", "2026-11-10")
    enter(client, "0.3", "2026-11-10")

    assert "holds today" in text_of(client, "/prices/")
    # 10 hours at 0.5 and 10 at 0.3; the first price holds before it, too.
    text = text_of(client_of(alice))
    assert "8.00 EUR, 0.5, then 0.3 EUR a worker hour" in text
    assert "0.50 EUR, 0.5 EUR a worker hour" in text_of(client_of(alice), f"{HERE}?month=2026-09")
    changes = AuditEvent.objects.filter(action="price.set").latest("pk").changes
    assert changes == {"worker hour from 2026-11-10": ["0.25 EUR", "0.3 EUR"]}
    price = Price.objects.get(valid_from=date(2026, 11, 10))
    assert client.post(f"/prices/{price.pk}/remove/").status_code == 302
    assert "10.00 EUR" in text_of(client_of(alice))


def test_what_is_wrong_with_a_price_is_said(alice: User, client_of: Callable[[User], Client]):
    operator = User.objects.create_user("op@example.org", "x", is_operator=True)
    client = client_of(operator)
    enter(client, "0.5", "2026-11-01")

    assert "All prices have one currency" in enter(client, "1", "2026-12-01", "NOK", 422)
    enter(client, "1", "2026-11-01", "NOK")
    for wrong in (("-1", "2026-11-01"), ("1", "x"), ("nan", "2026-11-01")):
        enter(client, *wrong, currency="NOK", status=422)
    assert "three letters" in enter(client, "1", "2026-11-01", "eu", 422)
    assert client_of(alice).get("/prices/").status_code == 404
    assert Price.objects.get().currency == "NOK"
