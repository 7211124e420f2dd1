"""Deployments of branches."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.deployments.models import Deployment
from apps.deploys.models.git import GitRepository


class BranchRule(models.Model):
    """Which branches of a repository get a Deployment of their own, and what that is like.

    `template` is the Deployment whose configuration they get, without secrets and with one worker
    per queue. `most` bounds how many there are, `days` how long each stays. `set_by` vouches for
    it. The row is looked at when `next_look_at` has passed.
    """

    repository = models.OneToOneField(
        GitRepository, on_delete=models.CASCADE, related_name="branch_rule"
    )
    template = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="+")
    pattern = models.CharField(max_length=200)
    path = models.CharField(max_length=500, blank=True)
    most = models.PositiveSmallIntegerField()
    days = models.PositiveSmallIntegerField()
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    next_look_at = models.DateTimeField(default=timezone.now)
    last_error = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return self.pattern


class BranchDeployment(models.Model):
    """The Deployment of a branch. `commit` is where the branch was when it was made: one that
    ended before its branch is made again with another commit, and not before.
    """

    rule = models.ForeignKey(BranchRule, on_delete=models.CASCADE, related_name="deployments")
    branch = models.CharField(max_length=255)
    commit = models.CharField(max_length=64)
    deployment = models.OneToOneField(
        Deployment, on_delete=models.CASCADE, related_name="branch_deployment"
    )
    ends_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "branch"], name="one_deployment_for_each_branch"
            )
        ]

    def __str__(self) -> str:
        return self.branch
