"""Handing an update on to those who want it: a mail run and receivers of subscribers, and alerts'
outbox for the channels of the organization.
"""

from datetime import UTC, datetime

from django.db.models import Max

from apps.alerts.deliveries.messages import Message
from apps.alerts.deliveries.models import Delivery
from apps.alerts.deliveries.outbox import GIVE_UP
from apps.alerts.evaluation.notices import Event
from apps.status_pages.reports.models import Impact, Report, ReportUpdate, Stage
from apps.status_pages.setup.addresses import page_url
from apps.status_pages.subscriptions.models import Mailing, Receiver, Subscriber, SubscriberKind

SEVERITIES = {Impact.CRITICAL: "critical", Impact.MAJOR: "critical", Impact.MINOR: "warning"}


def announce(update: ReportUpdate, *, now: datetime) -> None:
    """Begin the mail run of an update, make it due for receivers, and put it into the outbox of
    each channel of its page.

    The row of the page is locked, so that ids of its updates follow the order of their posting. A
    page that is off tells nothing, one for members tells no subscriber.
    """
    report = update.report
    if not report.page.is_on:
        return
    if report.page.is_public:
        _begin_mailing(update, now)
        reached = Receiver.objects.filter(
            subscriber__page=report.page, subscriber__confirmed_at__isnull=False
        )
        reached.update(newest=update.pk)
    event = Event.RESOLVED if report.is_over else Event.UPDATED
    message = _message(update, event, now).as_json()
    Delivery.objects.bulk_create(
        Delivery(
            channel=channel, event=event, message=message, next_at=now, give_up_at=now + GIVE_UP
        )
        for channel in report.page.channels.all()
    )


def _begin_mailing(update: ReportUpdate, now: datetime) -> None:
    confirmed = Subscriber.objects.filter(
        page=update.report.page, kind=SubscriberKind.EMAIL, confirmed_at__isnull=False
    )
    last = confirmed.aggregate(last=Max("pk"))["last"]
    if last is not None:
        Mailing.objects.create(update=update, until=last, next_at=now)


def _message(update: ReportUpdate, event: Event, now: datetime) -> Message:
    report, page = update.report, update.report.page
    url = f"{page_url(page)}history.html#{report.key}"
    names = ", ".join(one.name for one in report.components.all())
    return Message(
        event=event,
        severity="info" if report.is_maintenance else SEVERITIES.get(Impact(report.impact), "info"),
        title=f"{Stage(update.stage).label}: {report.title}"[:200],
        lines=tuple(update.text.splitlines())[:10],
        facts=(("Status page", page.name), ("Components", names[:300] or "none")),
        url=url,
        key=url,
        number=report.updates.count(),
        rule="Status page",
        deployment=page.name,
        workspace=page.name,
        happened_at=_stamp(report, now),
    )


def _stamp(report: Report, now: datetime) -> str:
    at = min(report.begins_at, now)
    return at.astimezone(UTC).isoformat(timespec="seconds")
