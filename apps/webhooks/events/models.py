from django.db import models
from django.db.models.functions import Now
from django.utils import timezone


class Event(models.Model):
    """Something that happened and was not dispatched yet. Written by triggers of the database
    (migration 0001), in the transaction of the change, only where its organization has a webhook.

    `source` is the table it comes from, `what` the word after the dot of its type, the whole type
    for an audit event. Events of one object have rising ids, because changes of a row wait for each
    other, and audit events are numbered at commit.
    """

    class Source(models.TextChoices):
        OPERATION = "operation", "Operation"
        REVISION = "revision", "Revision"
        HEALTH = "health", "Health"
        INCIDENT = "incident", "Incident"
        AUDIT = "audit", "Audit event"

    at = models.DateTimeField(default=timezone.now, db_default=Now())
    # Without constraints: what it is about may be deleted before it is dispatched.
    organization_id = models.BigIntegerField()
    deployment_id = models.BigIntegerField(null=True)
    source = models.CharField(max_length=10, choices=Source.choices)
    what = models.CharField(max_length=80)
    subject = models.CharField(max_length=110)
    data = models.JSONField()

    def __str__(self) -> str:
        return f"{self.source} {self.what} of {self.subject}"
