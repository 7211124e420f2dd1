"""What only a browser shows: a log that grows, and a ticket that travels in a form."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from playwright.sync_api import Browser, Page, Route

from apps.accounts.models import User
from apps.dataplane.fake.plane import FakePlane
from apps.deployments.models import Deployment
from tests.e2e.browser import new_context
from tests.observability.test_airflow_door import make_key
from tests.observability.test_log_pages import put_on_plane, write

pytest_plugins = ["tests.e2e.shared_browser"]
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def page(
    browser: Browser, live_server: Any, alice: User, client_of: Callable[[User], Client]
) -> Iterator[Page]:
    session = client_of(alice).cookies["sessionid"].value
    context = new_context(browser)
    context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    yield context.new_page()
    context.close()


def test_a_followed_log_grows_by_new_lines_alone(
    page: Page, live_server: Any, deployment: Deployment, plane: type[FakePlane]
) -> None:
    put_on_plane(deployment)
    write(plane, *(f"line {number}" for number in range(100)))
    page.goto(f"{live_server.url}/d/{deployment.ref}/logs/")

    write(plane, "a fresh line")
    page.wait_for_selector("#log-lines li:nth-child(101)")
    write(plane, "another one")
    page.wait_for_selector("#log-lines li:nth-child(102)")
    page.wait_for_timeout(2500)

    assert page.locator("#log-lines li").count() == 102
    assert page.locator("#log-lines li").last.inner_text().strip() == "another one"
    assert page.evaluate("(log => log.scrollTop > 0)(document.getElementById('log'))")


@pytest.mark.parametrize("width", [320, 1440])
def test_a_dag_file_is_chosen_among_many_with_long_names(
    page: Page, live_server: Any, deployment: Deployment, plane: type[FakePlane], width: int
) -> None:
    put_on_plane(deployment)
    names = [f"{'a_rather_long_folder/' * 8}file_{number:04}.py" for number in range(1000)]
    for name in names:
        plane.store.parse_lines[deployment.ref, name] = [f"parsed {name}"]
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{live_server.url}/d/{deployment.ref}/logs/?component=dag-processor")

    page.get_by_label("DAG file").select_option(names[700])
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("heading", name="file_0700.py").wait_for()

    assert "parsed" in page.locator("#log-lines li").last.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_opening_airflow_posts_the_ticket_at_once(
    page: Page, live_server: Any, deployment: Deployment, settings: Any
) -> None:
    airflow = settings.AIRFLOW_URL  # the content policy was written for this one
    make_key(settings)
    settings.AIRFLOW_URL = airflow
    seen: list[tuple[str, str, str, str]] = []

    def answer(route: Route) -> None:
        request = route.request
        origin = request.header_value("Origin") or ""
        seen.append((request.method, request.url, request.post_data or "", origin))
        route.fulfill(body="<h1>Airflow</h1>", content_type="text/html")

    page.route(f"{airflow}/**", answer)
    page.goto(
        f"{live_server.url}/airflow/{deployment.ref}/?next=/{deployment.ref}/dags",
        wait_until="commit",
    )
    page.wait_for_selector("h1:text-is('Airflow')")

    method, url, body, origin = seen[0]
    assert (method, url) == ("POST", f"{airflow}/{deployment.ref}/auth/portal/callback")
    assert origin == live_server.url, "Airflow refuses forms that come from elsewhere"
    assert body.startswith("token=eyJ")
    assert body.endswith("next=%2Fetl-prod-7f3c%2Fdags")
