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
from yarl import URL

from apps.dataplane.edge.roles import NoAnswer, Question
from apps.dataplane.local.edge import server as edge
from apps.dataplane.local.edge.role_lookup import PortalDoor, ask_portal
from tests.dataplane.test_airflow_sessions import token

VIEWER = token()
SIGN_IN = "Sign in through the portal, or send a token of Airflow."


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
    if "refused" in await request.text():
        return web.json_response({"detail": "a secret of Airflow"}, status=403)
    names = ("Cookie", "Authorization")
    return web.json_response(
        {name: request.headers[name] for name in names & request.headers.keys()}
    )


def on_stage(
    tmp_path: Path,
    act: Callable[[Stage], Awaitable[None]],
    *,
    is_running: bool = True,
    sleeps: Callable[[str], bool] = lambda _ref: False,
) -> None:
    async def run() -> None:
        portal, airflow, web_server = Portal(), web.Application(), web.Application()
        airflow.router.add_route("*", "/{path:.*}", _say_credentials)
        web_server.router.add_post("/airflow-role/", portal.say)
        routes = tmp_path / "routes.json"
        async with TestServer(airflow) as upstream, TestServer(web_server) as server:
            routes.write_text(json.dumps({"dep1": upstream.port, "down": unused_port()}))
            portal_port = server.port if is_running else unused_port()
            door = PortalDoor(
                listener=lambda: f"127.0.0.1:{portal_port}",
                url="http://portal.test",
                secret="of-the-edge",
            )
            port = unused_port()
            origin = f"http://127.0.0.1:{port}"
            app = edge.make_app(routes, portal=door, origin=origin, sleeps=sleeps)
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


def test_pages_of_the_edge_lead_back_to_the_portal(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        headers = {"Accept": "text/html", "Cookie": f"_token={VIEWER}"}
        for path, title in (("/down/", "Airflow does not answer"), ("/", "Not found")):
            async with stage.session.get(stage.url + path, headers=headers) as response:
                text = await response.text()
            assert f"<h1>{title}</h1>" in text
            assert '<a href="http://portal.test/">Astro Portal</a>' in text

    on_stage(tmp_path, act)


def test_a_role_taken_away_takes_cookie_and_token_from_the_request(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        stage.portal.answer = {"role": ""}

        by_cookie = await stage.received(Cookie=f"theme=dark; _token={VIEWER}")
        by_token = await stage.received(Authorization=f"Bearer {VIEWER}")

        assert by_cookie == by_token == {"detail": SIGN_IN}

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


def test_who_opens_an_airflow_that_hibernates_is_sent_to_the_portal(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        browser = {"Cookie": f"_token={VIEWER}", "Accept": "text/html"}
        address = f"{stage.url}/down/dags?tab=runs"

        page = await stage.session.get(address, headers=browser, allow_redirects=False)
        post = await stage.session.post(address, headers=browser, allow_redirects=False)

        assert page.status == 302
        wanted = "http://portal.test/airflow/down/?next=%2Fdown%2Fdags%3Ftab%3Druns"
        assert page.headers["Location"] == wanted
        assert post.status == 401

    on_stage(tmp_path, act, sleeps=lambda ref: ref == "down")


def test_an_airflow_that_is_down_for_another_reason_is_waited_for(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        browser = {"Cookie": f"_token={VIEWER}", "Accept": "text/html"}

        page = await stage.session.get(f"{stage.url}/down/", headers=browser)

        assert page.status == 502

    on_stage(tmp_path, act)


def test_a_home_whose_ports_cannot_be_read_is_no_answer() -> None:
    def listener() -> str:
        raise FileNotFoundError("ports.json")

    async def ask() -> None:
        async with ClientSession() as session:
            door = PortalDoor(listener=listener, url="", secret="of-the-edge")
            await ask_portal(session, door, Question("dep1", "bob@example.org", ""))

    with pytest.raises(NoAnswer):
        asyncio.run(ask())


def test_the_secret_is_in_no_repr() -> None:
    door = PortalDoor(listener=lambda: "", url="", secret="of-the-edge")

    assert "of-the-edge" not in repr(door)


HTML = {"Accept": "text/html"}
FORGED = token(sub="eve@example.org")


async def _told(stage: Stage, method: str, path: str, **options: Any) -> tuple[int, str, str, set]:
    """Return all that a stranger can compare, without the name that they asked for."""
    ref = path.split("/")[1]
    url = f"{stage.url}{path}"
    async with stage.session.request(method, url, allow_redirects=False, **options) as answer:
        text = f"{answer.headers.get('Location', '')} {await answer.text()}"
        names = set(answer.headers) - {"Date"}
    return answer.status, answer.reason or "", text.replace(ref, "REF"), names


@pytest.mark.parametrize("headers", [{}, HTML, {"Cookie": "_token=x"}])
@pytest.mark.parametrize("credential", ["", FORGED, "x", "x.y.z"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/"),
        ("HEAD", "/"),
        ("OPTIONS", "/"),
        ("GET", "/dags/x?y=1"),
        ("GET", "/static/assets/index.js"),
        ("GET", "/api/v2/monitor/health"),
        ("GET", "/api/v2/version"),
        ("GET", "/api/v2/auth/login"),
        ("GET", "/auth/portal/callback"),
        ("POST", "/api/v2/dags"),
        ("DELETE", "/api/v2/dags/x"),
        ("POST", "/auth/portal/callback"),
    ],
)
def test_strangers_do_not_learn_which_deployments_there_are(
    tmp_path: Path, method: str, path: str, headers: dict[str, str], credential: str
) -> None:
    async def act(stage: Stage) -> None:
        stage.portal.answer = {"role": ""}
        sent = headers | ({"Authorization": f"Bearer {credential}"} if credential else {})
        options: dict[str, Any] = {"headers": sent}
        if method == "POST":
            options["data"] = "refused"

        known = await _told(stage, method, f"/dep1{path}", **options)
        unknown = await _told(stage, method, f"/dep9{path}", **options)
        stopped = await _told(stage, method, f"/down{path}", **options)

        assert known == unknown == stopped
        assert known[0] in (302, 401)
        assert "secret of Airflow" not in known[2]

    on_stage(tmp_path, act)


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/dep1/dags/x?y=1", "/dep1/dags/x?y=1"),
        ("/dep1/api/v2/auth/login?next=/dep1/home", "/dep1/home"),
        ("/dep1", "/dep1"),
    ],
)
def test_browsers_of_strangers_are_led_to_sign_in_and_back(
    tmp_path: Path, path: str, wanted: str
) -> None:
    async def act(stage: Stage) -> None:
        url = f"{stage.url}{path}"
        async with stage.session.get(url, headers=HTML, allow_redirects=False) as answer:
            address = URL(answer.headers["Location"])

        assert str(address.with_query(None)) == "http://portal.test/airflow/dep1/"
        assert address.query["next"] == wanted
        assert answer.headers["Cache-Control"] == "no-store"

    on_stage(tmp_path, act)


def test_a_ticket_reaches_airflow_without_a_session(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        url = f"{stage.url}/dep1/auth/portal/callback"
        async with stage.session.post(url, data="token=good", headers={"Cookie": "a=b"}) as answer:
            assert (answer.status, await answer.json()) == (200, {"Cookie": "a=b"})

    on_stage(tmp_path, act)
