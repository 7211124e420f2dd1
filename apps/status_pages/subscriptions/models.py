from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone

from apps.status_pages.reports.models import ReportUpdate
from apps.status_pages.setup.models import Component, StatusPage, new_key


class SubscriberKind(models.TextChoices):
    EMAIL = "email", "E-mail"
    WEBHOOK = "webhook", "Webhook"
    SLACK = "slack", "Slack"


class Subscriber(models.Model):
    """An address that wants a page's messages, of some components or, without any, of all.

    Mail has `email`; a webhook and Slack have a `digest` of their address, and a receiver.
    Nothing but a question is sent before `confirmed_at`. `asked_at` and `asks` are the last time
    and how often within a day it was asked for, `asked_from` a digest of the network that did so
    last. `is_mail_due`: it is owed the question. `refusals` counts mails in a row that the
    mail server refused. Links name it by a signature over `key`.
    """

    page = models.ForeignKey(StatusPage, on_delete=models.CASCADE, related_name="subscribers")
    key = models.CharField(max_length=12, unique=True, default=new_key, editable=False)
    kind = models.CharField(
        max_length=7,
        choices=SubscriberKind.choices,
        default=SubscriberKind.EMAIL,
        db_default=SubscriberKind.EMAIL,
    )
    email = models.EmailField(max_length=254, blank=True)
    digest = models.CharField(max_length=64, blank=True, default="", db_default="")
    components = models.ManyToManyField(Component, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    asked_at = models.DateTimeField()
    asked_from = models.CharField(max_length=32)
    asks = models.PositiveSmallIntegerField(default=1)
    is_mail_due = models.BooleanField(default=False)
    refusals = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "page",
                Lower("email"),
                condition=Q(kind=SubscriberKind.EMAIL),
                name="one_subscription_per_address",
            ),
            models.UniqueConstraint(
                fields=["digest", "page"],
                condition=~Q(kind=SubscriberKind.EMAIL),
                name="one_subscription_per_receiver",
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(is_mail_due=True), name="subscriber_to_ask"),
            models.Index(fields=["asked_from", "asked_at"], name="subscriber_by_network"),
        ]

    def __str__(self) -> str:
        if self.kind == SubscriberKind.EMAIL:
            return self.email
        return f"{self.get_kind_display()} at {self.receiver.host}"


class Receiver(models.Model):
    """Where a webhook or Slack of a subscriber is, and how far it is.

    `sealed` has the address and, of a webhook, the signing secret, as JSON; `host` may be shown.
    `newest` is the id of the newest update of the page, `last` that of the last one that was sent:
    as long as they differ, something is due. `claimed_until` is the lease of the one that sends,
    and `next_at` is when one that failed is tried again.
    """

    subscriber = models.OneToOneField(
        Subscriber, primary_key=True, on_delete=models.CASCADE, related_name="receiver"
    )
    host = models.CharField(max_length=253)
    sealed = models.BinaryField()
    last = models.BigIntegerField(default=0)
    newest = models.BigIntegerField(default=0)
    claimed_until = models.DateTimeField(null=True, blank=True)
    next_at = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=300, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["next_at"], condition=Q(newest__gt=F("last")), name="receiver_with_news"
            )
        ]

    def __str__(self) -> str:
        return self.host

    def identity(self, field: str) -> str:
        """Name a sealed field of this row for the cipher."""
        return f"status_pages.receiver|{self.subscriber.key}|{field}"


class Mailing(models.Model):
    """An update on its way to all subscribers, in batches.

    Those with ids up to `last` have it; those after `until` subscribed later. `claimed_until` is
    the lease of the mailer that sends, `next_at` when it goes on after the mail server failed.
    """

    update = models.OneToOneField(ReportUpdate, on_delete=models.CASCADE, related_name="mailing")
    last = models.BigIntegerField(default=0)
    until = models.BigIntegerField()
    sent = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=300, blank=True)
    next_at = models.DateTimeField(default=timezone.now)
    claimed_until = models.DateTimeField(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["next_at"], condition=Q(done_at=None), name="mailing_not_done")
        ]
