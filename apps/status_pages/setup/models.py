import secrets

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.alerts.channels.models import Channel
from apps.clusters.models import Cluster
from apps.deployments.models import Deployment
from apps.organizations.models import Organization
from apps.status_pages.setup.states import State


def new_key() -> str:
    """Return an id for feeds and JSON that tells nothing of the row."""
    return secrets.token_hex(6)


class StatusPage(models.Model):
    """The status page of an organization.

    `address` names it in `/status/<address>/`, `host` is a host name of its own. `changed_at` is
    when something on it changed last, so that a copy that is older is written anew at once. The
    messages of its reports also go to `channels`.
    """

    class Audience(models.TextChoices):
        PUBLIC = "public", "Everyone"
        MEMBERS = "members", "Members of the organization"

    class Drafting(models.TextChoices):
        NEVER = "never", "Do nothing"
        DRAFT = "draft", "Draft an incident for a person to post"
        POST = "post", "Post the incident, and resolve it"

    organization = models.OneToOneField(
        Organization, on_delete=models.CASCADE, related_name="status_page"
    )
    key = models.CharField(max_length=12, unique=True, default=new_key, editable=False)
    is_on = models.BooleanField(default=False)
    audience = models.CharField(max_length=8, choices=Audience.choices, default=Audience.PUBLIC)
    address = models.SlugField(max_length=60, unique=True)
    host = models.CharField(max_length=253, blank=True)
    name = models.CharField(max_length=80)
    about = models.CharField(max_length=300, blank=True)
    drafting = models.CharField(max_length=6, choices=Drafting.choices, default=Drafting.DRAFT)
    channels = models.ManyToManyField(Channel, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["host"], condition=~Q(host=""), name="one_status_page_per_host"
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_public(self) -> bool:
        return self.is_on and self.audience == self.Audience.PUBLIC


class Component(models.Model):
    """One line of a page, under a name that people chose, and what its state is read from.

    `state` holds what was found often enough; `seen_state` what was found in the last `looks` looks
    since `seen_at`. `evaluated_at` is the last look. Only `health.evaluation` writes them.
    """

    class Source(models.TextChoices):
        DEPLOYMENTS = "deployments", "Deployments"
        CLUSTER = "cluster", "A cluster"
        PORTAL = "portal", "This portal"

    page = models.ForeignKey(StatusPage, on_delete=models.CASCADE, related_name="components")
    key = models.CharField(max_length=12, unique=True, default=new_key, editable=False)
    name = models.CharField(max_length=80)
    about = models.CharField(max_length=200, blank=True)
    group = models.CharField(max_length=60, blank=True)
    position = models.PositiveIntegerField(default=0)
    source = models.CharField(max_length=12, choices=Source.choices)
    cluster = models.ForeignKey(
        Cluster, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    deployments = models.ManyToManyField(Deployment, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    state = models.CharField(max_length=20, choices=State.choices, default=State.UNKNOWN)
    state_at = models.DateTimeField(default=timezone.now)
    seen_state = models.CharField(max_length=20, choices=State.choices, default=State.UNKNOWN)
    seen_at = models.DateTimeField(null=True, blank=True)
    looks = models.PositiveIntegerField(default=0)
    evaluated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["page", "name"], name="component_name_unique_on_page")
        ]
        indexes = [models.Index(fields=["page", "position"], name="component_in_order")]

    def __str__(self) -> str:
        return self.name
