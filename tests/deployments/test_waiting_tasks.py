"""Tasks that cannot start: the badge, the list and the overview say it, on both kinds of planes."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from django.core.cache import cache
from django.test import Client

from apps.accounts.models import User
from apps.dataplane.airflow_answers.waiting_tasks import COUNTS
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.status import AirflowResponse
from apps.deployments import tasks
from apps.deployments.badge import display_status, status_expression
from apps.deployments.models import Deployment
from tests.deployments.conftest import drive
from tests.deployments.pages import assert_well_made, text_of
from tests.deployments.test_figures import TOLD

pytestmark = pytest.mark.django_db
SENTENCE = "1 task waits for the queue gpu, which does not exist."


@pytest.fixture(autouse=True)
def _nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tasks, "send", lambda messages: None)
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def browser(alice: User, client_of: Callable[[User], Client]) -> Client:
    return client_of(alice)


def answer(plane: type[FakePlane], *waiting: list[object]) -> None:
    data = {"waiting": list(waiting), "tasks": []}
    plane.store.responses["GET", COUNTS] = AirflowResponse(status=200, data=data)


def test_the_overview_and_the_list_say_which_queue_is_missing(
    browser: Client, running: Deployment, plane: type[FakePlane]
) -> None:
    answer(plane, ["gpu", 1, 0])
    deployment = drive(running)

    overview = browser.get(f"/d/{deployment.ref}/")

    assert_well_made(overview)
    assert "Tasks cannot start" in text_of(overview)
    assert SENTENCE in text_of(overview)
    assert display_status(deployment).word == "Degraded"
    rows = Deployment.objects.annotate(group=status_expression())
    assert rows.get(pk=deployment.pk).group == "degraded"
    assert "Degraded" in text_of(browser.get(f"/w/{deployment.workspace.slug}/deployments/"))


def test_it_is_healthy_again_as_soon_as_nothing_waits(
    running: Deployment, plane: type[FakePlane]
) -> None:
    answer(plane, ["gpu", 1, 0])
    drive(running)
    answer(plane)

    deployment = drive(running)

    assert display_status(deployment).word == "Healthy"
    rows = Deployment.objects.annotate(group=status_expression())
    assert rows.get(pk=deployment.pk).group == "healthy"


def test_what_was_known_stays_when_airflow_does_not_report(
    running: Deployment, plane: type[FakePlane]
) -> None:
    answer(plane, ["gpu", 1, 0])
    drive(running)
    plane.store.responses.clear()

    assert drive(running).warnings == [SENTENCE]


def test_figures_of_an_open_page_bring_and_take_it_on_a_cluster(
    browser: Client, distant: Callable[..., Deployment], plane: type[FakePlane]
) -> None:
    deployment = distant()
    told = replace(TOLD, import_errors=0, warnings=(SENTENCE,))
    plane.store.airflows[deployment.ref].live_metrics = told
    tasks.measure(deployment.pk)

    assert SENTENCE in text_of(browser.get(f"/d/{deployment.ref}/"))
    deployment.refresh_from_db()
    assert display_status(deployment).message == SENTENCE

    plane.store.airflows[deployment.ref].live_metrics = replace(told, warnings=())
    tasks.measure(deployment.pk)

    assert SENTENCE not in text_of(browser.get(f"/d/{deployment.ref}/"))
    deployment.refresh_from_db()
    assert display_status(deployment).word == "Healthy"
