"""From the first link to a deleted Deployment: a whole portal, a real Airflow, a real browser."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Response, expect

from tests.e2e import steps
from tests.e2e.browser import Inspector, new_context
from tests.e2e.portal import Portal, running_portal
from tests.e2e.roles_in_airflow import follow_role_in_airflow

pytest_plugins = ["tests.e2e.shared_browser"]
pytestmark = pytest.mark.slow

NAME = "etl-prod"
FIRST_PAGE_BYTES = 60_000


@pytest.fixture(scope="module")
def portal(browser: Browser) -> Iterator[Portal]:
    with running_portal() as started:
        yield started


@pytest.fixture
def open_page(browser: Browser, portal: Portal) -> Iterator[Any]:
    contexts = []

    def make() -> Inspector:
        contexts.append(new_context(browser, base_url=portal.url))
        return Inspector(contexts[-1].new_page())

    yield make
    for context in contexts:
        context.close()


def test_a_person_gets_from_the_first_link_to_a_running_dag_and_back(
    portal: Portal, open_page: Any, tmp_path: Path
) -> None:
    ada = open_page()
    page: Page = ada.page

    # The first link makes the first administrator, an organization and a workspace.
    page.goto(portal.sign_in_link)
    ada.look()
    steps.set_up(page, portal.sign_in_link)
    ada.look()
    assert _first_page_bytes(page) <= FIRST_PAGE_BYTES

    # A Deployment, by a form and a review.
    steps.fill_new_deployment(page, name=NAME)
    ada.look()
    steps.review(page)
    ada.look()
    assert steps.SECRET not in page.content()
    steps.confirm(page, f"Create {NAME}")
    ref = page.url.split("/d/")[1].split("/")[0]
    ada.look()
    steps.wait_until_done(page)
    ada.look()
    page.goto(f"/d/{ref}/")
    expect(page.get_by_role("heading", level=1)).to_contain_text(NAME)
    expect(page.locator("main")).to_contain_text("Healthy")
    ada.look()
    ada.picture("deployment")

    # The log of all its components, by a stream through the edge, without a poll.
    page.goto(f"/d/{ref}/logs/?component=all")
    expect(page.get_by_text("as it happens")).to_be_visible()
    for component in ("scheduler", "api-server", "dag-processor"):
        expect(page.locator("#log-lines b", has_text=component).first).to_be_attached()
    ada.look()

    # Its Airflow, signed in, and an example DAG.
    airflow = steps.open_airflow(page)
    steps.wait_for_dag(airflow, f"/{ref}/", "welcome")
    steps.run_dag(airflow, f"/{ref}/", "welcome")

    # A DAG of one's own.
    steps.deliver(page, ref, tmp_path)
    steps.wait_until_done(page)
    ada.look()
    steps.wait_for_dag(airflow, f"/{ref}/", "hello")
    steps.run_dag(airflow, f"/{ref}/", "hello")

    # What it did is on its charts, and on its page.
    steps.wait_for_charts(page, ref)
    ada.look()
    ada.picture("analytics")
    page.goto(f"/d/{ref}/")
    expect(page.locator("#last-day")).to_be_visible()
    airflow.close()

    # A change: the difference before it is applied, and the revisions after.
    page.goto(f"/d/{ref}/configure/")
    ada.look()
    page.get_by_label("Max workers").fill("3")
    steps.review(page)
    expect(page.locator("main")).to_contain_text("Nothing restarts")
    ada.look()
    steps.confirm(page, "Apply revision 3")
    steps.wait_until_done(page)
    page.goto(f"/d/{ref}/revisions/")
    expect(page.get_by_role("row", name=re.compile("^3 · "))).to_contain_text("Current")
    ada.look()

    # Somebody else, who may look and no more.
    link = steps.invite(page, email="bo@example.org", role="Workspace Member")
    bo = open_page()
    bo.page.goto(link)
    bo.look()
    steps.accept(bo.page, link, name="Bo Berg")
    bo.look()
    refused = bo.page.goto(f"/d/{ref}/configure/")
    assert refused is not None
    assert refused.status == 403
    expect(bo.page.locator("main")).to_contain_text("Workspace Operator")
    expect(bo.page.locator("main")).to_contain_text("Ada Lind")
    bo.look()
    follow_role_in_airflow(page, bo.page, ref=ref, portal_url=portal.url)

    # The end of it.
    steps.delete(page, ref, name=NAME)
    steps.wait_until_done(page)
    ada.look()
    page.goto("/w/warehouse/deployments/")
    expect(page.locator("main")).to_contain_text("No Deployments yet")
    assert not (portal.home.deployments / ref).exists()
    assert ada.problems == []
    assert bo.problems == []


def _first_page_bytes(page: Page) -> int:
    """Count what a first visit to the page moves: files as they were sent, the page as a proxy
    compresses it.
    """
    total = 0

    def count(response: Response) -> None:
        nonlocal total
        if response.request.resource_type == "document":
            total += len(gzip.compress(response.body()))
        else:
            total += response.request.sizes()["responseBodySize"]

    fresh = page.context.browser
    assert fresh is not None
    context = new_context(fresh, storage_state=page.context.storage_state())
    visitor = context.new_page()
    visitor.on("requestfinished", lambda request: count(request.response()))
    visitor.goto(page.url, wait_until="networkidle")
    context.close()
    return total
