from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from django.db import transaction

from apps.dataplane.fake.plane import FakePlane
from tests.architecture.stage import Stage, build_stage


@pytest.fixture(scope="module")
def built_stage(django_db_setup: None, django_db_blocker: Any) -> Iterator[Stage]:
    """Build the stage once per module, in a transaction that ends with it."""
    FakePlane.store.reset()
    with django_db_blocker.unblock(), transaction.atomic():
        yield build_stage()
        transaction.set_rollback(True)


@pytest.fixture
def stage(built_stage: Stage, db: None) -> Iterator[Stage]:
    """Lend the stage to one test: what it writes goes with it, and cookies are put back."""
    cookies = {name: deepcopy(client.cookies) for name, client in built_stage.visitors.items()}
    yield built_stage
    for name, client in built_stage.visitors.items():
        client.cookies = cookies[name]
