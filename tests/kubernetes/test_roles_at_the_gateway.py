"""The gateway before a real Kubernetes API, asking the portal's database who has which role."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from apps.dataplane.edge.roles import NoAnswer, Question
from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.kubernetes.proxy import gateway
from tests.dataplane.test_airflow_sessions import token
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.stand_in import own_address, standing_in
from tests.kubernetes.test_gateway import stand_in

pytestmark = pytest.mark.skipif(
    not own_address(), reason="This machine has no address but loopback, which no Service reaches."
)
VIEWER = token()


@dataclass
class Stage:
    """The gateway at `url`; `role` is what the portal says, None for nothing."""

    url: str = ""
    session: Any = None
    role: str | None = "viewer"
    asked: list[Question] = field(default_factory=list)

    async def ask(self, question: Question) -> str:
        self.asked.append(question)
        if self.role is None:
            raise NoAnswer("gone")
        return self.role

    async def received(self, **headers: str) -> dict[str, str]:
        """Ask through the gateway; return the headers that Airflow got, {} for a stranger."""
        async with self.session.get(f"{self.url}/api/v2/dags", headers=headers) as answer:
            said = await answer.json()
        return dict(said["headers"]) if answer.status != 401 else {}


@pytest.fixture
def on_stage(
    control_plane: ControlPlane, ref: str
) -> Callable[[Callable[[Stage], Awaitable[None]]], None]:
    async def find(name: str) -> Connection | None:
        return control_plane.connection

    async def run(act: Callable[[Stage], Awaitable[None]]) -> None:
        stage = Stage()
        door = gateway.make_app(find, origin="https://airflow.example.org", ask_role=stage.ask)
        airflow = standing_in(control_plane, ref, stand_in(ref))
        async with airflow, TestServer(door) as server, ClientSession() as session:
            stage.url, stage.session = str(server.make_url(f"/{ref}")), session
            await act(stage)

    def play(act: Callable[[Stage], Awaitable[None]]) -> None:
        with ThreadPoolExecutor(max_workers=1) as pool:
            pool.submit(asyncio.run, run(act)).result()

    return play


On = Callable[[Callable[[Stage], Awaitable[None]]], None]


def test_a_session_in_the_role_that_its_person_has_passes(on_stage: On, ref: str) -> None:
    async def act(stage: Stage) -> None:
        received = await asyncio.gather(
            *(stage.received(Cookie=f"_token={VIEWER}") for _ in range(10)),
            *(stage.received(Authorization=f"Bearer {VIEWER}") for _ in range(10)),
        )

        assert {one["cookie"] for one in received} == {f"_token={VIEWER}"}
        assert stage.asked == [Question(ref, "bob@example.org", "17")]

    on_stage(act)


@pytest.mark.parametrize("role", ["", "op"])
def test_a_session_in_another_role_does_not_reach_the_cluster(on_stage: On, role: str) -> None:
    async def act(stage: Stage) -> None:
        stage.role = role

        by_cookie = await stage.received(Cookie=f"theme=dark; _token={VIEWER}")
        by_token = await stage.received(Authorization=f"Bearer {VIEWER}")

        assert by_cookie == by_token == {}

    on_stage(act)


def test_sessions_go_on_while_the_portals_database_is_away(on_stage: On) -> None:
    async def act(stage: Stage) -> None:
        stage.role = None

        assert (await stage.received(Cookie=f"_token={VIEWER}"))["cookie"] == f"_token={VIEWER}"
        assert len(stage.asked) == 1

    on_stage(act)
