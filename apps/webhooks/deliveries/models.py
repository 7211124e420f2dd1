from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.webhooks.hooks.models import Webhook


class WebhookDelivery(models.Model):
    """An event on its way to a webhook, or what came of it.

        waiting ──▶ delivered
           └──────▶ failed ──▶ waiting (sent again by a person)

    `body` is what is sent, so that a resend says the same. `answer` is what the receiver said last,
    or why there was no answer.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        DELIVERED = "delivered", "Delivered"
        FAILED = "failed", "Failed"

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    sequence = models.BigIntegerField()
    event = models.CharField(max_length=40)
    type = models.CharField(max_length=90)
    body = models.JSONField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    give_up_at = models.DateTimeField()
    answer = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    done_at = models.DateTimeField(null=True, blank=True)
    resent_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["webhook", "sequence"], name="one_delivery_per_sequence"
            )
        ]
        indexes = [
            models.Index(
                fields=["webhook", "sequence"],
                condition=Q(state="waiting"),
                name="webhook_delivery_waiting",
            ),
            models.Index(fields=["created_at"], name="webhook_delivery_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.type} to {self.webhook_id}"
