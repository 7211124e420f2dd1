"""Asking for a subscription, confirming, choosing and ending it.

Whoever asks may be another than the one whose address it is. So nothing but one question is sent
before its answer, seldom, and who asks learns nothing: neither whether the address is known nor
whether a limit was reached, nor what a receiver answered.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

from django.db import IntegrityError, transaction
from django.db.models import Max, QuerySet
from django.utils.crypto import salted_hmac

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.status_pages.reports.models import ReportUpdate
from apps.status_pages.setup.models import StatusPage
from apps.status_pages.subscriptions.addresses import Address, seal
from apps.status_pages.subscriptions.models import Receiver, Subscriber, SubscriberKind

HOUR, DAY, AGAIN = timedelta(hours=1), timedelta(days=1), timedelta(minutes=10)
# Questions to one address a day, on one page and on all; of a network and for a page in an hour.
ADDRESS_ON_PAGE, ADDRESS_IN_ALL, OF_NETWORK, FOR_PAGE = 3, 5, 20, 1_000
# Webhooks at one host that are asked in a day: another path of it is another address.
AT_HOST = 20
UNCONFIRMED = timedelta(days=4)


def ask(
    *, page: StatusPage, email: str, component_keys: Collection[str], network: str, now: datetime
) -> None:
    """Let the mailer ask the reader of an address whether the subscription is wanted.

    `network` is a digest from `network_digest`. One that is confirmed keeps what was chosen, and
    its reader is told how to change it. Beyond the limits nothing happens.
    """
    mine = Subscriber.objects.filter(kind=SubscriberKind.EMAIL, email__iexact=email)
    if _is_too_much(page, mine, network, now):
        return
    known = mine.filter(page=page).first()
    if known is not None:
        _ask_again(known, component_keys, network, now)
        return
    try:
        with transaction.atomic():
            made = Subscriber.objects.create(
                page=page, email=email, asked_at=now, asked_from=network, is_mail_due=True
            )
            _choose(made, component_keys)
    except IntegrityError:
        # Asked for twice at the same moment: one question is enough.
        return


def ask_receiver(
    *,
    page: StatusPage,
    address: Address,
    component_keys: Collection[str],
    network: str,
    now: datetime,
) -> None:
    """Let a webhook or Slack be asked whether the subscription is wanted, as `ask` does.

    One that is confirmed is told nothing: its messages have the link.
    """
    mine = Subscriber.objects.filter(digest=address.digest)
    if _is_too_much(page, mine, network, now) or _is_host_asked(address, now):
        return
    known = mine.filter(page=page).first()
    if known is not None:
        if known.confirmed_at is None:
            _ask_again(known, component_keys, network, now)
        return
    try:
        with transaction.atomic():
            made = Subscriber.objects.create(
                page=page,
                kind=address.kind,
                digest=address.digest,
                asked_at=now,
                asked_from=network,
                is_mail_due=True,
            )
            receiver = Receiver(subscriber=made, host=address.host)
            seal(receiver, address)
            receiver.save()
            _choose(made, component_keys)
    except IntegrityError:
        return


@transaction.atomic
def confirm(*, subscriber: Subscriber, now: datetime) -> None:
    """Begin a subscription; one that was confirmed stays as it is."""
    asked = Subscriber.objects.filter(pk=subscriber.pk, confirmed_at=None)
    if asked.update(confirmed_at=now, is_mail_due=False):
        # Updates of before are not sent.
        posted = ReportUpdate.objects.filter(report__page=subscriber.page_id)
        newest = posted.aggregate(newest=Max("pk"))["newest"] or 0
        Receiver.objects.filter(pk=subscriber.pk).update(
            last=newest, newest=newest, failures=0, failing_since=None, next_at=None, last_error=""
        )


def choose(*, subscriber: Subscriber, component_keys: Collection[str]) -> None:
    """Set of which components a subscriber wants to read; of none means of all."""
    _choose(subscriber, component_keys)


def end(*, subscriber: Subscriber) -> None:
    """End a subscription: nothing of it is kept."""
    subscriber.delete()


@transaction.atomic
def remove(*, actor: User, subscriber: Subscriber) -> None:
    """End a subscription for its reader, which is recorded without the address."""
    record_on(
        action="status_page.subscriber_removed",
        actor=actor,
        on=subscriber.page.organization,
        changes={"subscriber": [_without_address(subscriber), None]},
    )
    subscriber.delete()


@transaction.atomic
def give_up(*, subscriber: Subscriber, reason: str) -> None:
    """End the subscription of a receiver that takes nothing any more, which is recorded."""
    record_on(
        action="status_page.subscriber_given_up",
        actor=None,
        on=subscriber.page.organization,
        changes={"subscriber": [_without_address(subscriber), None], "reason": [None, reason]},
    )
    subscriber.delete()


def _without_address(subscriber: Subscriber) -> str:
    if subscriber.kind == SubscriberKind.EMAIL:
        return f"…@{subscriber.email.rpartition('@')[2]}"
    return str(subscriber)


def network_digest(address: str) -> str:
    """Return a digest of the network of an address, /24 or /48, that does not reveal it."""
    try:
        ip = ip_address(address)
    except ValueError:
        return salted_hmac("status-pages.network", address).hexdigest()[:32]
    network = ip_network(f"{ip}/{24 if ip.version == 4 else 48}", strict=False)
    return salted_hmac("status-pages.network", str(network)).hexdigest()[:32]


def forget_unconfirmed(*, now: datetime) -> int:
    """Delete what was asked for and not confirmed within four days; return how many."""
    old = Subscriber.objects.filter(confirmed_at=None, asked_at__lt=now - UNCONFIRMED)
    return old.delete()[0]


def _is_too_much(page: StatusPage, mine: QuerySet[Subscriber], network: str, now: datetime) -> bool:
    lately = Subscriber.objects.filter(asked_at__gt=now - HOUR)
    if lately.filter(asked_from=network).count() >= OF_NETWORK:
        return True
    if lately.filter(page=page, confirmed_at=None).count() >= FOR_PAGE:
        return True
    today = mine.filter(asked_at__gt=now - DAY)
    return sum(today.values_list("asks", flat=True)) >= ADDRESS_IN_ALL


def _is_host_asked(address: Address, now: datetime) -> bool:
    """Whether a host was asked often enough for a day. That of Slack is everyone's."""
    if address.kind == SubscriberKind.SLACK:
        return False
    today = Receiver.objects.filter(host=address.host, subscriber__asked_at__gt=now - DAY)
    return today.count() >= AT_HOST


def _ask_again(
    subscriber: Subscriber, component_keys: Collection[str], network: str, now: datetime
) -> None:
    is_today = now - subscriber.asked_at < DAY
    if now - subscriber.asked_at < AGAIN or (is_today and subscriber.asks >= ADDRESS_ON_PAGE):
        return
    subscriber.asks = subscriber.asks + 1 if is_today else 1
    subscriber.asked_at, subscriber.asked_from, subscriber.is_mail_due = now, network, True
    subscriber.save(update_fields=["asks", "asked_at", "asked_from", "is_mail_due"])
    if subscriber.confirmed_at is None:
        _choose(subscriber, component_keys)


def _choose(subscriber: Subscriber, component_keys: Collection[str]) -> None:
    subscriber.components.set(subscriber.page.components.filter(key__in=component_keys))
