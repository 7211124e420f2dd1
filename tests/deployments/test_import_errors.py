"""A DAG that cannot be imported: the badge, the overview and the logs say which, where and why."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from apps.accounts.models import User
from apps.dataplane.errors import Unreachable
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.status import LiveMetrics
from apps.deployments import tasks
from apps.deployments.badge import display_status
from apps.deployments.editing.services import deploy_code
from apps.deployments.models import Deployment
from apps.deployments.reconciling import surveys
from apps.deploys.models import Deploy
from tests.dataplane.test_import_errors import row
from tests.deployments.conftest import drive
from tests.deployments.pages import assert_well_made, text_of
from tests.deployments.test_figures import AT

pytestmark = pytest.mark.django_db
ClientOf = Callable[[User], Client]


@pytest.fixture(autouse=True)
def _nothing_is_kept() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture(autouse=True)
def _no_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "send", lambda messages: None)


@pytest.fixture
def browser(alice: User, client_of: ClientOf) -> Client:
    return client_of(alice)


@pytest.fixture
def broken(running: Deployment, plane: type[FakePlane]) -> Deployment:
    plane.store.airflows[running.ref].import_errors = [row()]
    return drive(running)


def deploy(deployment: Deployment, author: User, number: int, digest: str) -> Deploy:
    """Deploy code as `apps.deploys` does, without an archive."""
    operation = deploy_code(
        actor=author, deployment=deployment, digest=digest, summary=f"Deploy {number}"
    )
    assert operation.revision is not None
    return Deploy.objects.create(
        deployment=deployment,
        number=number,
        revision=operation.revision,
        digest=digest,
        file_name="dags.zip",
        size_bytes=1,
        n_files=1,
        created_by=author,
    )


def test_the_badge_says_degraded_not_healthy(broken: Deployment) -> None:
    status = display_status(broken)

    assert (status.word, status.tone) == ("Degraded", "warn")
    assert status.message == "1 DAG file cannot be imported. The other DAGs run."


def test_the_overview_tells_file_line_and_traceback(browser: Client, broken: Deployment) -> None:
    response = browser.get(f"/d/{broken.ref}/")

    assert_well_made(response)
    text = text_of(response)
    assert "1 DAG file cannot be imported" in text
    assert "etl/orders.py:12" in text
    assert "from etl.helpers import rows" in text
    assert "ModuleNotFoundError: No module named 'pandas'" in text
    assert "Roll back" not in text


def test_without_the_permission_to_read_logs_no_traceback_is_told(
    broken: Deployment, bob: User, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_perm = User.has_perm
    monkeypatch.setattr(
        User,
        "has_perm",
        lambda user, name, on=None: name != "deployment.logs.view" and has_perm(user, name, on),
    )

    text = text_of(client_of(bob).get(f"/d/{broken.ref}/"))

    assert "etl/orders.py:12" in text
    assert "ModuleNotFoundError" not in text


def test_what_a_dag_says_is_text_not_markup(
    browser: Client, running: Deployment, plane: type[FakePlane]
) -> None:
    hostile = row(filename="<img src=x>.py", stack_trace="<script>alert(1)</script>")
    plane.store.airflows[running.ref].import_errors = [hostile]
    drive(running)

    for page in ("", "logs/?level=error"):
        html = browser.get(f"/d/{running.ref}/{page}").content.decode()
        assert "<img src=x>" not in html
        assert "<script>alert" not in html
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_errors_in_the_logs_hold_the_import_errors(browser: Client, broken: Deployment) -> None:
    response = browser.get(f"/d/{broken.ref}/logs/?level=error")

    assert_well_made(response)
    assert "etl/orders.py:12" in text_of(response)
    assert "ModuleNotFoundError" in text_of(response)
    assert "etl/orders.py" in text_of(browser.get(f"/d/{broken.ref}/logs/?level=error&q=PANDAS"))
    assert "orders.py" not in text_of(browser.get(f"/d/{broken.ref}/logs/?level=error&q=numpy"))
    assert "orders.py" not in text_of(browser.get(f"/d/{broken.ref}/logs/"))


def test_the_deploy_before_is_one_click_away(
    browser: Client, running: Deployment, alice: User, bob: User, client_of: ClientOf,
    plane: type[FakePlane],
) -> None:  # fmt: skip
    for number, digest in enumerate(("a" * 64, "b" * 64, "b" * 64), 1):
        deploy(running, alice, number, digest)
        running = drive(running)
    plane.store.airflows[running.ref].import_errors = [row()]
    running = drive(running)

    html = browser.get(f"/d/{running.ref}/").content.decode()

    assert "Roll back to deploy 1" in text_of(browser.get(f"/d/{running.ref}/"))
    assert f'action="/d/{running.ref}/deploys/1/roll-back/"' in html
    refused = client_of(bob).get(f"/d/{running.ref}/")
    assert f"/d/{running.ref}/deploys/1/roll-back/" not in refused.content.decode()
    assert "Roll back to deploy 1" in text_of(refused)
    assert_well_made(refused)


def test_when_the_dag_is_mended_the_deployment_is_healthy_again(
    broken: Deployment, plane: type[FakePlane]
) -> None:
    plane.store.airflows[broken.ref].import_errors = []

    mended = drive(broken)

    assert display_status(mended).word == "Healthy"
    assert mended.observation["import_failures"] == []


def test_an_airflow_that_tells_no_reasons_is_degraded_all_the_same(
    browser: Client, running: Deployment, plane: type[FakePlane]
) -> None:
    plane.store.airflows[running.ref].import_errors = [row()]
    plane.store.fail("airflow", Unreachable("No."), times=None)

    seen = drive(running)

    assert display_status(seen).word == "Degraded"
    assert "has not said which files" in text_of(browser.get(f"/d/{running.ref}/"))


def test_the_list_counts_and_filters_degraded_ones(browser: Client, broken: Deployment) -> None:
    url = f"/w/{broken.workspace.slug}/deployments/"

    assert "Degraded" in text_of(browser.get(url))
    assert broken.name in text_of(browser.get(f"{url}?status=degraded"))
    assert "No matching Deployments" in text_of(browser.get(f"{url}?status=healthy"))


@pytest.fixture
def far(distant: Callable[..., Deployment], plane: type[FakePlane]) -> Deployment:
    """A Deployment on a cluster, whose looks tell nothing of DAG files."""
    deployment = distant()
    look = plane._look

    def silent(self: FakePlane, ref: str) -> Any:
        return replace(look(self, ref), import_errors=None)

    plane_look = pytest.MonkeyPatch()
    plane_look.setattr(plane, "_look", silent)
    yield deployment  # type: ignore[misc]
    plane_look.undo()


def test_on_a_cluster_a_pass_asks_airflow(far: Deployment, plane: type[FakePlane]) -> None:
    plane.store.airflows[far.ref].import_errors = [row(), row(filename="b.py")]

    seen = drive(far)

    assert display_status(seen).message == "2 DAG files cannot be imported. The other DAGs run."


def test_on_a_cluster_whoever_looks_keeps_the_errors_and_a_survey_leaves_them(
    far: Deployment, plane: type[FakePlane]
) -> None:
    airflow = plane.store.airflows[far.ref]
    airflow.import_errors = [row()]
    airflow.live_metrics = LiveMetrics(taken_at=AT, import_errors=1)

    tasks.measure(far.pk)
    surveys.survey(cluster_id=far.cluster_id)

    far.refresh_from_db()
    assert display_status(far).word == "Degraded"
    assert far.observation["import_failures"][0]["file"] == "etl/orders.py"
    airflow.import_errors, airflow.live_metrics = [], LiveMetrics(taken_at=AT, import_errors=0)
    tasks.measure(far.pk)
    far.refresh_from_db()
    assert display_status(far).word == "Healthy"
    assert far.observation["import_failures"] == []
