from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _limits(settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"reset_password": "2/m/ip"}


def test_who_asks_for_too_many_resets_gets_a_page_of_ours(alice: User) -> None:
    client = Client()

    answers = [client.post("/accounts/password/reset/", {"email": alice.email}) for _ in range(4)]

    assert answers[-1].status_code == 429
    assert "Too many attempts" in answers[-1].content.decode()
    assert "429.html" in [template.name for template in answers[-1].templates]


def test_nobody_guesses_passwords_while_nothing_counts_the_attempts(
    alice: User, settings: Any
) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"login": "30/m/ip"}
    settings.CACHES = {
        **settings.CACHES,
        "default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"},
    }

    answer = Client().post("/accounts/login/", {"login": alice.email, "password": PASSWORD})

    assert answer.status_code == 429
