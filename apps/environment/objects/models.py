import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.deployments.models import Deployment
from apps.organizations.models import Workspace


class Kind(models.TextChoices):
    CONNECTION = "connection", "Connection"
    VARIABLE = "variable", "Airflow variable"
    ENVIRONMENT = "environment", "Environment variable"
    BACKEND = "backend", "Secrets backend"


# They have a type, and fields that follow it.
TYPED = (Kind.CONNECTION, Kind.BACKEND)


class Stored(models.Model):
    """A value, in two parts. `plain` may be shown; `sealed` is JSON of the same shape that is
    written and never shown, and `secret_fields` names what is in it: `password`, `value`,
    `extra.token`.

    A connection has `type`, `host`, `schema`, `login`, `password`, `port` and `extra`, a mapping;
    variables of both kinds have a `value`; a secrets backend has `type` and `extra`, its options.
    """

    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    plain = models.JSONField(default=dict)
    sealed = models.BinaryField(null=True)
    secret_fields = models.JSONField(default=list)

    class Meta:
        abstract = True

    def identity(self, field: str) -> str:
        """Name a sealed field of this row for the cipher."""
        return f"{self._meta.label_lower}|{self.key}|{field}"

    @property
    def set_fields(self) -> list[str]:
        """The fields that hold a value, plain or secret; those of `extra` as `extra.name`."""
        extra = self.plain.get("extra", {})
        plain = [name for name, value in self.plain.items() if name != "extra" and value != ""]
        return sorted({*plain, *(f"extra.{name}" for name in extra), *self.secret_fields})


class EnvironmentObject(Stored):
    """A connection or a variable of a workspace, or of one Deployment.

    One of a workspace reaches the Deployments that are linked to it; `links_all` all that are not
    excluded, those of the future too. One of a Deployment replaces the workspace's of that name.
    """

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    deployment = models.ForeignKey(
        Deployment,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="environment_objects",
    )
    kind = models.CharField(max_length=12, choices=Kind.choices)
    name = models.CharField(max_length=200)
    description = models.CharField(max_length=500, blank=True)
    is_secret = models.BooleanField(default=False)
    links_all = models.BooleanField(default=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "deployment", "kind", "name"],
                name="environment_object_unique_in_place",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def place(self) -> Workspace | Deployment:
        return self.deployment or self.workspace

    @property
    def summary(self) -> str:
        """What it is, in a few words that give no secret away."""
        if self.kind == Kind.CONNECTION:
            host = self.plain.get("host")
            return f"{self.plain.get('type', '')}{f' at {host}' if host else ''}"
        if self.kind == Kind.BACKEND:
            return f"{self.get_kind_display()}, {self.plain.get('type', '')}"
        return f"{self.get_kind_display()}{', secret' if self.is_secret else ''}"


class EnvironmentLink(Stored):
    """That an object of a workspace reaches a Deployment, with the fields that differ there; or,
    `is_excluded`, that it does not although it links all.
    """

    source = models.ForeignKey(EnvironmentObject, on_delete=models.CASCADE, related_name="links")
    deployment = models.ForeignKey(
        Deployment, on_delete=models.CASCADE, related_name="environment_links"
    )
    is_excluded = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["source", "deployment"], name="one_environment_link_per_deployment"
            ),
            models.CheckConstraint(
                condition=Q(is_excluded=False) | Q(sealed=None, plain={}),
                name="excluded_link_overrides_nothing",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source_id} in {self.deployment_id}"

    @property
    def overrides(self) -> bool:
        return bool(self.plain or self.secret_fields)
