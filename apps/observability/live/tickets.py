"""What lets a browser open a stream: signed by the web process, good for a minute, for one thing.

A stream is read at the address of the Airflows, where the portal's cookie does not go. A ticket is
sent in the body of a request, never in an address, so it is in no log.
"""

from dataclasses import astuple, dataclass, fields

from django.core import signing

from apps.observability.component_logs.choices import Choice
from apps.observability.component_logs.reading import Source

SALT = "observability.live-ticket"
VALID_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """Which session may follow what of a Deployment: its status, or a log if `component` is set.

    `session_id` is the public id of a session, `zone` the time zone in which lines are written.
    """

    session_id: str
    deployment_id: int
    component: str = ""
    file: str = ""
    contains: str = ""
    is_pattern: bool = False
    level: str = ""
    zone: str = "UTC"

    @property
    def source(self) -> Source:
        return Source(component=self.component, file=self.file)

    @property
    def choice(self) -> Choice:
        return Choice(contains=self.contains, is_pattern=self.is_pattern, level=self.level)

    @property
    def permission(self) -> str:
        return "deployment.logs.view" if self.component else "deployment.view"


def sign(ticket: Ticket) -> str:
    """Write a ticket as text."""
    return signing.dumps(astuple(ticket), salt=SALT, compress=True)


def read(text: str) -> Ticket | None:
    """Read a ticket; None for one that the portal did not sign within the last minute."""
    try:
        values = signing.loads(text, salt=SALT, max_age=VALID_SECONDS)
    except signing.BadSignature:
        return None
    names = [field.name for field in fields(Ticket)]
    # Another version of the portal may know other things to follow.
    return Ticket(**dict(zip(names, values, strict=True))) if len(values) == len(names) else None
