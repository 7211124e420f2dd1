"""A status page for a browser: long names, an incident, a draft, a maintenance, subscribers."""

from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from django.utils import timezone

from apps.deployments.models import Deployment
from apps.status_pages.copies.writing import write_copy
from apps.status_pages.health.models import ComponentDay
from apps.status_pages.reports.models import Stage
from apps.status_pages.subscriptions.links import confirm_url, subscription_url
from apps.status_pages.subscriptions.models import Receiver
from tests.e2e.alerts_on_stage import LONG
from tests.status_pages.examples import (
    make_component,
    make_page,
    make_receiver,
    make_report,
    make_subscriber,
)


@dataclass(frozen=True, kw_only=True)
class Status:
    """Ids and tokens for addresses."""

    component: int
    report: int
    over: int
    draft: int
    confirm: str
    subscription: str


def status_on_stage(*, deployment: Deployment) -> Status:
    now = timezone.now()
    organization = deployment.workspace.organization
    page = make_page(organization, about="If the console is down, pipelines keep running.")
    first = make_component(page, deployment, name=LONG[:80], group="Data", state="major_outage")
    second = make_component(page, name="Prices", state="operational", position=2)
    for back in range(60):
        seconds = {"operational": 80_000, "major_outage": 900 if back % 17 == 3 else 0}
        day = now.date() - timedelta(days=back)
        ComponentDay.objects.create(component=first, day=day, **seconds)
    report = make_report(page, first, title=f"{LONG} is down", impact="critical", posted_at=now)
    over = make_report(
        page,
        second,
        title="Prices were late",
        stage=Stage.RESOLVED,
        posted_at=now,
        over_at=now,
        postmortem="A disk was full. " * 20,
    )
    make_report(
        page,
        second,
        kind="maintenance",
        title="Database update",
        stage=Stage.SCHEDULED,
        posted_at=now,
        begins_at=now + timedelta(days=1),
        ends_at=now + timedelta(days=1, hours=1),
    )
    draft = make_report(page, first, posted_at=None, is_automatic=True, over_at=now)
    reader = make_subscriber(page, f"{LONG[:60]}@example.org")
    reader.components.add(first)
    asked = make_subscriber(page, "asked@example.org", confirmed_at=None)
    make_receiver(page, f"https://{LONG[:60]}.example.org/in").subscriber.components.add(first)
    Receiver.objects.update(failing_since=now, last_error=f"It answered 503 {LONG}"[:300])
    write_copy(page=page, now=now)
    return Status(
        component=first.pk,
        report=report.pk,
        over=over.pk,
        draft=draft.pk,
        confirm=_token(confirm_url(asked)),
        subscription=_token(subscription_url(reader)),
    )


def _token(url: str) -> str:
    return urlsplit(url).path.split("/")[-2]
