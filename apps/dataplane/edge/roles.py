"""Whether a session of Airflow still has the role that its person holds in the portal.

Airflow's session lasts for an hour, a role may be revoked at any moment. The edge and the gateway
ask the portal, at most every few seconds for each person and Deployment, and drop sessions with
another role; Airflow then redirects the person to the portal, which signs them in with the current
role. Without an answer sessions are passed on: open UIs do not depend on the portal.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic

from multidict import CIMultiDict
from yarl import URL

from apps.dataplane.edge.sessions import AirflowSession, session_in, tokens_in, without_tokens

logger = logging.getLogger(__name__)

FRESH_SECONDS = 10.0
# An answer that drops a session is cached for less long: the person may return with a new role.
FRESH_SECONDS_OF_A_NO = 1.0
ANSWER_SECONDS = 2.0
MOST_REMEMBERED = 5_000


@dataclass(frozen=True)
class Question:
    """Which role does `person` (an email address) have in Airflow `ref`?

    `portal_session` is the portal session that Airflow's one began in, "" when that is not known.
    """

    ref: str
    person: str
    portal_session: str


class NoAnswer(Exception):
    """The portal or its database cannot be asked now."""


# Returns Airflow's name of the role, empty for none. Raises NoAnswer.
Ask = Callable[[Question], Awaitable[str]]


@dataclass(frozen=True)
class _Answer:
    # None: never known.
    role: str | None
    asked_at: float

    def settles(self, role: str, now: float) -> bool:
        is_yes = self.role is None or self.role == role
        return now - self.asked_at < (FRESH_SECONDS if is_yes else FRESH_SECONDS_OF_A_NO)


class Roles:
    """A cache of the portal's answers for the latest few thousand people and Deployments."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._answers: dict[Question, _Answer] = {}
        self._asked: dict[Question, asyncio.Task[_Answer]] = {}
        self._is_silent = False

    async def held(self, headers: CIMultiDict[str], *, url: URL, ref: str) -> CIMultiDict[str]:
        """Return a request's headers without sessions in a role that their person does not have."""
        if url.raw_path.startswith(f"/{ref}/static/"):
            return headers
        lost = set()
        for token in tokens_in(headers):
            session = session_in(token)
            if session and not await self._is_held(session, ref):
                lost.add(token)
        return without_tokens(headers, lost)

    async def are_known(self, headers: CIMultiDict[str], *, ref: str) -> bool:
        """Return whether a request carries a session in a role that its person has, or may have
        while there is no answer.
        """
        for token in tokens_in(headers):
            session = session_in(token)
            if session and session.role and await self._is_held(session, ref):
                return True
        return False

    async def _is_held(self, session: AirflowSession, ref: str) -> bool:
        question = Question(ref, session.person, session.portal_session)
        answer = self._answers.get(question)
        if answer is None or not answer.settles(session.role, monotonic()):
            answer = await self._ask_once(question)
        return answer.role is None or answer.role == session.role

    async def _ask_once(self, question: Question) -> _Answer:
        """Ask once for all requests that wait for the same answer."""
        task = self._asked.get(question)
        if task is None:
            task = self._asked[question] = asyncio.create_task(self._answer(question))
            task.add_done_callback(lambda done: self._forget(question, done))
        return await asyncio.shield(task)

    def _forget(self, question: Question, done: asyncio.Task[_Answer]) -> None:
        self._asked.pop(question, None)
        if not done.cancelled():
            done.exception()  # retrieved, even if every waiter has left

    async def _answer(self, question: Question) -> _Answer:
        asked_at = monotonic()
        known = self._answers.pop(question, None)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                role: str | None = await self._ask(question)
            self._note_silence(False)
        except (NoAnswer, TimeoutError):
            self._note_silence(True)
            role = known.role if known else None
        answer = _Answer(role, asked_at)
        while len(self._answers) >= MOST_REMEMBERED:
            del self._answers[next(iter(self._answers))]
        self._answers[question] = answer
        return answer

    def _note_silence(self, is_silent: bool) -> None:
        if is_silent and not self._is_silent:
            logger.warning("the portal does not answer with roles: sessions continue")
        self._is_silent = is_silent
