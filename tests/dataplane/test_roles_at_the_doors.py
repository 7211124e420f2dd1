"""How often a door asks who holds which role, and what it does with the answer, or without one."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from multidict import CIMultiDict
from yarl import URL

from apps.dataplane.edge import roles as module
from apps.dataplane.edge.roles import NoAnswer, Question, Roles
from tests.dataplane.test_airflow_sessions import token

VIEWER, OP = token(), token(role="op")


@dataclass
class Portal:
    """What the portal says, whom it was asked about, and how late it is."""

    role: str | Exception = "viewer"
    seconds: float = 0.0
    asked: list[Question] = field(default_factory=list)

    async def __call__(self, question: Question) -> str:
        self.asked.append(question)
        await asyncio.sleep(self.seconds)
        if isinstance(self.role, Exception):
            raise self.role
        return self.role


@dataclass
class Door:
    portal: Portal
    roles: Roles
    seconds: float = 1_000.0

    async def passes(
        self, session: str, path: str = "/dep1/api/v2/dags", ref: str = "dep1"
    ) -> bool:
        headers = CIMultiDict(Cookie=f"_token={session}")
        held = await self.roles.held(headers, url=URL(path), ref=ref)
        return "Cookie" in held


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    portal = Portal()
    door = Door(portal, Roles(portal))
    monkeypatch.setattr(module, "monotonic", lambda: door.seconds)
    return door


def run(act: Callable[[], Awaitable[None]]) -> None:
    async def on_loop() -> None:
        await act()

    asyncio.run(on_loop())


def test_a_session_in_the_role_that_its_person_has_passes(door: Door) -> None:
    async def act() -> None:
        assert await door.passes(VIEWER)

    run(act)
    assert door.portal.asked == [Question("dep1", "bob@example.org", "17")]


@pytest.mark.parametrize("role", ["", "op", "admin", "user"])
def test_a_session_in_another_role_does_not_pass(door: Door, role: str) -> None:
    async def act() -> None:
        door.portal.role = role
        assert not await door.passes(VIEWER)

    run(act)


def test_a_burst_of_requests_is_one_question(door: Door) -> None:
    async def act() -> None:
        door.portal.seconds = 0.05
        assert all(await asyncio.gather(*(door.passes(VIEWER) for _ in range(50))))
        door.seconds += 9.9
        assert all(await asyncio.gather(*(door.passes(VIEWER) for _ in range(50))))

    run(act)
    assert len(door.portal.asked) == 1


def test_a_role_taken_away_is_seen_after_ten_seconds(door: Door) -> None:
    async def act() -> None:
        assert await door.passes(VIEWER)
        door.portal.role = ""
        door.seconds += 10.1
        assert not await door.passes(VIEWER)

    run(act)


def test_who_comes_back_with_another_role_is_let_in_at_once(door: Door) -> None:
    async def act() -> None:
        assert await door.passes(VIEWER)
        door.portal.role = "op"
        door.seconds += 1.1
        assert await door.passes(OP), "what was said of the session before does not count"
        assert not await door.passes(VIEWER)

    run(act)


def test_a_session_that_was_refused_asks_once_a_second_at_most(door: Door) -> None:
    async def act() -> None:
        door.portal.role = ""
        for _ in range(100):
            assert not await door.passes(VIEWER)
            door.seconds += 0.05

    run(act)
    assert len(door.portal.asked) <= 5


def test_deployments_and_sign_ins_are_asked_for_one_by_one(door: Door) -> None:
    async def act() -> None:
        await door.passes(VIEWER)
        await door.passes(VIEWER, "/dep2/", "dep2")
        await door.passes(token(portal_session="18"))

    run(act)
    assert door.portal.asked == [
        Question("dep1", "bob@example.org", "17"),
        Question("dep2", "bob@example.org", "17"),
        Question("dep1", "bob@example.org", "18"),
    ]


def test_files_that_are_the_same_for_all_need_no_question(door: Door) -> None:
    async def act() -> None:
        assert await door.passes(VIEWER, "/dep1/static/assets/index.js")
        assert await door.passes(VIEWER, "/dep1/staticky")

    run(act)
    assert len(door.portal.asked) == 1


def test_a_token_that_names_nobody_is_left_to_airflow(door: Door) -> None:
    async def act() -> None:
        assert await door.passes(token(sub=7))

    run(act)
    assert door.portal.asked == []


def test_sessions_go_on_while_the_portal_is_silent(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    async def act() -> None:
        door.portal.role = NoAnswer("gone")
        assert await door.passes(VIEWER)
        assert await door.passes(OP)
        door.seconds += 10.1
        assert await door.passes(VIEWER)

    run(act)
    assert len(door.portal.asked) == 2
    assert len(caplog.records) == 1, "silence is said once"


def test_a_portal_that_hangs_holds_nobody_up_for_long(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.02)

    async def act() -> None:
        door.portal.seconds = 5
        assert await asyncio.wait_for(door.passes(VIEWER), 1)

    run(act)


def test_a_role_known_to_be_gone_stays_gone_while_the_portal_is_silent(door: Door) -> None:
    async def act() -> None:
        door.portal.role = ""
        assert not await door.passes(VIEWER)
        door.portal.role = NoAnswer("gone")
        door.seconds += 60
        assert not await door.passes(VIEWER)

    run(act)


def test_people_that_strangers_make_up_fill_no_memory(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_REMEMBERED", 3)

    async def act() -> None:
        for number in range(10):
            await door.passes(token(sub=f"made-{number}"))

    run(act)
    assert len(door.roles._answers) == 3
    assert not door.roles._asked


def test_who_leaves_takes_no_answer_from_others(door: Door) -> None:
    async def act() -> None:
        door.portal.seconds = 0.05
        leaving = asyncio.create_task(door.passes(VIEWER))
        staying = asyncio.create_task(door.passes(VIEWER))
        await asyncio.sleep(0.01)
        leaving.cancel()
        assert await staying

    run(act)
    assert len(door.portal.asked) == 1
