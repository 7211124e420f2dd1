from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User

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
