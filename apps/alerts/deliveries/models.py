from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.alerts.channels.models import Channel
from apps.alerts.evaluation.models import Alert


class DeliveryState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed"


class Delivery(models.Model):
    """A message on its way to a channel, or what came of it.

        waiting ──▶ delivered
           └──────▶ failed ──▶ waiting (sent again by a person)

    `message` is what was composed, so that a resend says the same. `number` counts the messages of
    an alert: a message goes to a channel once. `error` is what the receiver said last, `receipt`
    how it names the message, where later ones refer to it.
    """

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="deliveries")
    alert = models.ForeignKey(
        Alert, null=True, blank=True, on_delete=models.CASCADE, related_name="deliveries"
    )
    number = models.PositiveIntegerField(default=0)
    event = models.CharField(max_length=10)
    message = models.JSONField()
    state = models.CharField(
        max_length=10, choices=DeliveryState.choices, default=DeliveryState.WAITING
    )
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    give_up_at = models.DateTimeField()
    error = models.CharField(max_length=300, blank=True)
    receipt = models.CharField(max_length=40, blank=True, db_default="")
    created_at = models.DateTimeField(default=timezone.now)
    done_at = models.DateTimeField(null=True, blank=True)
    resent_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["alert", "channel", "number"], name="a_message_reaches_a_channel_once"
            )
        ]
        indexes = [
            models.Index(
                fields=["channel", "next_at"],
                condition=Q(state=DeliveryState.WAITING),
                name="delivery_waiting",
            ),
            models.Index(fields=["channel", "-created_at"], name="delivery_of_channel"),
            models.Index(fields=["created_at"], name="delivery_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.channel_id}"
