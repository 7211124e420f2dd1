"""Promotions from one Deployment to another, and whether they need approval."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.deployments.models import Deployment
from apps.deploys.models.deliveries import Deploy
from apps.organizations.models import Workspace


class PromotionState(models.TextChoices):
    """How far a promotion came. A closed one never opens again."""

    OPEN = "open", "Waiting for approval"
    COPYING = "copying", "Copying packages"
    FAILED = "failed", "Failed"
    DEPLOYED = "deployed", "Deployed"
    DECLINED = "declined", "Declined"
    WITHDRAWN = "withdrawn", "Withdrawn"
    EXPIRED = "expired", "Expired"


# What is not decided on, or not done yet: it keeps what it needs, and is asked for once.
UNDER_WAY = (PromotionState.OPEN, PromotionState.COPYING)


class Promotion(models.Model):
    """The request to run in `deployment` what another Deployment runs: the code and packages of the
    deploy `source`, unchanged. `source_name` is what that Deployment was called.

    `deploy` is what it became. `decided_by` approved, declined or withdrew it, at `decided_at`, and
    saw the revision `base_number` of the target. While it is copying, a worker brings the image
    with the packages to the cluster of the target: `lease_until` is when another one begins again,
    and `problem` why the last attempt failed.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="promotions")
    number = models.PositiveIntegerField()
    source = models.ForeignKey(Deploy, null=True, on_delete=models.SET_NULL, related_name="+")
    source_name = models.CharField(max_length=60)
    state = models.CharField(
        max_length=10, choices=PromotionState.choices, default=PromotionState.OPEN
    )
    description = models.CharField(max_length=500, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    deploy = models.OneToOneField(
        Deploy, null=True, blank=True, on_delete=models.SET_NULL, related_name="promotion"
    )

    base_number = models.PositiveIntegerField(default=0, db_default=0)
    problem = models.CharField(max_length=1500, blank=True, default="", db_default="")
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    lease_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["deployment", "number"], name="promotion_number_unique"
            ),
            models.UniqueConstraint(
                fields=["deployment", "source"],
                condition=Q(state__in=("open", "copying")),
                name="promotion_asked_for_once",
            ),
        ]

    def __str__(self) -> str:
        return f"promotion {self.number}"


class ApprovalRule(models.Model):
    """Whether promotions need the approval of another person: the default of a workspace, or what a
    Deployment has instead of it. Where nothing was decided there is no row, and they need none.
    """

    workspace = models.OneToOneField(
        Workspace, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    deployment = models.OneToOneField(
        Deployment, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    is_on = models.BooleanField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(workspace=None, deployment__isnull=False)
                | Q(workspace__isnull=False, deployment=None),
                name="approval_rule_is_of_one_object",
            )
        ]

    def __str__(self) -> str:
        return "on" if self.is_on else "off"
