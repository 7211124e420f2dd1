"""What only a browser shows of streams: lines and changes without a poll, and polls without one."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, Page

from apps.accounts.models import User
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.status import LogLine, LogPage
from apps.deployments.models import Deployment, Health
from apps.observability.live import followers, hub, server
from apps.organizations.models import WorkspaceGrant
from tests.e2e.browser import Inspector, new_context
from tests.e2e.test_charts_in_browser import save
from tests.observability.test_log_pages import put_on_plane, write
from tests.observability.test_prometheus import free_port

pytest_plugins = ["tests.e2e.shared_browser"]
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


class Streams:
    """A server of streams in a thread, which can be stopped and started again."""

    def __init__(self, port: int) -> None:
        self.listen = f"127.0.0.1:{port}"

    def start(self) -> None:
        self._ready, self._loop = threading.Event(), asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(20)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        async with server.serving(listen=self.listen) as self.hub:
            self._ready.set()
            await self._stop.wait()


@pytest.fixture
def streams(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Streams]:
    monkeypatch.setattr(followers, "READ_SECONDS", 0.1)
    monkeypatch.setattr(hub, "CHECK_SECONDS", 1.0)
    one = Streams(free_port())
    settings.HAS_STREAMS = True
    settings.AIRFLOW_URL = f"http://{one.listen}"
    policy = deepcopy(settings.CONTENT_SECURITY_POLICY)
    policy["DIRECTIVES"]["connect-src"] = ["'self'", settings.AIRFLOW_URL]
    settings.CONTENT_SECURITY_POLICY = policy
    one.start()
    yield one
    one.stop()


@pytest.fixture
def page(
    browser: Browser, live_server: Any, bob: User, client_of: Callable[[User], Client]
) -> Iterator[Page]:
    session = client_of(bob).cookies["sessionid"].value
    context = new_context(browser)
    context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    yield context.new_page()
    context.close()


def polls_of(page: Page, part: str) -> list[str]:
    """Note the requests for a part of an address from now on."""
    found: list[str] = []
    page.on("request", lambda request: found.append(request.url) if part in request.url else None)
    return found


def test_a_log_grows_without_a_poll_and_by_polls_without_a_stream(
    page: Page,
    live_server: Any,
    streams: Streams,
    deployment: Deployment,
    plane: type[FakePlane],
) -> None:
    put_on_plane(deployment)
    write(plane, *(f"line {number}" for number in range(100)))
    page.goto(f"{live_server.url}/d/{deployment.ref}/logs/")
    page.get_by_text("as it happens").wait_for()
    polls = polls_of(page, "/logs/tail/")

    write(plane, "a <b>fresh</b> line")
    page.wait_for_selector("#log-lines li:nth-child(101)")
    page.wait_for_timeout(4500)
    assert polls == []
    assert page.locator("#log-lines li").last.inner_text().endswith("a <b>fresh</b> line")
    assert page.evaluate("(log => log.scrollTop > 0)(document.getElementById('log'))")

    streams.stop()
    write(plane, "by a poll")
    page.wait_for_selector("#log-lines li:nth-child(102)")
    assert polls
    page.get_by_text("every 2 s").wait_for()
    streams.start()
    page.get_by_text("as it happens").wait_for(timeout=30_000)
    write(plane, "by a stream again")
    page.wait_for_selector("#log-lines li:nth-child(103)")
    page.wait_for_timeout(1000)
    assert page.locator("#log-lines li").count() == 103


def test_a_page_follows_a_change_at_once(
    page: Page, live_server: Any, streams: Streams, deployment: Deployment
) -> None:
    Deployment.objects.update(health=Health.HEALTHY)
    page.goto(f"{live_server.url}/d/{deployment.ref}/")
    page.wait_for_timeout(1500)
    assert streams.hub.counts()["viewers"] == 1
    polls = polls_of(page, f"/d/{deployment.ref}/")

    Deployment.objects.update(health=Health.UNHEALTHY, health_message="The scheduler is gone.")

    page.get_by_text("The scheduler is gone.").first.wait_for(timeout=1500)
    page.wait_for_timeout(6000)
    assert len(polls) <= 2


def test_whose_role_ends_reads_no_line_more(
    page: Page,
    live_server: Any,
    streams: Streams,
    bob: User,
    deployment: Deployment,
    plane: type[FakePlane],
) -> None:
    put_on_plane(deployment)
    write(plane, "before")
    page.goto(f"{live_server.url}/d/{deployment.ref}/logs/")
    page.get_by_text("as it happens").wait_for()

    WorkspaceGrant.objects.filter(user=bob).update(expires_at=timezone.now())
    page.get_by_text("No longer updated: reload the page.").wait_for()
    write(plane, "afterwards")
    page.wait_for_timeout(2500)

    assert page.get_by_text("afterwards").count() == 0
    assert streams.hub.counts()["viewers"] == 0


def test_errors_of_all_components_are_gone_through_one_by_one(
    page: Page,
    live_server: Any,
    deployment: Deployment,
    plane: type[FakePlane],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_on_plane(deployment)
    begin = timezone.now() - timedelta(minutes=5)

    def logs(_: FakePlane, *, component: str, **asked: Any) -> LogPage:
        lines = []
        for number in range(60):
            level = (
                "error    "
                if number % 30 == 9
                else "warning  "
                if number % 17 == 3
                else "info     "
            )
            text = f"[{level}] {component}: message {number} of a task-with-a-rather-long-name"
            at = begin + timedelta(seconds=number)
            lines.append(LogLine(at=at, component=component, text=text))
            if level.startswith("error"):
                lines.append(LogLine(at=None, component=component, text="  File x, line 1"))
        return LogPage(lines=() if asked["cursor"] else tuple(lines), cursor="1")

    monkeypatch.setattr(plane, "logs", logs)
    inspector = Inspector(page)
    address = f"{live_server.url}/d/{deployment.ref}/logs/?component=all&from=2020-01-01T00:00"
    inspector.visit(address)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(address)
    save(page, "component-logs-1440")
    button = page.get_by_role("link", name="Next error")

    seen = []
    for _ in range(3):
        button.click()
        seen.append(page.url.partition("#")[2])
        current = page.locator("li[aria-current]")
        assert current.count() == 1
        assert current.evaluate("one => one.getBoundingClientRect().top > 0")
    assert len(set(seen)) == 3
    page.set_viewport_size({"width": 320, "height": 800})
    page.emulate_media(color_scheme="dark")
    save(page, "component-logs-320-dark")
    page.goto(f"{live_server.url}/d/{deployment.ref}/logs/?component=all&q=(&pattern=on")
    save(page, "component-logs-wrong-320")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert [one for one in inspector.problems if "422" not in one] == []
