"""A real Airflow behind a real Kubernetes API, opened in a real browser through the gateway.

The Airflow runs on this machine; an edge at the machine's own address makes it a pod's.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.sync_api import Browser, BrowserContext, Page, Response, Route
from playwright.sync_api import Error as BrowserError

from apps.dataplane.edge.roles import FRESH_SECONDS_OF_A_NO, Question
from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.kubernetes.proxy.gateway import make_app
from apps.dataplane.local.edge import server as edge
from tests.dataplane.local_world import local_world
from tests.dataplane.specs import PORTAL_URL, make_runtime, make_spec
from tests.dataplane.visitor import make_token
from tests.e2e.browser import new_context
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.stand_in import own_address, standing_in

pytest_plugins = ["tests.e2e.shared_browser"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not own_address(), reason="This machine has no address but loopback."),
]
REF = "open-comet"
# What the portal says of people at this moment.
ROLES = {"alice@example.org": "admin"}
MOST_SECONDS = 15.0
HAND_OVER = """<!doctype html><form method="post" action="{action}">
<input name="token" value="{token}"><input name="next" value="{next}">
<button>Open</button></form>"""


@pytest.fixture(scope="module")
def door(control_plane: ControlPlane) -> Iterator[str]:
    """The address of a gateway, before a cluster with one Airflow."""
    with local_world(make_runtime()) as world, pytest.MonkeyPatch.context() as patch:
        world.create(make_spec(REF, executor="local", queues=()))
        # The edge plays a pod here, which is asked under the pod's own address.
        patch.setattr(edge, "_is_ours", lambda request: True)
        pod = edge.make_app(world.home.edge_routes, origin="http://localhost:8081")
        address: Future[str] = Future()
        stop = threading.Event()
        run = _serve(control_plane, pod, address, stop)
        thread = threading.Thread(target=asyncio.run, args=(run,))
        thread.start()
        yield address.result(30)
        stop.set()
        thread.join(30)


async def _serve(
    plane: ControlPlane, pod: web.Application, address: "Future[str]", stop: threading.Event
) -> None:
    async def find(ref: str) -> Connection | None:
        return plane.connection if ref == REF else None

    async def ask_role(question: Question) -> str:
        return ROLES[question.person]

    app = make_app(find, origin="http://localhost:8081", portal_url=PORTAL_URL, ask_role=ask_role)
    gateway = TestServer(app)
    async with standing_in(plane, REF, pod), gateway:
        address.set_result(str(gateway.make_url("")).rstrip("/"))
        while not stop.is_set():
            await asyncio.sleep(0.1)


@pytest.fixture
def context(browser: Browser, door: str) -> Iterator[BrowserContext]:
    """A browser that was signed in by a page of the portal."""
    context = new_context(browser)
    context.route(f"{PORTAL_URL}/**", lambda route: _hand_over(route, door))
    page = context.new_page()
    page.goto(f"{PORTAL_URL}/airflow/{REF}/")
    page.click("button")
    page.wait_for_url(f"{door}/{REF}/dags")
    page.close()
    yield context
    context.close()


def _hand_over(route: Route, door: str) -> None:
    action = f"{door}/{REF}/auth/portal/callback"
    page = HAND_OVER.format(action=action, token=make_token(REF, role="admin"), next=f"/{REF}/dags")
    route.fulfill(body=page, content_type="text/html", headers={"Referrer-Policy": "origin"})


def test_the_ui_of_airflow_opens_signed_in(context: BrowserContext, door: str) -> None:
    seen: list[tuple[int, str]] = []

    def note(response: Response) -> None:
        seen.append((response.status, response.url))

    page = context.new_page()
    page.on("response", note)
    page.goto(f"{door}/{REF}/")
    page.get_by_role("link", name="Dags").first.wait_for()
    page.goto(f"{door}/{REF}/dags/welcome")
    page.get_by_text("welcome").first.wait_for()

    assert [answer for answer in seen if answer[0] >= 400] == []
    assert {urlsplit(url).netloc for _, url in seen} == {urlsplit(door).netloc}
    assert all(urlsplit(url).path.startswith(f"/{REF}/") for _, url in seen)
    assert "/api/v1/namespaces" not in page.content()
    cookies = {cookie["name"]: cookie["path"] for cookie in context.cookies()}
    assert cookies["_token"] == f"/{REF}/"


def test_a_program_signs_in_with_its_token(context: BrowserContext, door: str) -> None:
    [token] = [cookie["value"] for cookie in context.cookies() if cookie["name"] == "_token"]

    def dags(headers: dict[str, str]) -> int:
        connection = HTTPConnection(urlsplit(door).netloc, timeout=20)
        connection.request("GET", f"/{REF}/api/v2/dags", headers=headers)
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status

    assert dags({"Authorization": f"Bearer {token}"}) == 200
    assert dags({"Authorization": f"Bearer {token}", "Cookie": "_token=old"}) == 200
    assert dags({"Authorization": "Bearer wrong", "Cookie": f"_token={token}"}) in (401, 403)
    assert dags({"Authorization": "Basic abc", "Cookie": f"_token={token}"}) == 401
    assert dags({}) == 401


def test_a_role_that_is_taken_away_leads_an_open_page_to_the_portal(
    context: BrowserContext, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = context.new_page()
    page.goto(f"{door}/{REF}/dags")
    page.get_by_text("welcome").first.wait_for()

    monkeypatch.setitem(ROLES, "alice@example.org", "viewer")
    began = time.monotonic()
    while page.request.get(f"{door}/{REF}/api/v2/dags").status != 401:
        assert time.monotonic() - began < MOST_SECONDS, "the session goes on"
        page.wait_for_timeout(500)
    _is_led_to_the_portal(page, page.reload)

    page.wait_for_timeout(1_000 * FRESH_SECONDS_OF_A_NO)  # so that the next test is let in


def test_who_is_not_signed_in_is_sent_to_the_portal(browser: Browser, door: str) -> None:
    context = new_context(browser)
    page = context.new_page()

    asked = _is_led_to_the_portal(page, lambda: page.goto(f"{door}/{REF}/dags"))

    assert asked.endswith(f"?next=%2F{REF}%2Fdags")
    context.close()


def _is_led_to_the_portal(page: Page, open_page: Callable[[], object]) -> str:
    """Return where the browser is sent. The portal's name leads nowhere here, and a redirect is not
    routed as other requests are, so the page ends in an error.
    """
    begin = f"{PORTAL_URL}/airflow/{REF}/"
    with (
        page.expect_request(lambda request: request.url.startswith(begin)) as asked,
        suppress(BrowserError),
    ):
        open_page()
    return str(asked.value.url)
