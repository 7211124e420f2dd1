"""How the edge asks the portal of this machine for a person's role in an Airflow.

It calls the web server, with a secret that only the home's own user can read. A stopped portal
counts as no answer.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession

from apps.dataplane.edge.roles import NoAnswer, Question

QUESTION_PATH = "/airflow-role/"


@dataclass(frozen=True)
class PortalDoor:
    """Where the portal answers on this machine: `listener` returns its `address:port`. `url` is
    its address for browsers, "" for `localhost` at that port.
    """

    listener: Callable[[], str]
    url: str
    secret: str = field(repr=False)

    @property
    def host(self) -> str:
        """The host that the portal is asked for."""
        return urlsplit(self.url).netloc or "localhost"

    def url_for_browsers(self) -> str:
        """Return where browsers reach the portal, as well as it can be known."""
        try:
            return self.url or f"http://localhost:{self.listener().rpartition(':')[2]}"
        except (OSError, ValueError, LookupError):
            return "http://localhost"


async def ask_portal(session: ClientSession, door: PortalDoor, question: Question) -> str:
    """Return Airflow's name of the role, "" for none. Raises NoAnswer."""
    asked = {
        "ref": question.ref,
        "person": question.person,
        "portal_session": question.portal_session,
    }
    headers = {"Authorization": f"Bearer {door.secret}", "Host": door.host}
    try:
        address = f"http://{door.listener()}{QUESTION_PATH}"
        async with session.post(
            address, json=asked, headers=headers, allow_redirects=False
        ) as answer:
            said = await answer.json() if answer.status == 200 else None
            role = said["role"] if isinstance(said, dict) else None
    except (ClientError, OSError, ValueError, LookupError, RecursionError) as error:
        raise NoAnswer(type(error).__name__) from None
    if not isinstance(role, str):
        raise NoAnswer("another answer")
    return role
