"""The price of a worker hour, by a program of an operator."""

from datetime import UTC, date, datetime

import pytest

from apps.audit.models import AuditEvent
from apps.usage.models import Price, UsageDay

PRICES = "/v1/worker-hour-prices"
BODY = {"validFrom": "2026-11-01", "amount": "0.25", "currency": "EUR"}


@pytest.fixture
def operator(alice, program_of):
    alice.is_operator = True
    alice.save(update_fields=["is_operator"])
    return program_of(alice)


def test_prices_are_set_listed_changed_and_removed(operator, deployment):
    through = datetime(2026, 11, 2, 12, tzinfo=UTC)
    UsageDay.objects.create(
        deployment=deployment, day=date(2026, 11, 2), worker_seconds=7200, through=through
    )

    made = operator.post(PRICES, BODY)
    operator.post(PRICES, {**BODY, "validFrom": "2026-12-01", "amount": 0.5})
    again = operator.post(PRICES, {**BODY, "amount": "0.30"})

    assert made.status_code == again.status_code == 200, made.json()
    assert made.json()["amount"] == 0.25
    assert made.json()["createdBy"]["username"] == "alice@example.org"
    listed = operator.get(PRICES).json()
    assert listed["currency"] == "EUR"
    assert [(one["validFrom"], one["amount"]) for one in listed["prices"]] == [
        ("2026-12-01", 0.5),
        ("2026-11-01", 0.3),
    ]
    (used,) = operator.get("/usage").json()["usage"]
    assert used["cost"] == 0.6
    assert operator.delete(f"{PRICES}/2026-12-01").status_code == 204
    assert operator.delete(f"{PRICES}/2026-12-01").status_code == 404
    events = AuditEvent.objects.filter(action__startswith="price.").order_by("pk")
    assert [one.action for one in events] == ["price.set"] * 3 + ["price.removed"]


def test_a_currency_is_told_where_the_setting_holds(operator, settings):
    settings.WORKER_HOUR_PRICE, settings.CURRENCY = 1, "NOK"

    assert operator.get(PRICES).json() == {"prices": [], "currency": "NOK"}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"amount": -1}, "amount"),
        ({"amount": "1e9"}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"currency": "euro"}, "currency"),
        ({"currency": "eur"}, "currency"),
        ({"validFrom": "2026-13-01"}, "validFrom"),
        ({"validFrom": "9999-01-01"}, "validFrom"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(operator, wrong, field):
    answer = operator.post(PRICES, {**BODY, **wrong})

    assert answer.status_code == 400
    assert field in str(answer.json())
    assert not Price.objects.exists()


def test_another_currency_is_refused(operator):
    operator.post(PRICES, BODY)

    answer = operator.post(PRICES, {**BODY, "validFrom": "2026-12-01", "currency": "USD"})

    assert answer.status_code == 400
    assert answer.json()["fieldErrors"][0]["field"] == "currency"
    assert operator.delete(f"{PRICES}/yesterday").status_code in (400, 404)


def test_they_are_there_for_operators_alone(
    alice, bob, program_of, token_program, organization, client_of
):
    operator_by_cookie = client_of(alice)
    alice.is_operator = True
    alice.save(update_fields=["is_operator"])
    Price.objects.create(valid_from=date(2026, 11, 1), amount=1, currency="EUR")

    limited = program_of(alice, name="runs", limit="run")
    for program in (program_of(bob), token_program(organization, "owner"), limited):
        assert program.get(PRICES).status_code == 404
        assert program.post(PRICES, BODY).status_code == 404
        assert program.delete(f"{PRICES}/2026-11-01").status_code == 404
    assert operator_by_cookie.get(PRICES).status_code == 401
    assert Price.objects.count() == 1
