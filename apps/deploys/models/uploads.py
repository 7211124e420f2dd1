"""Deliveries that a program announced."""

import secrets

from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.deployments.models import Deployment
from apps.deploys.models.deliveries import Deploy


def new_upload_name() -> str:
    return secrets.token_hex(16)


class Upload(models.Model):
    """A delivery that a program announced. `name` is that of its files in storage; `version` names
    what was uploaded last, and is empty before that. An image is pushed to the portal's registry
    under `image_tag` instead, or is `image` of another registry already. `origin` is the commit, as
    the program said (see `origins`).

    `finished_at` is when it became a deploy, or what was delivered was running already; or when its
    packages began to be chosen and installed, which `preview` is about.
    """

    class Contents(models.TextChoices):
        DAGS = "DAG_ONLY", "DAGs"
        IMAGE = "IMAGE_ONLY", "Image"
        BOTH = "IMAGE_AND_DAG", "Image and DAGs"

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="uploads")
    contents = models.CharField(
        max_length=13, choices=Contents.choices, default=Contents.DAGS, db_default=Contents.DAGS
    )
    name = models.CharField(max_length=32, default=new_upload_name, unique=True)
    description = models.CharField(max_length=500, blank=True)
    image = models.CharField(max_length=400, blank=True, default="", db_default="")
    origin = models.JSONField(default=dict, blank=True, db_default={})
    version = models.CharField(max_length=32, blank=True)
    failure = models.CharField(max_length=1000, blank=True)
    deploy = models.OneToOneField(
        Deploy,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="upload",
    )
    preview = models.OneToOneField(
        "Preview", null=True, blank=True, on_delete=models.SET_NULL, related_name="upload"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.description or self.name

    @property
    def has_image(self) -> bool:
        return self.contents != self.Contents.DAGS

    @property
    def image_tag(self) -> str:
        return f"deploy-{self.name[:12]}"
