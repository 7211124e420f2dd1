"""The mails to subscribers. What is the same for all readers of an update is written once."""

from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string

from apps.status_pages.reports.models import ReportUpdate, Stage
from apps.status_pages.setup.addresses import page_url
from apps.status_pages.subscriptions.links import confirm_url, subscription_url
from apps.status_pages.subscriptions.models import Subscriber


def question_mail(subscriber: Subscriber, server: Any) -> EmailMessage:
    """Write the question to an address, or, to one that is subscribed, how to change it."""
    is_known = subscriber.confirmed_at is not None
    link = subscription_url(subscriber)
    context = {
        "page": subscriber.page,
        "url": page_url(subscriber.page),
        "confirm_url": confirm_url(subscriber),
        "subscription_url": link,
    }
    name = "known" if is_known else "question"
    body = render_to_string(f"status_pages/mail/{name}.txt", context)
    verb = "You are subscribed to" if is_known else "Confirm your subscription to"
    return _mail(f"{verb} {subscriber.page.name}", body, subscriber, link, server)


@dataclass(frozen=True, kw_only=True)
class UpdateMail:
    """An update as all readers get it: each has another link at the end of the text."""

    key: str
    subject: str
    text: str
    component_ids: frozenset[int]

    @classmethod
    def of(cls, update: ReportUpdate) -> Self:
        """Write an update, in two queries."""
        report = update.report
        components = list(report.components.all())
        context = {
            "report": report,
            "update": update,
            "stage": Stage(update.stage).label,
            "names": ", ".join(one.name for one in components),
            "url": f"{page_url(report.page)}history.html#{report.key}",
            "page": report.page,
        }
        return cls(
            key=update.key,
            subject=f"[{report.page.name}] {Stage(update.stage).label}: {report.title}",
            text=render_to_string("status_pages/mail/update.txt", context),
            component_ids=frozenset(one.pk for one in components),
        )

    def is_wanted_by(self, subscriber: Subscriber) -> bool:
        chosen = {one.pk for one in subscriber.components.all()}
        return not chosen or not self.component_ids or bool(chosen & self.component_ids)

    def to(self, subscriber: Subscriber, server: Any) -> EmailMessage:
        """Address it to a subscriber, with the same Message-ID each time."""
        link = subscription_url(subscriber)
        mail = _mail(self.subject, f"{self.text}{link}\n", subscriber, link, server)
        host = urlsplit(settings.PORTAL_URL).hostname
        mail.extra_headers["Message-ID"] = f"<{self.key}.{subscriber.key}@{host}>"
        return mail


def _mail(subject: str, body: str, subscriber: Subscriber, link: str, server: Any) -> EmailMessage:
    mail = EmailMessage(
        " ".join(subject.split())[:200], body, to=[subscriber.email], connection=server
    )
    mail.extra_headers = {
        # RFC 8058: mail programs end the subscription by a POST, without a page.
        "List-Unsubscribe": f"<{link}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Auto-Submitted": "auto-generated",
    }
    return mail
