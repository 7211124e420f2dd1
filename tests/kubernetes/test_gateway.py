"""The gateway before a real Kubernetes API, whose service proxy reaches a real HTTP server."""

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, web
from aiohttp.test_utils import TestServer
from yarl import URL

from apps.dataplane.errors import Unreachable
from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.kubernetes.proxy import gateway, sessions
from tests.kubernetes.certificates import Authority
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.stand_in import own_address, standing_in

pytestmark = pytest.mark.skipif(
    not own_address(), reason="This machine has no address but loopback, which no Service reaches."
)

PAGE = (
    "<!doctype html><html><head><base href='/{ref}/'></head><body>"
    '<a href="/{ref}/dags?a=1&amp;b=2">DAGs</a><img src="./pin.png">'
    "<script>const path = '/{ref}/';</script></body></html>"
)
SECOND = web.AppKey("second", asyncio.Event)
LEFT = web.AppKey("left", asyncio.Event)
REF = web.AppKey("ref", str)


async def _echo(request: web.Request) -> web.StreamResponse:
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
    headers = {name.lower(): value for name, value in request.headers.items()}
    said = {"path": request.raw_path, "method": request.method, "headers": headers, "bytes": size}
    response = web.json_response(said, headers={"Cache-Control": "max-age=60"})
    ref = request.app[REF]
    response.headers.add("Set-Cookie", f"_token=good; Path=/{ref}/; HttpOnly")
    response.headers.add("Set-Cookie", f"sessionid=stolen; Path=/{ref}/")
    return response


async def _page(request: web.Request) -> web.StreamResponse:
    text = PAGE.replace("{ref}", request.app[REF])
    response = web.Response(text=text * 50, content_type="text/html")
    response.enable_compression()
    return response


async def _stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    await response.write(b'{"event": "first"}\n')
    await asyncio.wait_for(request.app[SECOND].wait(), 20)
    await response.write(b'{"event": "second"}\n')
    return response


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with suppress(OSError):
        while True:
            await response.write(b"on\n")
            await asyncio.sleep(0.1)
    request.app[LEFT].set()
    return response


async def _cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000000"})
    await response.prepare(request)
    await response.write(b"only this" * 10_000)
    await asyncio.sleep(0.5)
    assert request.transport
    request.transport.abort()
    return response


async def _relative(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound(f"/{request.app[REF]}/elsewhere?a=1")


async def _absolute(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound(f"http://{request.host}/{request.app[REF]}/elsewhere/")


async def _to_the_portal(request: web.Request) -> web.StreamResponse:
    location = "https://portal.test/airflow/x/?next=%2Fa"
    return web.Response(status=303, headers={"Location": location})


async def _refusal(request: web.Request) -> web.StreamResponse:
    return web.json_response({"detail": "Airflow says no"}, status=403)


def stand_in(ref: str) -> web.Application:
    app = web.Application(client_max_size=2**30)
    app[SECOND], app[LEFT], app[REF] = asyncio.Event(), asyncio.Event(), ref
    named = (_page, _stream, _endless, _cut, _relative, _absolute, _to_the_portal, _refusal)
    for answer in named:
        app.router.add_get(f"/{ref}/{answer.__name__.lstrip('_')}", answer)
    app.router.add_route("*", "/{path:.*}", _echo)
    return app


@dataclass
class Stage:
    """The gateway at `url`, an Airflow behind `ref`."""

    url: str
    ref: str
    session: ClientSession
    airflow: web.Application
    connections: dict[str, Any]
    sleeping: set[str]
    answers: list[ClientResponse] = field(default_factory=list)

    async def get(self, path: str, **options: Any) -> ClientResponse:
        url = URL(f"{self.url}/{self.ref}{path}", encoded=True)
        return await self.ask("GET", url, allow_redirects=False, **options)

    async def ask(self, method: str, url: URL | str, **options: Any) -> ClientResponse:
        answer = await self.session.request(method, url, **options)
        self.answers.append(answer)
        return answer

    def close(self) -> None:
        """End what no test has read to its end, or its connection ends as a warning elsewhere."""
        for answer in self.answers:
            answer.close()


@pytest.fixture
def on_stage(
    control_plane: ControlPlane, ref: str
) -> Callable[[Callable[[Stage], Awaitable[None]]], None]:
    connections: dict[str, Any] = {ref: control_plane.connection}
    sleeping: set[str] = set()

    async def sleeps(name: str) -> bool:
        return name in sleeping

    async def find(name: str) -> Connection | None:
        found = connections.get(name)
        if isinstance(found, Exception):
            raise found
        return found

    async def run(act: Callable[[Stage], Awaitable[None]]) -> None:
        app = stand_in(ref)
        door = gateway.make_app(
            find,
            origin="https://airflow.example.org",
            portal_url="https://portal.example.org",
            sleeps=sleeps,
        )
        airflow = standing_in(control_plane, ref, app)
        async with airflow, TestServer(door) as server, ClientSession() as session:
            url = str(server.make_url("")).rstrip("/")
            stage = Stage(url, ref, session, app, connections, sleeping)
            with closing(stage):
                await act(stage)

    # In a thread of its own: a browser of another file may have an event loop in this one.
    def play(act: Callable[[Stage], Awaitable[None]]) -> None:
        with ThreadPoolExecutor(max_workers=1) as pool:
            pool.submit(asyncio.run, run(act)).result()

    return play


On = Callable[[Callable[[Stage], Awaitable[None]]], None]


def test_a_request_reaches_airflow_as_the_browser_sent_it(on_stage: On, ref: str) -> None:
    async def act(stage: Stage) -> None:
        answer = await stage.get("/api/v2/dags/a%20b?path=/etc/passwd&y=%2F&timeout=1s")

        said = await answer.json()
        assert answer.status == 200
        assert said["path"] == f"/{ref}/api/v2/dags/a%20b?path=/etc/passwd&y=%2F&timeout=1s"
        assert said["headers"]["x-forwarded-host"] == "airflow.example.org"
        assert said["headers"]["x-forwarded-proto"] == "https"
        assert said["headers"]["x-forwarded-prefix"] == f"/{ref}"

    on_stage(act)


def test_no_credential_crosses_to_where_it_does_not_belong(
    on_stage: On, control_plane: ControlPlane
) -> None:
    async def act(stage: Stage) -> None:
        sent = {
            "Authorization": "Bearer of.the.cli",
            "Cookie": "sessionid=s; _token=old; theme=dark",
            "Impersonate-User": "nobody",
            "X-Remote-User": "root",
        }
        answer = await stage.get("/", headers=sent)

        assert answer.status == 200, "the cluster was not asked to act as nobody"
        received = (await answer.json())["headers"]
        assert received["cookie"] == "theme=dark; _token=of.the.cli"
        assert not {"authorization", "impersonate-user", "x-remote-user"} & set(received)
        assert control_plane.connection.token not in str(received) + str(answer.headers)
        assert "Set-Cookie" not in answer.headers
        assert not {"Audit-Id", "X-Kubernetes-Pf-Flowschema-Uid"} & set(answer.headers)

    on_stage(act)


def test_cookies_of_airflow_pass_and_stay_below_its_path(on_stage: On, ref: str) -> None:
    async def act(stage: Stage) -> None:
        answer = await stage.get("/", headers={"Cookie": "_token=mine"})

        assert (await answer.json())["headers"]["cookie"] == "_token=mine"
        assert answer.headers.getall("Set-Cookie") == [f"_token=good; Path=/{ref}/; HttpOnly"]
        assert answer.headers.getall("Cache-Control") == ["max-age=60"]
        assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"

    on_stage(act)


@pytest.mark.parametrize("encodings", ["gzip, deflate, br", "identity"])
def test_pages_name_the_browsers_addresses(on_stage: On, ref: str, encodings: str) -> None:
    async def act(stage: Stage) -> None:
        answer = await stage.get("/page", headers={"Accept-Encoding": encodings})

        text = await answer.text()
        assert "/api/v1/namespaces" not in text
        assert text.count(f'<base href="/{ref}/">') == 50
        assert text.count(f'<a href="/{ref}/dags?a=1&amp;b=2">') == 50
        assert text.count(f"const path = '/{ref}/';") == 50
        head = await stage.ask("HEAD", f"{stage.url}/{ref}/page")
        assert (head.status, head.content_type) == (200, "text/html")

    on_stage(act)


def test_redirects_stay_in_the_browsers_address(on_stage: On, ref: str) -> None:
    async def act(stage: Stage) -> None:
        relative = await stage.get("/relative")
        absolute = await stage.get("/absolute")
        portal = await stage.get("/to_the_portal")
        slash = await stage.get("?next=%2Fhome")

        assert relative.headers["Location"] == f"/{ref}/elsewhere?a=1"
        assert absolute.headers["Location"] == f"/{ref}/elsewhere/"
        assert portal.headers["Location"] == "https://portal.test/airflow/x/?next=%2Fa"
        assert (slash.status, slash.headers["Location"]) == (307, f"/{ref}/?next=/home")

    on_stage(act)


def test_each_piece_of_a_log_comes_as_it_is_written(on_stage: On) -> None:
    async def act(stage: Stage) -> None:
        answer = await stage.get("/stream")

        assert await asyncio.wait_for(answer.content.readline(), 5) == b'{"event": "first"}\n'
        stage.airflow[SECOND].set()
        assert await asyncio.wait_for(answer.content.readline(), 5) == b'{"event": "second"}\n'

    on_stage(act)


def test_a_browser_that_leaves_ends_the_request_in_the_cluster(on_stage: On) -> None:
    async def act(stage: Stage) -> None:
        answer = await stage.get("/endless")
        await answer.content.readline()

        answer.close()

        await asyncio.wait_for(stage.airflow[LEFT].wait(), 10)

    on_stage(act)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_forms_and_changes_pass(on_stage: On, method: str) -> None:
    async def act(stage: Stage) -> None:
        url = f"{stage.url}/{stage.ref}/change"
        answer = await stage.ask(method, url, data={"a": "1", "b": "2"})

        said = await answer.json()
        assert (said["method"], said["bytes"]) == (method, 7)
        assert said["headers"]["content-type"] == "application/x-www-form-urlencoded"

    on_stage(act)


def test_large_bodies_stream_up_until_they_are_too_large(
    on_stage: On, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "LARGEST_BODY_BYTES", 24 * 2**20)

    async def pieces(mebibytes: int) -> AsyncIterator[bytes]:
        for _ in range(mebibytes):
            yield b"x" * 2**20

    async def act(stage: Stage) -> None:
        url = f"{stage.url}/{stage.ref}/up"

        fits = await stage.ask("POST", url, data=io.BytesIO(b"x" * 20 * 2**20))
        declared = await stage.ask("POST", url, data=io.BytesIO(b"x" * 25 * 2**20))

        assert (await fits.json())["bytes"] == 20 * 2**20
        assert declared.status == 413
        with suppress(ClientError):  # the door may close before it was all sent
            assert (await stage.ask("POST", url, data=pieces(40))).status == 413

    on_stage(act)


def test_an_answer_cut_short_is_seen_as_cut_short(on_stage: On) -> None:
    async def act(stage: Stage) -> None:
        with pytest.raises(ClientError):
            await (await stage.get("/cut")).read()

    on_stage(act)


def test_what_airflow_refuses_is_airflows_answer(on_stage: On) -> None:
    async def act(stage: Stage) -> None:
        answer = await stage.get("/refusal")

        assert (answer.status, await answer.json()) == (403, {"detail": "Airflow says no"})

    on_stage(act)


@pytest.mark.parametrize(
    "path",
    ["/../x", "/%2e%2e/x", "/a%2f..%2fb", "//x", "/a\\b", "/%00", "/..;/x/.."],
)
def test_odd_addresses_reach_no_cluster(on_stage: On, path: str) -> None:
    async def act(stage: Stage) -> None:
        answer = await stage.get(path, headers={"Accept": "text/html"})

        assert answer.status == 404
        assert "<h1>Not found</h1>" in await answer.text()

    on_stage(act)


def test_only_the_airflow_of_the_name_is_reached(on_stage: On) -> None:
    async def act(stage: Stage) -> None:
        for path in ("/", "/unknown/", "/Dep1/", "/-dep1/", "/kube-system/"):
            answer = await stage.ask("GET", f"{stage.url}{path}")
            assert answer.status == 404

        for method in ("OPTIONS", "TRACE"):
            answer = await stage.ask(method, f"{stage.url}/{stage.ref}/")
            assert answer.status == 405

    on_stage(act)


async def said(stage: Stage, ref: str = "") -> tuple[int, str]:
    url = f"{stage.url}/{ref or stage.ref}/home"
    answer = await stage.ask("GET", url, headers={"Accept": "text/html"})
    return answer.status, await answer.text()


def test_an_airflow_that_is_not_there_yet_is_said_and_tried_again(on_stage: On) -> None:
    async def act(stage: Stage) -> None:
        stage.connections["not-yet"] = stage.connections[stage.ref]

        status, text = await said(stage, "not-yet")

        assert status == 502
        assert "Airflow of not-yet is not there yet" in text
        assert 'http-equiv="refresh" content="5"' in text
        assert "namespaces" not in text

    on_stage(act)


def test_what_asks_for_yaml_learns_nothing_of_the_cluster(on_stage: On) -> None:
    async def act(stage: Stage) -> None:
        stage.connections["not-yet"] = stage.connections[stage.ref]
        url = f"{stage.url}/not-yet/home"

        for accepted in ("application/yaml", "application/vnd.kubernetes.protobuf", "x/y"):
            answer = await stage.ask("GET", url, headers={"Accept": accepted})

            assert answer.status == 502
            assert list(await answer.json()) == ["detail"]

    on_stage(act)


async def without_pods(stage: Stage, control_plane: ControlPlane) -> None:
    where = f"--namespace=airflow-{stage.ref}"
    # As the controllers leave them; older API servers read Endpoints.
    for kind, none in (("endpointslice", "endpoints"), ("endpoints", "subsets")):
        await asyncio.to_thread(
            control_plane.kubectl, "patch", kind, "api-server", where, "--type=merge",
            f'--patch={{"{none}": []}}',
        )  # fmt: skip


def test_whoever_opens_an_airflow_that_hibernates_is_led_to_the_portal_which_wakes_it(
    on_stage: On, control_plane: ControlPlane
) -> None:
    async def act(stage: Stage) -> None:
        stage.sleeping.add(stage.ref)
        page = {"Accept": "text/html"}
        assert (await stage.get("/dags", headers=page)).status == 200, "it has not stopped yet"
        await without_pods(stage, control_plane)

        opened = await stage.get("/dags?a=1", headers=page)
        program = await stage.get("/api/v2/dags")

        assert opened.status == 302
        assert opened.headers["Location"] == (
            f"https://portal.example.org/airflow/{stage.ref}/?next=%2F{stage.ref}%2Fdags%3Fa%3D1"
        )
        assert program.status == 401

    on_stage(act)


def test_an_airflow_without_pods_is_said(on_stage: On, control_plane: ControlPlane) -> None:
    async def act(stage: Stage) -> None:
        await without_pods(stage, control_plane)

        status, text = await said(stage)

        assert status == 502
        assert "does not answer. It may be starting" in text

    on_stage(act)


def test_a_credential_that_the_cluster_refuses_is_said(on_stage: On) -> None:
    async def act(stage: Stage) -> None:
        stage.connections[stage.ref] = replace(stage.connections[stage.ref], token="wrong")

        status, text = await said(stage)

        assert status == 502
        assert "rejects the portal&#x27;s credential" in text
        assert "http-equiv" not in text

    on_stage(act)


def test_a_missing_right_is_said_and_the_right_one_is_enough(
    on_stage: On, control_plane: ControlPlane
) -> None:
    verbs = ["get", "create", "update", "patch", "delete"]
    rule = {"apiGroups": [""], "resources": ["services/proxy"], "verbs": verbs}
    narrow = {**rule, "resourceNames": ["api-server:8080"]}
    without = control_plane.service_account("gateway-without", rules=[])
    with_it = control_plane.service_account("gateway-with", rules=[narrow])

    async def act(stage: Stage) -> None:
        stage.connections[stage.ref] = control_plane.connection_with(token=without)
        status, text = await said(stage)
        assert status == 502
        assert "it lacks services/proxy" in text
        assert "gateway-without" not in text

        stage.connections[stage.ref] = control_plane.connection_with(token=with_it)
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
            url = f"{stage.url}/{stage.ref}/x"
            assert (await stage.ask(method, url)).status == 200

    on_stage(act)


def test_a_certificate_of_somebody_else_is_said(on_stage: On) -> None:
    async def act(stage: Stage) -> None:
        stranger = Authority("somebody else").certificate
        stage.connections[stage.ref] = replace(
            stage.connections[stage.ref], ca_certificate=stranger
        )

        status, text = await said(stage)

        assert status == 502
        assert "certificate that the registered CA did not sign" in text

    on_stage(act)


def test_a_cluster_that_does_not_answer_is_said_and_tried_again(on_stage: On) -> None:
    async def act(stage: Stage) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            server = f"https://127.0.0.1:{closed.getsockname()[1]}"
            stage.connections[stage.ref] = replace(stage.connections[stage.ref], server=server)

            status, text = await said(stage)

        assert status == 502
        assert "does not answer the portal. Airflow itself may go on well" in text
        assert "http-equiv" in text

    on_stage(act)


def test_a_cluster_that_takes_connections_and_says_nothing_is_not_waited_for(
    on_stage: On, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "TIMEOUT", ClientTimeout(connect=0.3))

    async def act(stage: Stage) -> None:
        with socket.socket() as hole:
            hole.bind(("127.0.0.1", 0))
            hole.listen()
            server = f"https://127.0.0.1:{hole.getsockname()[1]}"
            stage.connections["hole"] = replace(stage.connections[stage.ref], server=server)

            status, text = await asyncio.wait_for(said(stage, "hole"), 5)

        assert status == 502
        assert "does not answer the portal" in text
        assert (await said(stage))[0] == 200, "another cluster is as quick as ever"

    on_stage(act)


def test_an_address_that_the_operator_does_not_allow_is_not_connected_to(on_stage: On) -> None:
    async def act(stage: Stage) -> None:
        allowed = replace(stage.connections[stage.ref], networks=("127.0.0.0/8",))
        stage.connections[stage.ref] = replace(allowed, networks=())
        status, text = await said(stage)
        assert status == 502
        assert "PORTAL_CLUSTER_NETWORKS" in text

        stage.connections[stage.ref] = allowed
        assert (await said(stage))[0] == 200

    on_stage(act)


def test_a_cluster_that_cannot_be_known_now_is_said(on_stage: On) -> None:
    async def act(stage: Stage) -> None:
        stage.connections[stage.ref] = Unreachable("The portal's database does not answer.")

        status, text = await said(stage)

        assert status == 502
        assert "database does not answer" in text

    on_stage(act)


def test_an_airflow_that_hangs_takes_no_more_than_its_share(
    on_stage: On, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "MOST_REQUESTS_OF_ONE", 2)

    async def act(stage: Stage) -> None:
        first, second = await stage.get("/stream"), await stage.get("/stream")

        refused = await stage.get("/stream")
        stage.airflow[SECOND].set()
        await first.read()
        await second.read()

        assert refused.status == 503
        assert (await stage.get("/x")).status == 200

    on_stage(act)


def test_a_replaced_credential_is_used_at_once(on_stage: On, control_plane: ControlPlane) -> None:
    async def act(stage: Stage) -> None:
        assert (await stage.get("/x")).status == 200

        stage.connections[stage.ref] = replace(control_plane.connection, token="wrong")
        assert (await stage.get("/x")).status == 502

        stage.connections[stage.ref] = control_plane.connection
        assert (await stage.get("/x")).status == 200

    on_stage(act)
