from django.db import models
from django.utils import timezone


class ReleaseState(models.TextChoices):
    """found ─▶ testing ─▶ tested, or failed; a failed one may be found again."""

    FOUND = "found", "Waiting"
    TESTING = "testing", "Testing"
    TESTED = "tested", "Passed"
    FAILED = "failed", "Failed"


OPEN = (ReleaseState.FOUND, ReleaseState.TESTING)


class Release(models.Model):
    """A version of Airflow that the package index published after this portal, and its trial.

    `steps` is a list of `{"key", "title", "state", "detail", "seconds"}` as pages show it, `step`
    the key of the one that is next. `failure` is set as soon as a step failed, before what the
    trial left on the machine is removed. `previous` is the runtime whose database was upgraded.
    A claim holds until `lease_until`.
    """

    airflow_version = models.CharField(max_length=20, unique=True)
    published_at = models.DateTimeField()
    found_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(
        max_length=10, choices=ReleaseState.choices, default=ReleaseState.FOUND
    )
    lock = models.TextField(blank=True)
    previous = models.CharField(max_length=30, blank=True)
    step = models.CharField(max_length=20, blank=True)
    step_began_at = models.DateTimeField(null=True, blank=True)
    steps = models.JSONField(default=list, blank=True)
    failure = models.CharField(max_length=1000, blank=True)
    log = models.JSONField(default=list, blank=True)
    began_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["state"],
                condition=models.Q(state="testing"),
                name="one_release_is_tested_at_a_time",
            )
        ]

    def __str__(self) -> str:
        return self.airflow_version

    @property
    def runtime(self) -> str:
        return f"{self.airflow_version}-1"


class Source(models.Model):
    """What was learned of a source of news, the index or the feed, at the last look. `data` of the
    index: its ETag, and versions that were withdrawn with the reason.
    """

    name = models.CharField(max_length=10, primary_key=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=500, blank=True)
    data = models.JSONField(default=dict, blank=True)

    def __str__(self) -> str:
        return self.name
