"""What a cluster's looks leave out: asked for while somebody looks, shown, and unknown with why."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.status import LiveMetrics, Usage
from apps.deployments import tasks
from apps.deployments.models import Deployment
from apps.deployments.reconciling import live_metrics
from tests.deployments.pages import assert_well_made, text_of

pytestmark = pytest.mark.django_db
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
TOLD = LiveMetrics(
    taken_at=AT,
    tasks={"default": (31, 4)},
    import_errors=3,
    heartbeats={"scheduler": AT},
    usage={"scheduler": Usage(memory_bytes=412 * 1024**2, cpu_millis=123)},
)


@pytest.fixture(autouse=True)
def _nothing_is_kept() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    messages: list[Any] = []
    monkeypatch.setattr(tasks, "send", messages.extend)
    return messages


@pytest.fixture
def browser(alice: User, client_of: Callable[[User], Client]) -> Client:
    return client_of(alice)


@pytest.fixture
def far(distant: Callable[..., Deployment], sent: list[Any]) -> Deployment:
    deployment = distant()
    sent.clear()
    return deployment


def tell(plane: type[FakePlane], deployment: Deployment, told: LiveMetrics) -> None:
    plane.store.airflows[deployment.ref].live_metrics = told
    tasks.measure(deployment.pk)


def test_a_look_at_the_page_asks_once_however_many_look(
    browser: Client, far: Deployment, sent: list[Any]
) -> None:
    for _ in range(3):
        text = text_of(browser.get(f"/d/{far.ref}/"))

    assert sent == [(tasks.measure, [far.pk], tasks.queue_of(3))]
    assert "Queued tasks unknown: Waiting for the first report." in text


def test_the_page_shows_what_was_told(
    browser: Client, far: Deployment, plane: type[FakePlane]
) -> None:
    tell(plane, far, TOLD)

    response = browser.get(f"/d/{far.ref}/")

    assert_well_made(response)
    text = text_of(response)
    for words in ("31 queued", "412 MiB", "0.12 CPU", "3 DAG files cannot be imported"):
        assert words in text
    assert "Last heartbeat" in text
    assert "unknown" not in text.lower()


def test_the_page_says_why_it_does_not_know(
    browser: Client, far: Deployment, plane: type[FakePlane]
) -> None:
    why = {"tasks_unknown": "No Airflow.", "usage_unknown": "The cluster has no metrics server."}
    tell(plane, far, LiveMetrics(taken_at=AT, **why))

    text = text_of(browser.get(f"/d/{far.ref}/"))

    assert "Queued tasks unknown: No Airflow." in text
    assert "Memory unknown: The cluster has no metrics server." in text


def test_a_cluster_that_does_not_answer_is_not_asked(
    browser: Client, far: Deployment, plane: type[FakePlane], sent: list[Any]
) -> None:
    tell(plane, far, TOLD)
    Cluster.objects.filter(pk=far.cluster_id).update(blind_until=timezone.now())

    text = text_of(browser.get(f"/d/{far.ref}/"))
    tasks.measure(far.pk)

    assert sent == []
    assert "Queued tasks unknown: The cluster does not answer." in text
    assert [call for call in plane.store.calls if call[0] == "live_metrics"] == [
        ("live_metrics", far.ref)
    ]


def test_this_machine_tells_by_itself_and_is_not_asked(
    browser: Client, running: Deployment, sent: list[Any]
) -> None:
    sent.clear()

    text = text_of(browser.get(f"/d/{running.ref}/"))

    assert sent == []
    assert "0 queued" in text
    assert "are unknown" not in text


def test_figures_are_kept_as_they_were_told(far: Deployment, plane: type[FakePlane]) -> None:
    tell(plane, far, TOLD)

    assert live_metrics.read_live_metrics(far) == TOLD


def test_a_deployment_that_is_gone_is_not_asked(plane: type[FakePlane]) -> None:
    tasks.measure(0)

    assert ("live_metrics", "") not in plane.store.calls


@pytest.mark.parametrize(("minutes", "is_said"), [(4, False), (7, True)])
def test_a_task_that_waits_for_long_is_said_at_its_queue(
    browser: Client, far: Deployment, plane: type[FakePlane], minutes: int, is_said: bool
) -> None:
    waiting = {"default": AT - timedelta(minutes=minutes)}
    tell(plane, far, replace(TOLD, waiting=waiting))

    text = text_of(browser.get(f"/d/{far.ref}/"))

    assert (f"Tasks wait for {minutes} minutes or longer." in text) == is_said
