from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.deployments.models import Deployment


class Series(models.Model):
    """One line of a chart: a metric of a Deployment, and of which part of it (a queue, a component,
    a pool), empty for the whole.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="series")
    metric = models.CharField(max_length=24)
    label = models.CharField(max_length=100, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["deployment", "metric", "label"], name="series_unique_in_deployment"
            )
        ]

    def __str__(self) -> str:
        return f"{self.metric} {self.label}".strip()


class HistoryDay(models.Model):
    """One day (UTC) of a series at one resolution: a 32-bit float, little endian, for every `step`
    seconds of the day; NaN where nothing is known. See `history.packing`.
    """

    series = models.ForeignKey(Series, on_delete=models.CASCADE, related_name="days")
    step = models.PositiveSmallIntegerField()
    day = models.DateField()
    packed = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["series", "step", "day"], name="one_row_per_day")
        ]
        indexes = [models.Index(fields=["step", "day"], name="history_day_by_age")]

    def __str__(self) -> str:
        return f"{self.series_id} on {self.day}, every {self.step} s"


class Sample(models.Model):
    """What was measured of a Deployment at one time, until its hour is packed into days.

    `slot` counts samples since 1970; there is one row for each, whoever writes it first. `packed`
    are 32-bit floats, little endian, in the order of `series`.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="+")
    slot = models.BigIntegerField()
    series = ArrayField(models.BigIntegerField())
    packed = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["deployment", "slot"], name="one_sample_per_slot")
        ]
        indexes = [models.Index(fields=["slot"], name="sample_by_age")]

    def __str__(self) -> str:
        return f"{self.deployment_id} at {self.slot}"


class RecordedDecision(models.Model):
    """What a data plane decided about the workers of a queue, where that differs from what it
    decided before; see `apps.dataplane.status.ScalingDecision`.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="+")
    queue = models.CharField(max_length=100)
    at = models.DateTimeField()
    queued = models.PositiveIntegerField(null=True)
    running = models.PositiveIntegerField(null=True)
    concurrency = models.PositiveIntegerField()
    min_workers = models.PositiveIntegerField()
    max_workers = models.PositiveIntegerField()
    cooldown_seconds = models.PositiveIntegerField()
    wanted = models.PositiveIntegerField()
    workers = models.PositiveIntegerField()
    ready = models.PositiveIntegerField(null=True)
    reason = models.CharField(max_length=16)
    message = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["deployment", "queue", "at"], name="one_decision_at_a_time"
            )
        ]
        indexes = [models.Index(fields=["at"], name="decision_by_age")]

    def __str__(self) -> str:
        return f"{self.queue} at {self.at}: {self.reason}"


class Collection(models.Model):
    """When a Deployment is asked next, and what came of it last.

    A collector that takes a due row moves `next_at` first, so that no other asks meanwhile.
    `counted_until` is up to when what ended in Airflow is counted, `listed_until` up to when it is
    listed one by one (see `results`), and `list_from` from when on that is asked next. `running` is
    what ran for a minute or more when it was asked last: (DAG, run, task, second of the start).
    """

    deployment = models.OneToOneField(
        Deployment, primary_key=True, on_delete=models.CASCADE, related_name="collection"
    )
    next_at = models.DateTimeField(db_index=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    counted_until = models.DateTimeField(null=True, blank=True)
    list_from = models.DateTimeField(null=True, blank=True)
    listed_until = models.DateTimeField(null=True, blank=True)
    running = models.JSONField(default=list, db_default=models.Value([], models.JSONField()))
    failures = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return f"collecting {self.deployment_id}"
