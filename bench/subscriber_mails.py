"""A mail run of 20,000 through a real SMTP server, killed and taken up again, and what it costs.

The mailer is a process of its own. A second organization tells its three readers after the first
kill, and does not wait for the others. The peer is the same SMTP client sending the same number of
finished mails, with nothing to remember.
"""

import os
import signal
import smtplib
import time
from collections import Counter
from datetime import datetime
from email.message import EmailMessage
from multiprocessing import Process

from django.conf import settings
from django.db import connection
from django.utils import timezone

from apps.organizations.models import Organization
from apps.status_pages.posting.services import ReportData, post_report
from apps.status_pages.setup.models import StatusPage
from apps.status_pages.subscriptions.mailing import send_batch
from apps.status_pages.subscriptions.models import Mailing, Subscriber
from bench.report import Line
from tests.alerts.mail_server import MailServer, mail_server

N_READERS, N_FEW, N_KILLS = 20_000, 3, 3
# The rate is set aside: what is measured is how fast it can be.
FASTEST = 6_000_000
LEAST_RATE, MOST_WAIT = 100, 5.0


def run() -> tuple[list[Line], list[str]]:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_USE_TLS = "127.0.0.1", False
    settings.STATUS_MAILS_PER_MINUTE = FASTEST
    _make_page("large", N_READERS)
    small = _make_page("small", N_FEW)
    with mail_server() as server:
        settings.EMAIL_PORT = server.port
        began = time.perf_counter()
        waited = _mail_all(server, small)
        seconds = time.perf_counter() - began
        sent = Counter(str(one["Message-ID"]) for one in server.mails)
        bare = _bare(server)
    n_twice = sum(count - 1 for count in sent.values())
    ratio = seconds / bare
    return [
        Line(
            name=f"mail run of {N_READERS:,}",
            ours=f"{seconds:.0f} s, {N_READERS / seconds:.0f} mails/s",
            peer=f"bare smtplib {bare:.0f} s",
            ratio=ratio,
            goal=f">= {LEAST_RATE} mails/s",
            is_met=N_READERS / seconds >= LEAST_RATE,
        ),
        Line(
            name="not mailed",
            ours=str(N_READERS + N_FEW - len(sent)),
            goal="0",
            is_met=len(sent) == N_READERS + N_FEW,
        ),
        Line(
            name=f"mailed twice, {N_KILLS} kills",
            ours=str(n_twice),
            goal=f"<= {N_KILLS}",
            is_met=n_twice <= N_KILLS,
        ),
        Line(
            name="another run meanwhile",
            ours=f"{waited:.1f} s",
            goal=f"<= {MOST_WAIT:g} s",
            is_met=waited <= MOST_WAIT,
        ),
    ], []


def _make_page(name: str, n_readers: int) -> StatusPage:
    organization = Organization.objects.create(name=name, slug=name)
    page = StatusPage.objects.create(
        organization=organization, name=f"{name} status", address=name, is_on=True
    )
    now = timezone.now()
    Subscriber.objects.bulk_create(
        Subscriber(
            page=page,
            email=f"{number}@{name}.example.org",
            asked_at=now,
            asked_from="bench",
            confirmed_at=now,
        )
        for number in range(n_readers)
    )
    _post(page)
    return page


def _post(page: StatusPage) -> None:
    now = timezone.now()
    data = ReportData(title="Reports are late", components=[], impact="minor", begins_at=now)
    post_report(
        actor=None,
        page=page,
        kind="incident",
        data=data,
        stage="investigating",
        text="We look into it. " * 20,
        now=now,
    )


def _mail_all(server: MailServer, small: StatusPage) -> float:
    """Send everything with mailers that are killed now and then; return how many seconds the small
    run waited, which begins with the first kill.
    """
    few = Mailing.objects.filter(update__report__page=small)
    few.update(done_at=timezone.now())
    began: datetime | None = None
    for number in range(N_KILLS):
        mailer = _mailer()
        _wait_for(server, (number + 1) * N_READERS // (N_KILLS + 2))
        os.kill(mailer.pid or 0, signal.SIGKILL)
        mailer.join()
        # Two minutes pass for whoever took it.
        Mailing.objects.exclude(claimed_until=None).update(claimed_until=timezone.now())
        if began is None:
            began = timezone.now()
            few.update(done_at=None, next_at=began)
    mailer = _mailer()
    while Mailing.objects.filter(done_at=None).exists():
        time.sleep(0.05)
    mailer.terminate()
    mailer.join()
    done_at = few.get().done_at
    return (done_at - began).total_seconds() if done_at and began else MOST_WAIT + 1


def _mailer() -> Process:
    process = Process(target=_work, daemon=True)
    process.start()
    return process


def _work() -> None:
    # The connection is the parent's: this process makes one of its own.
    connection.connection = None
    while True:
        if not send_batch(now=timezone.now()):
            time.sleep(0.005)


def _wait_for(server: MailServer, count: int) -> None:
    while len(server.mails) < count:
        time.sleep(0.01)


def _bare(server: MailServer) -> float:
    mail = EmailMessage()
    mail["Subject"], mail["From"] = "[large status] Investigating: Reports are late", "a@b.example"
    mail.set_content("We look into it. " * 20)
    began = time.perf_counter()
    for _ in range(N_READERS // 100):
        with smtplib.SMTP("127.0.0.1", server.port) as client:
            for _ in range(100):
                client.send_message(mail, to_addrs=["reader@example.org"])
    return time.perf_counter() - began
