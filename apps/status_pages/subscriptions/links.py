"""Links that name a subscriber by a signature: whoever reads the mail holds them, and a row more is
not needed. A question is answered within three days; a link that ends a subscription works always.
"""

from datetime import timedelta

from django.conf import settings
from django.core.signing import BadSignature, Signer, TimestampSigner

from apps.status_pages.subscriptions.models import Subscriber

ANSWERED_WITHIN = timedelta(days=3)
_QUESTION = TimestampSigner(salt="status-pages.question")
_SUBSCRIPTION = Signer(salt="status-pages.subscription")


def confirm_url(subscriber: Subscriber) -> str:
    """Return the link of the question."""
    token = _QUESTION.sign(subscriber.key)
    return f"{settings.PORTAL_URL}/status-mail/confirm/{token}/"


def subscription_url(subscriber: Subscriber) -> str:
    """Return the link to what a subscriber chose; a POST to it ends the subscription."""
    token = _SUBSCRIPTION.sign(subscriber.key)
    return f"{settings.PORTAL_URL}/status-mail/{token}/"


def asked_subscriber(token: str) -> Subscriber | None:
    """Return whose question a token answers, None for a wrong or old one."""
    try:
        key = _QUESTION.unsign(token, max_age=ANSWERED_WITHIN)
    except BadSignature:
        return None
    return _with_key(key)


def subscriber_of(token: str) -> Subscriber | None:
    """Return whose subscription a token names, None for a wrong one or one that was ended."""
    try:
        key = _SUBSCRIPTION.unsign(token)
    except BadSignature:
        return None
    return _with_key(key)


def _with_key(key: str) -> Subscriber | None:
    return Subscriber.objects.select_related("page").filter(key=key).first()
