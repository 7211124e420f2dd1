"""What only a browser shows of streams: lines and changes without a poll, and polls without one."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, Page

from apps.accounts.models import User
from apps.dataplane.fake.plane import FakePlane
from apps.deployments.models import Deployment, Health
from apps.observability.live import followers, hub, server
from apps.organizations.models import WorkspaceGrant
from tests.e2e.browser import new_context
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
