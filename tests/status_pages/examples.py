"""Status pages for tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from apps.deployments.models import Deployment
from apps.organizations.models import Organization
from apps.status_pages.copies.shelf import Shelf
from apps.status_pages.copies.writing import write_copy
from apps.status_pages.health.evaluation import evaluate
from apps.status_pages.reports.models import Impact, Report, Stage
from apps.status_pages.serving import StatusPages
from apps.status_pages.setup.models import Component, StatusPage
from apps.status_pages.setup.states import State
from apps.status_pages.subscriptions.addresses import address_of, seal
from apps.status_pages.subscriptions.models import Receiver, Subscriber
from tests.observability.incidents import make_incident

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
MINUTE, LOOK = timedelta(minutes=1), timedelta(seconds=30)


def make_page(organization: Organization, **fields: Any) -> StatusPage:
    given = {
        "name": "Nordhavn data status",
        "address": organization.slug,
        "is_on": True,
        "changed_at": NOW - timedelta(days=1),
    }
    return StatusPage.objects.create(organization=organization, **{**given, **fields})


def make_component(
    page: StatusPage, *deployments: Deployment, name: str = "Morning reports", **fields: Any
) -> Component:
    given = {"source": "deployments" if deployments else "portal", "position": 1}
    made = Component.objects.create(page=page, name=name, **{**given, **fields})
    made.deployments.set(deployments)
    return made


def make_report(page: StatusPage, *components: Component, **fields: Any) -> Report:
    given: dict[str, Any] = {
        "kind": "incident",
        "title": "Reports are late",
        "impact": Impact.MINOR,
        "stage": Stage.INVESTIGATING,
        "begins_at": NOW,
        "posted_at": NOW,
    }
    made = Report.objects.create(page=page, **{**given, **fields})
    made.components.set(components)
    if made.posted_at is not None:
        made.updates.create(stage=made.stage, text="We look into it.", at=made.posted_at)
    return made


def make_subscriber(page: StatusPage, email: str = "ana@example.org", **fields: Any) -> Subscriber:
    given = {"asked_at": NOW, "asked_from": "x", "confirmed_at": NOW}
    return Subscriber.objects.create(page=page, email=email, **{**given, **fields})


def make_receiver(page: StatusPage, url: str, kind: str = "webhook", **fields: Any) -> Receiver:
    address = address_of(kind=kind, url=url)
    subscriber = make_subscriber(page, "", kind=kind, digest=address.digest, **fields)
    made = Receiver(subscriber=subscriber, host=address.host)
    seal(made, address)
    made.save()
    return made


def look(times: int, *, at: datetime) -> datetime:
    """Look at all components some times, 30 seconds apart, at Deployments that were observed just
    before; return the time of the next look.
    """
    Deployment.objects.update(observed_at=at)
    for number in range(times):
        evaluate(now=at + number * LOOK)
    return at + times * LOOK


def break_down(deployment: Deployment, kind: str = "unhealthy") -> Any:
    return make_incident(deployment, kind=kind)


def state_of(component: Component) -> State:
    component.refresh_from_db()
    return State(component.state)


class Visitor:
    """Reads pages as gunicorn would ask for them; what is not served is left to Django."""

    def __init__(self, shelf: Shelf | None = None) -> None:
        self.shelf = shelf or Shelf()
        self.application = StatusPages(
            self._django,
            origin="https://portal.test",
            hosts=["status.example.org", "free.example.org"],
            pages=self.shelf,
        )

    def _django(self, environ: Any, start: Any) -> Any:
        start("200 OK", [("X-From", "Django")])
        return (b"",)

    def get(self, path: str, *, method: str = "GET", **headers: str) -> tuple[int, dict, bytes]:
        said: list[Any] = []
        environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "HTTP_HOST": "portal.test"}
        environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        body = self.application(environ, lambda status, found: said.extend((status, dict(found))))
        return int(said[0].split()[0]), said[1], b"".join(body)


def publish(page: StatusPage, *, now: datetime = NOW) -> Visitor:
    assert write_copy(page=page, now=now)
    return Visitor()
