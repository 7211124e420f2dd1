"""Streams: who may open one, what it is given, and when it ends."""

import asyncio
import hashlib
import resource
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiohttp import ClientSession, UnixConnector, web
from allauth.usersessions.models import UserSession
from django.core import signing
from django.db import connection
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.sessions.services import end_session
from apps.dataplane.errors import Unreachable
from apps.dataplane.fake.plane import FakePlane
from apps.deployments.models import Deployment, Health, Operation, Phase
from apps.observability.component_logs.choices import Choice
from apps.observability.component_logs.lines import ShownLine, shown_lines
from apps.observability.component_logs.reading import Source
from apps.observability.live import followers, hub, rights, server, tickets, viewers
from apps.observability.live.followers import Chosen, Follower, Log, Written
from apps.observability.live.reading import last_that_fit
from apps.observability.live.rights import Claim, granted
from apps.observability.live.tickets import Ticket
from apps.observability.live.viewers import CHANGED, ENDED, IDLE, Viewer, event
from apps.organizations.models import WorkspaceGrant
from tests.observability.test_log_pages import put_on_plane, write

ClientOf = Callable[[User], Client]
LOGS = "/d/etl-prod-7f3c/logs/"
TICKET = Ticket(session_id="1", deployment_id=1, component="scheduler")
CLAIM = Claim("1", 1, "deployment.logs.view")


@pytest.fixture(autouse=True)
def _served(settings: Any) -> None:
    settings.HAS_STREAMS = True


def viewer_of(**chosen: str) -> Viewer:
    ticket = Ticket(session_id="1", deployment_id=1, component="scheduler", **chosen)
    return Viewer(ticket, CLAIM, "digest", check_at=0)


async def now_in(viewer: Viewer) -> str:
    """Return what waits to be sent, "" where nothing does."""
    try:
        return (await asyncio.wait_for(viewer.next(), 0.01)).decode()
    except TimeoutError:
        return ""


# ---------- Tickets and rights ----------


def ticket_of(client: Client, path: str = "live/", **query: str) -> Ticket:
    answer = client.get(f"/d/etl-prod-7f3c/{path}", query)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert answer.json()["url"].endswith(server.PATH)
    found = tickets.read(answer.json()["ticket"])
    assert found is not None
    return found


def test_a_page_gets_a_ticket_for_what_it_shows_and_charlie_none(
    alice: User, bob: User, charlie: User, deployment: Deployment, plane: Any, client_of: ClientOf
):
    put_on_plane(deployment)

    status = ticket_of(client_of(alice))
    log = ticket_of(client_of(bob), "logs/live/", component="triggerer", q="x", level="error")

    assert (status.component, status.permission) == ("", "deployment.view")
    assert (log.component, log.contains, log.level) == ("triggerer", "x", "error")
    assert log.permission == "deployment.logs.view"
    assert client_of(charlie).get("/d/etl-prod-7f3c/live/").status_code == 404
    assert client_of(bob).get(LOGS + "live/", {"component": "../x"}).status_code == 404


def test_without_streams_pages_poll(
    alice: User, deployment: Deployment, client_of: ClientOf, settings: Any
):
    settings.HAS_STREAMS = False

    assert client_of(alice).get("/d/etl-prod-7f3c/live/").status_code == 204


def test_only_a_fresh_ticket_of_this_portal_is_one(monkeypatch: pytest.MonkeyPatch):
    text = tickets.sign(TICKET)

    assert tickets.read(text) == TICKET
    assert tickets.read(text[:-1]) is None
    assert tickets.read(signing.dumps([1], salt="another")) is None
    assert tickets.read(signing.dumps([1], salt=tickets.SALT)) is None
    monkeypatch.setattr(tickets, "VALID_SECONDS", -1)
    assert tickets.read(text) is None


def test_a_claim_holds_as_long_as_session_role_and_deployment_do(
    bob: User, deployment: Deployment, client_of: ClientOf
):
    client = client_of(bob)
    client.get("/d/etl-prod-7f3c/")
    claim = rights.claim_of(ticket_of(client))
    key = str(client.session.session_key)
    assert granted(claim) == hashlib.sha256(key.encode()).hexdigest()
    assert not granted(Claim("not a number", deployment.pk, claim.permission))
    assert not granted(Claim(claim.session_id, deployment.pk, "deployment.update"))

    held = list(WorkspaceGrant.objects.filter(user=bob))
    WorkspaceGrant.objects.filter(user=bob).update(expires_at=timezone.now())
    assert rights.refused([claim]) == {claim}
    for grant in held:
        grant.save()
    assert not rights.refused([claim])

    Deployment.objects.update(phase=Phase.DELETED)
    assert not granted(claim)
    Deployment.objects.update(phase=Phase.ACTIVE)
    bob.set_password("another one of 12")
    bob.save()
    assert not granted(claim)


def test_an_ended_and_an_idle_session_hold_no_claim(
    bob: User, deployment: Deployment, client_of: ClientOf, settings: Any
):
    client = client_of(bob)
    client.get("/d/etl-prod-7f3c/")
    claim = rights.claim_of(ticket_of(client))

    settings.SESSION_IDLE_LIMIT = settings.SESSION_IDLE_LIMIT * 0
    assert not granted(claim)
    settings.SESSION_IDLE_LIMIT = timezone.timedelta(hours=1)
    assert granted(claim)
    end_session(session_key=UserSession.objects.get(user=bob).session_key)
    assert not granted(claim)


# ---------- What a viewer is given ----------


def test_an_event_cannot_be_ended_by_its_data():
    text = event("lines", "a\n\nevent: ended\r\rb", id="1\n\n2").decode()

    assert text == (
        "event: lines\nid: 12\ndata: a\ndata: \ndata: event: ended\ndata: \ndata: b\n\n"
    )


def test_changes_are_told_once_and_silence_is_filled():
    async def run() -> None:
        viewer, began = viewer_of(), asyncio.get_running_loop().time()
        first = asyncio.create_task(viewer.next())
        await asyncio.sleep(0)
        viewer.sweep(began + viewers.IDLE_SECONDS - 1)
        await asyncio.sleep(0)
        assert not first.done()
        viewer.sweep(began + viewers.IDLE_SECONDS + 1)
        viewer.sweep(began + viewers.IDLE_SECONDS + 2)
        assert await first == IDLE
        viewer.give(CHANGED)
        viewer.give(CHANGED)
        assert await viewer.next() == CHANGED
        viewer.give(ENDED)
        viewer.finish()
        viewer.give(CHANGED)
        assert await viewer.next() == ENDED
        assert await viewer.next() == b""

    asyncio.run(run())


def test_a_reader_that_is_too_slow_is_dropped():
    async def run() -> None:
        viewer = viewer_of()
        for _ in range(100):
            viewer.give(b"x" * 10_000)
        assert viewer.is_over
        assert len(await viewer.next()) <= viewers.MOST_BYTES

    asyncio.run(run())


def test_what_is_not_taken_in_time_ends_its_stream_alone():
    async def run() -> None:
        stuck, waiting, dropped = viewer_of(), viewer_of(), []
        for viewer in (stuck, waiting):
            viewer.drop = lambda viewer=viewer: dropped.append(viewer)
            viewer.give(CHANGED)
        assert await stuck.next() == await waiting.next() == CHANGED
        asking = asyncio.create_task(waiting.next())
        await asyncio.sleep(0)
        now = asyncio.get_running_loop().time()

        for seconds in (viewers.WRITE_SECONDS - 1, viewers.WRITE_SECONDS + 1):
            assert not dropped
            stuck.sweep(now + seconds)
            waiting.sweep(now + seconds)

        assert dropped == [stuck]
        assert stuck.is_over
        assert await asking == IDLE

    asyncio.run(run())


class Text:
    """A log as positions: its text from a place on."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.reads: list[str] = []
        self.problem: Exception | None = None

    async def __call__(self, log: Log, place: str, wanted: frozenset[Chosen]) -> Written:
        self.reads.append(place)
        if self.problem:
            raise self.problem
        found, end = self.lines[int(place or 0) :], str(len(self.lines))
        html = {one: "".join(x for x in found if one.choice.contains in x) for one in wanted}
        return Written(html=html, place=end, cursor=f"signed-{end}")


def test_those_who_came_from_different_places_are_read_for_together_soon():
    async def run() -> None:
        text = Text()
        text.lines = ["a", "b", "c"]
        follower = Follower(Log(1, Source(component="scheduler")), text)
        early, late, narrow = viewer_of(), viewer_of(), viewer_of(contains="c")
        for viewer, place in ((early, "0"), (late, "2"), (narrow, "0")):
            follower.add(viewer, place=place)

        await follower._turn()
        assert "data: abc" in await now_in(early)
        assert "data: c" in (given := await now_in(late))
        assert "id: signed-3" in given
        assert "data: c" in await now_in(narrow)
        assert follower.n_positions == 1

        text.lines.append("d")
        text.reads.clear()
        await follower._turn()
        assert text.reads == ["3"]
        assert "data: d" in await now_in(early)
        assert "data: d" in await now_in(late)
        assert await now_in(narrow) == ""
        assert follower.remove(early)
        assert follower.remove(late)
        assert not follower.remove(narrow)

    asyncio.run(run())


def test_a_log_that_cannot_be_read_is_said_and_tried_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(followers, "READ_SECONDS", 0.001)

    async def run() -> None:
        text = Text()
        text.problem = Unreachable("The cluster\ndoes not answer.")
        follower = Follower(Log(1, Source(component="scheduler")), text)
        viewer = viewer_of()
        follower.add(viewer, place="0")
        task = asyncio.create_task(follower.run())
        said = await viewer.next()
        text.problem, text.lines = None, ["back"]
        while b"back" not in said:
            said = await viewer.next()
        task.cancel()

    asyncio.run(run())


def test_lines_that_come_too_quickly_are_counted():
    lines = [ShownLine(id=str(number), at=None, text="x" * 40_000, tone="") for number in range(5)]

    fitting = last_that_fit(lines)

    assert [one.id for one in fitting] == ["", "3", "4"]
    assert fitting[0].text.startswith("… 3 lines")
    assert last_that_fit(lines[:2]) == lines[:2]
    assert len(last_that_fit([ShownLine(id="1", at=None, text="x" * 200_000, tone="")])) == 1


def test_a_hub_that_is_full_admits_nobody(monkeypatch: pytest.MonkeyPatch):
    async def run() -> None:
        full = hub.Hub(Text())
        monkeypatch.setattr(hub, "MOST_VIEWERS", 0)
        with pytest.raises(hub.NotAdmitted) as refused:
            await full.admit(TICKET, after="")
        assert refused.value.status == 503
        await full.close()

    asyncio.run(run())


def test_lines_are_kept_by_text_and_level_as_pages_keep_them(
    deployment: Deployment, plane: type[FakePlane]
):
    put_on_plane(deployment)
    write(plane, "2026-11-22T14:00:01Z [warning  ] slow A", "x [error    ] broken a", "b")
    lines = plane(deployment.cluster).logs(ref=deployment.ref, component="scheduler").lines

    shown = shown_lines(lines)
    assert len(Choice().keep(shown)) == 3
    assert [one.tone for one in Choice(contains="a", level="warning").keep(shown)] == [
        "warn",
        "bad",
    ]


MANY = 1_000


@pytest.fixture
def room_for_many() -> Iterator[None]:
    """Let this process open as many files as two ends of each connection are."""
    usual, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(usual, 3 * MANY)
    resource.setrlimit(
        resource.RLIMIT_NOFILE,
        (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most),
    )
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (usual, most))


def test_a_thousand_tabs_that_vanish_leave_nothing_and_their_log_is_read_no_more(
    monkeypatch: pytest.MonkeyPatch, room_for_many: None, tmp_path: Any
):
    monkeypatch.setattr(followers, "READ_SECONDS", 0.05)
    monkeypatch.setattr(rights, "granted", lambda claim: claim.session_id)

    async def run() -> None:
        text, path = Text(), str(tmp_path / "live.sock")
        served = hub.Hub(text)
        runner = web.AppRunner(
            server.make_app(served), access_log=None, handler_cancellation=True, shutdown_timeout=1
        )
        await runner.setup()
        await web.UnixSite(runner, path, backlog=MANY).start()
        connector = UnixConnector(path=path, limit=0)
        async with ClientSession(connector=connector) as session, asyncio.timeout(60):
            opened = await asyncio.gather(*(open_one(session, number) for number in range(MANY)))
            counts = served.counts()
            assert (counts["viewers"], counts["logs"]) == (MANY, 1)
            for response in opened:
                response.connection.transport.abort()
            while served.counts()["viewers"]:
                await asyncio.sleep(0.05)
            assert served.counts() == {"viewers": 0, "logs": 0, "positions": 0}
            assert not served._by_session
            reads = len(text.reads)
            await asyncio.sleep(0.2)
            assert len(text.reads) == reads
        await served.close()
        await runner.cleanup()

    asyncio.run(run())


async def open_one(session: ClientSession, number: int) -> Any:
    ticket = Ticket(session_id=f"{number}", deployment_id=1, component="scheduler")
    body = {"ticket": tickets.sign(ticket), "after": ""}
    response = await session.post(f"http://live{server.PATH}", data=body)
    assert response.status == 200
    return response


# ---------- With PostgreSQL and a browser's requests ----------

Use = Callable[["Opened"], Awaitable[None]]


class Opened:
    """A server of streams at a socket, as a browser meets it."""

    def __init__(self, session: ClientSession, served: hub.Hub) -> None:
        self.session, self.hub = session, served
        self.responses: list[Any] = []

    async def open(self, ticket: str, after: str = "", **headers: str) -> Any:
        body, address = {"ticket": ticket, "after": after}, f"http://live{server.PATH}"
        self.responses.append(await self.session.post(address, data=body, headers=headers))
        return self.responses[-1]

    @staticmethod
    async def read_until(response: Any, words: str) -> str:
        said = ""
        async with asyncio.timeout(20):
            while words not in said:
                chunk = await response.content.readany()
                assert chunk, f"it ended: {said}"
                said += chunk.decode()
        return said


def serve(tmp_path: Any, use: Use) -> None:
    async def run() -> None:
        socket = tmp_path / "live.sock"
        async with (
            server.serving(socket=socket) as served,
            ClientSession(connector=UnixConnector(path=str(socket))) as session,
        ):
            await asyncio.sleep(0.3)
            opened = Opened(session, served)
            await use(opened)
            for response in opened.responses:
                response.close()
        assert not socket.exists()

    asyncio.run(run())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followers, "READ_SECONDS", 0.05)
    monkeypatch.setattr(hub, "CHECK_SECONDS", 0.5)
    monkeypatch.setattr(hub, "TICK_SECONDS", 0.1)
    monkeypatch.setattr(viewers, "WRITE_SECONDS", 1.0)


def in_thread(act: Callable[[], Any]) -> Awaitable[Any]:
    def work() -> None:
        try:
            act()
        finally:
            connection.close()

    return asyncio.to_thread(work)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_page_is_told_of_each_change_and_of_the_end_of_its_session(
    quick: None, bob: User, deployment: Deployment, client_of: ClientOf, tmp_path: Any
):
    client = client_of(bob)
    client.get("/d/etl-prod-7f3c/")
    ticket = tickets.sign(ticket_of(client))

    async def use(opened: Opened) -> None:
        response = await opened.open(ticket)
        assert response.headers["Content-Type"].startswith("text/event-stream")
        await opened.read_until(response, "changed")
        for act in (
            lambda: Deployment.objects.update(health=Health.UNHEALTHY),
            lambda: Operation.objects.create(deployment=deployment, number=1, kind="update"),
        ):
            await in_thread(act)
            await opened.read_until(response, "event: changed")
        await in_thread(lambda: Deployment.objects.update(failures=3))
        assert (await opened.session.get("http://live/healthz")).status == 200
        await in_thread(lambda: end_session(session_key=str(client.session.session_key)))
        said = await opened.read_until(response, "event: ended")
        assert "changed" not in said
        assert await response.content.readany() == b""
        assert (await opened.open(ticket)).status == 403
        assert opened.hub.counts()["viewers"] == 0

    serve(tmp_path, use)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_log_goes_on_where_its_page_ended_until_the_role_does(
    quick: None,
    bob: User,
    deployment: Deployment,
    plane: type[FakePlane],
    client_of: ClientOf,
    tmp_path: Any,
):
    put_on_plane(deployment)
    write(plane, "before the page")
    client = client_of(bob)
    cursor = client.get(LOGS).context["log"].cursor
    ticket = tickets.sign(ticket_of(client, "logs/live/"))

    async def use(opened: Opened) -> None:
        responses = [await opened.open(ticket, cursor) for _ in range(30)]
        write(plane, "<b>after</b> the page")
        for response in responses:
            said = await opened.read_until(response, "after")
            assert "before" not in said
            assert "&lt;b&gt;after" in said
        assert opened.hub.counts() == {"viewers": 30, "logs": 1, "positions": 1}
        at = said.partition("id: ")[2].partition("\n")[0]
        write(plane, "while away")
        # Where its page ended is older than the last event, which holds.
        again = await opened.open(ticket, cursor, **{"Last-Event-ID": at})
        assert "after" not in await opened.read_until(again, "while away")

        grants = WorkspaceGrant.objects.filter(user=bob)
        await in_thread(lambda: grants.update(expires_at=timezone.now()))
        await opened.read_until(again, "event: ended")
        for response in responses:
            await opened.read_until(response, "event: ended")
            response.close()
        await asyncio.sleep(0.2)
        assert opened.hub.counts() == {"viewers": 0, "logs": 0, "positions": 0}

    serve(tmp_path, use)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_reader_that_stops_reading_is_dropped_and_the_others_go_on(
    quick: None,
    bob: User,
    deployment: Deployment,
    plane: type[FakePlane],
    client_of: ClientOf,
    tmp_path: Any,
):
    put_on_plane(deployment)
    write(plane, "first")
    client = client_of(bob)
    cursor = client.get(LOGS).context["log"].cursor
    ticket = tickets.sign(ticket_of(client, "logs/live/"))

    async def use(opened: Opened) -> None:
        stuck = await opened.open(ticket, cursor)
        good = await opened.open(ticket, cursor)
        seen = 0
        async with asyncio.timeout(60):
            while opened.hub.counts()["viewers"] > 1:
                write(plane, *["x" * 3_000] * 200)
                seen += len(await good.content.readany())
        write(plane, "the end")
        await opened.read_until(good, "the end")
        stuck.close()

    serve(tmp_path, use)
