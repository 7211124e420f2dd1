"""The edge asks a portal that runs on this machine, or does not, who has which role."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer, unused_port

from apps.dataplane.edge.roles import NoAnswer, Question
from apps.dataplane.local.edge import server as edge
from apps.dataplane.local.edge.role_lookup import PortalDoor, ask_portal
from tests.dataplane.test_airflow_sessions import token

VIEWER = token()


@dataclass
class Portal:
    """Stands where the web server does. `answer` is what it says; None: it says nothing."""

    answer: Any = field(default_factory=lambda: {"role": "viewer"})
    status: int = 200
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    async def say(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        self.headers = dict(request.headers)
        await asyncio.sleep(0 if self.answer is not None else 30)
        return web.json_response(self.answer, status=self.status)


@dataclass
class Stage:
    url: str
    session: ClientSession
    portal: Portal

    async def received(self, **headers: str) -> dict[str, str]:
        """Ask through the edge; return the cookies and the authorization that Airflow got."""
        answer = await self.session.get(f"{self.url}/dep1/api/v2/dags", headers=headers)
        found: dict[str, str] = await answer.json()
        return found


async def _say_credentials(request: web.Request) -> web.Response:
    names = ("Cookie", "Authorization")
    return web.json_response(
        {name: request.headers[name] for name in names & request.headers.keys()}
    )


def on_stage(
    tmp_path: Path, act: Callable[[Stage], Awaitable[None]], *, is_running: bool = True
) -> None:
    async def run() -> None:
        portal, airflow, web_server = Portal(), web.Application(), web.Application()
        airflow.router.add_route("*", "/{path:.*}", _say_credentials)
        web_server.router.add_post("/airflow-role/", portal.say)
        routes = tmp_path / "routes.json"
        async with TestServer(airflow) as upstream, TestServer(web_server) as server:
            routes.write_text(json.dumps({"dep1": upstream.port}))
            portal_port = server.port if is_running else unused_port()
            door = PortalDoor(
                listener=lambda: f"127.0.0.1:{portal_port}",
                host="portal.test",
                secret="of-the-edge",
            )
            port = unused_port()
            app = edge.make_app(routes, portal=door, origin=f"http://127.0.0.1:{port}")
            async with TestServer(app, port=port) as front, ClientSession() as session:
                await act(Stage(str(front.make_url("")).rstrip("/"), session, portal))

    asyncio.run(run())


def test_it_asks_with_its_secret_who_has_which_role(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        received = await stage.received(Cookie=f"sessionid=s; _token={VIEWER}")

        assert received == {"Cookie": f"_token={VIEWER}"}
        assert stage.portal.asked == [
            {"ref": "dep1", "person": "bob@example.org", "portal_session": "17"}
        ]
        assert stage.portal.headers["Authorization"] == "Bearer of-the-edge"
        assert stage.portal.headers["Host"] == "portal.test"
        assert "Cookie" not in stage.portal.headers

    on_stage(tmp_path, act)


def test_a_role_taken_away_takes_cookie_and_token_from_the_request(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        stage.portal.answer = {"role": ""}

        by_cookie = await stage.received(Cookie=f"theme=dark; _token={VIEWER}")
        by_token = await stage.received(Authorization=f"Bearer {VIEWER}")

        assert by_cookie == {"Cookie": "theme=dark"}
        assert by_token == {}

    on_stage(tmp_path, act)


def test_a_page_full_of_requests_asks_once(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        cookie = f"_token={VIEWER}"

        received = await asyncio.gather(*(stage.received(Cookie=cookie) for _ in range(30)))

        assert received == [{"Cookie": cookie}] * 30
        assert len(stage.portal.asked) == 1

    on_stage(tmp_path, act)


@pytest.mark.parametrize(
    ("status", "answer"),
    [(500, {"role": ""}), (404, {"role": ""}), (302, {"role": ""}), (200, {}), (200, [1])]
    + [(200, {"role": None})],
)
def test_what_is_no_answer_takes_nothing_away(tmp_path: Path, status: int, answer: Any) -> None:
    async def act(stage: Stage) -> None:
        stage.portal.status, stage.portal.answer = status, answer

        assert await stage.received(Cookie=f"_token={VIEWER}") == {"Cookie": f"_token={VIEWER}"}
        assert len(stage.portal.asked) == 1

    on_stage(tmp_path, act)


def test_airflow_stays_open_while_the_portal_is_stopped(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        assert await stage.received(Cookie=f"_token={VIEWER}") == {"Cookie": f"_token={VIEWER}"}
        assert stage.portal.asked == []

    on_stage(tmp_path, act, is_running=False)


def test_airflow_stays_open_while_the_portal_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.dataplane.edge.roles.ANSWER_SECONDS", 0.05)

    async def act(stage: Stage) -> None:
        stage.portal.answer = None

        received = await asyncio.wait_for(stage.received(Cookie=f"_token={VIEWER}"), 5)

        assert received == {"Cookie": f"_token={VIEWER}"}

    on_stage(tmp_path, act)


def test_a_home_whose_ports_cannot_be_read_is_no_answer() -> None:
    def listener() -> str:
        raise FileNotFoundError("ports.json")

    async def ask() -> None:
        async with ClientSession() as session:
            door = PortalDoor(listener=listener, host="", secret="of-the-edge")
            await ask_portal(session, door, Question("dep1", "bob@example.org", ""))

    with pytest.raises(NoAnswer):
        asyncio.run(ask())


def test_the_secret_is_in_no_repr() -> None:
    door = PortalDoor(listener=lambda: "", host="", secret="of-the-edge")

    assert "of-the-edge" not in repr(door)
