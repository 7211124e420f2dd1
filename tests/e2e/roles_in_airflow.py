"""A role that changes or goes away in the portal while its person has Airflow open: part of the
journey, which has a portal, an Airflow and both people at hand.
"""

import re
import time

from playwright.sync_api import Page, expect

from tests.e2e import steps
from tests.e2e.browser import Inspector

MOST_SECONDS = 15.0


def follow_role_in_airflow(ada: Page, bo: Page, *, ref: str, portal_url: str) -> None:
    """Ada owns the workspace, Bo is a Workspace Member of it. Bo is signed out in the end."""
    _make_onlooker(ada)

    # A viewer reads no connections.
    bo.goto(f"/d/{ref}/")
    airflow = steps.open_airflow(bo)
    connections = f"{airflow.url.split(ref)[0]}{ref}/api/v2/connections"
    expect(airflow.get_by_role("link", name="Dags").first).to_be_visible()
    assert airflow.request.get(connections).status == 403
    Inspector(airflow).picture("airflow-of-a-viewer")

    # More rights: the same tab has them after the next page.
    _give(ada, "Workspace Operator")
    assert _seconds_until(airflow, connections, 401) <= MOST_SECONDS
    airflow.reload()
    expect(airflow.get_by_role("link", name="Dags").first).to_be_visible()
    assert airflow.request.get(connections).status == 200
    Inspector(airflow).picture("airflow-of-an-operator")

    # No rights in Airflow at all: the next page is one of the portal.
    _give(ada, "Onlooker")
    assert _seconds_until(airflow, connections, 401) <= MOST_SECONDS
    airflow.reload()
    expect(airflow.get_by_role("heading", level=1)).to_have_text("Your role does not allow this")
    expect(airflow.locator("main")).to_contain_text("Workspace Member")
    expect(airflow.locator("main")).to_contain_text("Ada Lind")
    assert airflow.url.startswith(f"{portal_url}/airflow/{ref}/")
    Inspector(airflow).picture("airflow-of-nobody")
    airflow.close()

    # Who signs out of the portal has left Airflow, too.
    _give(ada, "Workspace Member")
    bo.goto(f"/d/{ref}/")
    airflow = steps.open_airflow(bo)
    assert airflow.request.get(connections).status == 403
    _sign_out(bo)
    assert _seconds_until(airflow, connections, 401) <= MOST_SECONDS
    airflow.reload()
    expect(airflow).to_have_url(re.compile(f"{re.escape(portal_url)}/accounts/login/"))


def _make_onlooker(page: Page) -> None:
    """Make a role that sees Deployments, and no Airflow."""
    page.goto("/o/nordhavn-logistics/roles/new/workspace/")
    page.get_by_label("Name", exact=True).fill("Onlooker")
    page.get_by_label("View the Deployment, its health").check()
    page.get_by_role("button", name="Create role").click()
    expect(page).to_have_url(re.compile(r"/roles/(\d+/)?$"))


def _give(page: Page, role: str) -> None:
    page.goto("/w/warehouse/members/")
    page.get_by_role("link", name="Bo Berg").click()
    page.get_by_label(role).check()
    page.get_by_role("button", name="Save role").click()
    expect(page.get_by_text(f"Bo Berg is now {role}.")).to_be_visible()


def _sign_out(page: Page) -> None:
    page.goto("/accounts/logout/")
    page.locator("main").get_by_role("button", name="Sign out").click()
    expect(page).not_to_have_url(re.compile("/accounts/logout/"))


def _seconds_until(airflow: Page, address: str, status: int) -> float:
    """Ask as the open page does until Airflow answers so; return how long that took."""
    began = time.monotonic()
    while airflow.request.get(address).status != status:
        assert time.monotonic() - began < 3 * MOST_SECONDS, "the session goes on"
        airflow.wait_for_timeout(500)
    return time.monotonic() - began
