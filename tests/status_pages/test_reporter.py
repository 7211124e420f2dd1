"""The loop, one step at a time."""

from typing import Any

import pytest
from django.conf import settings
from django.utils.module_loading import import_string

from apps.status_pages import reporter
from apps.status_pages.copies.models import Copy
from apps.status_pages.setup.states import State
from tests.status_pages.examples import make_component, make_page, state_of

pytestmark = pytest.mark.django_db


def test_the_collector_starts_it():
    assert reporter.Reporter in [import_string(name) for name in settings.COLLECT_WITH]


def test_a_step_looks_at_components_and_writes_copies(organization: Any, deployment: Any):
    component = make_component(make_page(organization), deployment)

    reporter.Reporter().step()

    assert state_of(component) == State.OPERATIONAL
    assert Copy.objects.count() == 1


def test_a_part_that_fails_does_not_keep_the_others_from_their_work(
    organization: Any, monkeypatch: Any, caplog: Any
):
    make_component(make_page(organization))

    def fail(**_: Any) -> None:
        raise TypeError("a row of another version")

    monkeypatch.setattr(reporter, "evaluate", fail)
    reporter.Reporter().step()

    assert "status pages not kept" in caplog.text
    assert Copy.objects.count() == 1
