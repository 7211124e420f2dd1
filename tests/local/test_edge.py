"""The edge in front of a real HTTP server that says what it received."""

import asyncio
import io
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientResponse, ClientSession, web
from aiohttp.test_utils import TestServer, unused_port
from yarl import URL

from apps.dataplane.local.edge import server as edge

# What an Airflow could say in them would hold for its neighbors, or for a proxy in front.
WHOLE_ORIGIN = (
    "Service-Worker-Allowed",
    "Clear-Site-Data",
    "Strict-Transport-Security",
    "Alt-Svc",
    "Report-To",
    "Reporting-Endpoints",
    "NEL",
    "Accept-CH",
    "Refresh",
    "Link",
    "SourceMap",
    "X-SourceMap",
    "Origin-Agent-Cluster",
    "Permissions-Policy",
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "Set-Login",
    "Speculation-Rules",
    "X-Accel-Redirect",
    "X-Sendfile",
    "Public-Key-Pins",
)


async def _echo(request: web.Request) -> web.StreamResponse:
    body = await request.read()
    response = web.json_response(
        {
            "path": request.raw_path,
            "method": request.method,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "body_bytes": len(body),
        }
    )
    response.headers.add("Set-Cookie", "_token=good; Path=/dep1/; HttpOnly")
    response.headers.add("Set-Cookie", '_token=""; Path=/; Max-Age=0')
    response.headers.add("Set-Cookie", "sessionid=stolen; Path=/dep1/")
    # Browsers send what a cookie without a name holds as it is: like the portal's own.
    response.headers.add("Set-Cookie", "=sessionid=stolen; Path=/dep1/")
    response.headers.add("Set-Cookie", "sessionid; Path=/dep1/")
    response.headers.add("Set-Cookie", "other=1; Path=/dep1/; Domain=localhost")
    response.headers.add("Set-Cookie", "neighbor=1; Path=/dep10/")
    response.headers.update(dict.fromkeys(WHOLE_ORIGIN, "1"))
    response.headers["ETag"] = '"1"'
    response.headers["Connection"] = "X-Secret-Hop"
    response.headers["X-Secret-Hop"] = "1"
    return response


async def _stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"first\n")
    await asyncio.wait_for(request.app[SECOND].wait(), 10)
    await response.write(b"second\n")
    return response


async def _cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"only this")
    assert request.transport
    request.transport.abort()
    return response


async def _live(request: web.Request) -> web.StreamResponse:
    form = await request.post()
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream",
            "Access-Control-Allow-Origin": "*",
            "Set-Cookie": "a=b",
        }
    )
    await response.prepare(request)
    names = [name.lower() for name in request.headers]
    said = {"ticket": form["ticket"], "headers": names}
    await response.write(json.dumps(said).encode() + b"\n")
    await asyncio.sleep(0.2)
    return response


async def _redirect(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/dep1/elsewhere")


SECOND = web.AppKey("second", asyncio.Event)


@dataclass
class Stage:
    """The edge at `url`, an upstream behind `/dep1`, and nothing behind `/down`."""

    url: str
    session: ClientSession
    routes: Path
    upstream: web.Application
    live: Path

    async def get(self, path: str, **options: Any) -> ClientResponse:
        return await self.session.get(URL(f"{self.url}{path}", encoded=True), **options)


def on_stage(tmp_path: Path, act: Callable[[Stage], Awaitable[None]]) -> None:
    async def run() -> None:
        app = web.Application(client_max_size=64 * 2**20)
        app[SECOND] = asyncio.Event()
        app.router.add_get("/dep1/stream", _stream)
        app.router.add_get("/dep1/cut", _cut)
        app.router.add_get("/dep1/redirect", _redirect)
        app.router.add_route("*", "/{path:.*}", _echo)
        routes = tmp_path / "routes.json"
        async with TestServer(app) as upstream:
            routes.write_text(json.dumps({"dep1": upstream.port, "down": unused_port()}))
            port = unused_port()
            url = f"http://localhost:{port}"
            live = tmp_path / "live.sock"
            front = TestServer(edge.make_app(routes, live=live, origin=url), port=port)
            async with front, ClientSession() as session:
                await act(Stage(f"http://127.0.0.1:{port}", session, routes, app, live))

    asyncio.run(run())


def test_it_keeps_the_path_and_the_query_as_they_are(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        answer = await stage.get("/dep1/api/v2/dags/a%2Fb%20c?x=1&y=%2F")

        assert (await answer.json())["path"] == "/dep1/api/v2/dags/a%2Fb%20c?x=1&y=%2F"

    on_stage(tmp_path, act)


def test_it_passes_streams_on_without_cookies_and_refuses_them_where_none_are(
    tmp_path: Path,
) -> None:
    async def act(stage: Stage) -> None:
        url, sent = f"{stage.url}{edge.LIVE_PATH}", {"Cookie": "sessionid=s", "X-Who": "me"}
        async with stage.session.post(url, data={"ticket": "t"}, headers=sent) as answer:
            assert answer.status == 503
        app = web.Application()
        app.router.add_post(edge.LIVE_PATH, _live)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.UnixSite(runner, str(stage.live)).start()
        async with stage.session.post(url, data={"ticket": "t"}, headers=sent) as answer:
            first = json.loads(await answer.content.readline())
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert answer.headers["Content-Type"] == "text/event-stream"
            assert "Set-Cookie" not in answer.headers
        assert first["ticket"] == "t"
        assert not {"cookie", "x-who"} & set(first["headers"])
        assert (await stage.get(edge.LIVE_PATH)).status == 404
        await runner.cleanup()

    on_stage(tmp_path, act)


def test_it_sends_the_browsers_cookies_without_the_portals(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        cookies = "sessionid=s; _token=t; __Host-sessionid=h; csrftoken=c; theme=dark"
        answer = await stage.get("/dep1/", headers={"Cookie": cookies})

        assert (await answer.json())["headers"]["cookie"] == "_token=t; theme=dark"

    on_stage(tmp_path, act)


def test_it_lets_only_cookies_below_the_deployments_path_through(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        answer = await stage.get("/dep1/")

        assert answer.headers.getall("Set-Cookie") == ["_token=good; Path=/dep1/; HttpOnly"]

    on_stage(tmp_path, act)


def test_it_writes_forwarded_headers_anew_and_drops_hop_by_hop_ones(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        sent = {
            "X-Forwarded-For": "6.6.6.6",
            "X-Forwarded-User": "root",
            "X_Forwarded_For": "6.6.6.6",
            "Forwarded": "for=6.6.6.6",
            "X-Real-IP": "6.6.6.6",
            "True-Client-IP": "6.6.6.6",
            "Remote-User": "root",
            "Connection": "X-Hop",
            "X-Hop": "1",
        }
        answer = await stage.get("/dep1/", headers=sent)

        received = (await answer.json())["headers"]
        assert received["x-forwarded-for"] == "127.0.0.1"
        assert received["x-forwarded-prefix"] == "/dep1"
        known = stage.url.removeprefix("http://").replace("127.0.0.1", "localhost")
        assert received["host"] == received["x-forwarded-host"] == known
        assert "x-forwarded-user" not in received
        assert "6.6.6.6" not in str(received)
        assert "root" not in received.values()
        assert "x-hop" not in received
        assert "X-Secret-Hop" not in answer.headers

    on_stage(tmp_path, act)


def test_it_drops_what_speaks_for_more_than_one_answer(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        answer = await stage.get("/dep1/")

        assert not set(WHOLE_ORIGIN) & set(answer.headers)
        assert answer.headers["ETag"] == '"1"'
        assert answer.headers["Content-Type"].startswith("application/json")

    on_stage(tmp_path, act)


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "evil.test:{port}",
        "localhost",
        "localhost:1",
        "localhost:{port}.evil.test",
        "evil.test@localhost:{port}",
        "localhost:x",
        "[::1",
        "localhost:{port}/dep1",
    ],
)
def test_no_other_host_is_served(tmp_path: Path, host: str) -> None:
    async def act(stage: Stage) -> None:
        port = str(URL(stage.url).port)
        headers = {"Host": host.replace("{port}", port)}
        for path in ("/dep1/", "/unknown/", "/dep1/../down/"):
            answer = await stage.get(path, headers=headers)

            assert answer.status == 421
            assert "dep1" not in await answer.text()

    on_stage(tmp_path, act)


def test_this_machine_may_be_called_by_any_of_its_own_names(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        port = URL(stage.url).port
        for name in ("localhost", "127.0.0.1", "[::1]", "LOCALHOST"):
            answer = await stage.get("/dep1/", headers={"Host": f"{name}:{port}"})

            assert (await answer.json())["headers"]["host"] == f"localhost:{port}"

    on_stage(tmp_path, act)


def test_it_adds_security_headers(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        answer = await stage.get("/dep1/")

        assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "aiohttp" not in answer.headers["Server"]

    on_stage(tmp_path, act)


def test_it_streams_a_large_body_up(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        size = 20 * 2**20
        answer = await stage.session.post(f"{stage.url}/dep1/upload", data=io.BytesIO(b"x" * size))

        assert (await answer.json())["body_bytes"] == size

    on_stage(tmp_path, act)


def test_it_hands_on_each_piece_of_an_answer_as_it_comes(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        answer = await stage.get("/dep1/stream")

        assert await asyncio.wait_for(answer.content.readline(), 5) == b"first\n"
        stage.upstream[SECOND].set()
        assert await asyncio.wait_for(answer.content.readline(), 5) == b"second\n"

    on_stage(tmp_path, act)


def test_an_answer_cut_short_upstream_is_seen_as_cut_short(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        with pytest.raises(ClientError):
            await (await stage.get("/dep1/cut")).read()

    on_stage(tmp_path, act)


def test_it_hands_on_redirects_and_adds_the_missing_slash(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        redirect = await stage.get("/dep1/redirect", allow_redirects=False)
        slash = await stage.get("/dep1?next=%2Fhome", allow_redirects=False)

        assert (redirect.status, redirect.headers["Location"]) == (302, "/dep1/elsewhere")
        assert (slash.status, slash.headers["Location"]) == (307, "/dep1/?next=/home")

    on_stage(tmp_path, act)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/unknown/",
        "/Dep1/",
        "/dep1/../down/",
        "/dep1/%2e%2e/down/",
        "/dep1/a%2f..%2fb",
        "/dep1//x",
    ]
    + ["/dep1/a\\b", "/dep1/%00", "//dep1/", "/-dep1/"],
)
def test_it_refuses_unknown_and_odd_addresses(tmp_path: Path, path: str) -> None:
    async def act(stage: Stage) -> None:
        answer = await stage.get(path, headers={"Accept": "text/html"}, allow_redirects=False)

        assert answer.status == 404
        assert "<h1>Not found</h1>" in await answer.text()

    on_stage(tmp_path, act)


def test_a_page_says_that_airflow_does_not_answer_and_tries_again(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        page = await stage.get("/down/home", headers={"Accept": "text/html"})
        answer = await stage.get("/down/api/v2/dags")

        assert page.status == answer.status == 502
        text = await page.text()
        assert 'http-equiv="refresh" content="5"' in text
        assert "Airflow of down does not answer" in text
        assert "does not answer" in (await answer.json())["detail"]

    on_stage(tmp_path, act)


def test_it_sees_new_routes_and_keeps_the_last_good_ones(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        routes = json.loads(stage.routes.read_text())
        assert (await stage.get("/dep2/")).status == 404

        stage.routes.write_text(json.dumps({**routes, "dep2": routes["dep1"]}))
        assert (await stage.get("/dep2/")).status == 200

        stage.routes.write_text("{half")
        assert (await stage.get("/dep2/")).status == 200

        stage.routes.unlink()
        assert (await stage.get("/dep2/")).status == 404

    on_stage(tmp_path, act)


def test_its_log_holds_no_query(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def act(stage: Stage) -> None:
        await stage.get("/down/callback?token=secret")

        said = [message for name, _, message in caplog.record_tuples if name == edge.__name__]
        assert said == ["airflow down does not answer: ClientConnectorError"]

    on_stage(tmp_path, act)


async def _say_gateway(request: web.Request) -> web.Response:
    return web.json_response({"gateway": request.raw_path, "cookies": dict(request.cookies)})


def with_gateway(tmp_path: Path, act: Callable[[ClientSession, str], Awaitable[None]]) -> None:
    async def run() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", _say_gateway)
        runner = web.AppRunner(app)
        await runner.setup()
        address = tmp_path / "gateway.sock"
        await web.UnixSite(runner, str(address)).start()
        port = unused_port()
        origin = f"http://127.0.0.1:{port}"
        front = edge.make_app(tmp_path / "routes.json", gateway=address, origin=origin)
        server = TestServer(front, port=port)
        async with server, ClientSession() as session:
            await act(session, str(server.make_url("")).rstrip("/"))
        await runner.cleanup()

    asyncio.run(run())


def test_what_is_not_on_this_machine_is_asked_for_at_the_gateway(tmp_path: Path) -> None:
    async def act(session: ClientSession, url: str) -> None:
        cookies = {"Cookie": "sessionid=s; _token=t"}

        answer = await session.get(f"{url}/far-away/dags?x=1", headers=cookies)
        odd = await session.get(URL(f"{url}/far-away//dags", encoded=True))

        said = await answer.json()
        assert said == {"gateway": "/far-away/dags?x=1", "cookies": {"_token": "t"}}
        assert odd.status == 404

    with_gateway(tmp_path, act)


def test_a_gateway_that_ended_is_said(tmp_path: Path) -> None:
    async def act(session: ClientSession, url: str) -> None:
        dead = socket.socket(socket.AF_UNIX)
        (tmp_path / "gateway.sock").unlink()
        dead.bind(str(tmp_path / "gateway.sock"))
        dead.close()

        answer = await session.get(f"{url}/far-away/", headers={"Accept": "text/html"})

        assert answer.status == 502
        assert 'http-equiv="refresh"' in await answer.text()

    with_gateway(tmp_path, act)
