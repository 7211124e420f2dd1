"""Repositories, what Deployments take from them, and what becomes of their commits."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.deployments.models import Deployment
from apps.organizations.models import Workspace


class GitRepository(models.Model):
    """A git repository that a workspace deploys from.

    `key` is its part of the webhook's address and what its secrets are bound to. `secret` (sealed)
    is a token for https, the private deploy key for ssh. `host_key` is the key that the ssh server
    showed first. `connected_by` vouches for the credential: when that person may no longer connect
    repositories, the portal no longer uses it. The row is polled when `next_poll_at` has passed;
    the lease columns belong to `git.leases`.
    """

    class Provider(models.TextChoices):
        GITHUB = "github", "GitHub"
        GITLAB = "gitlab", "GitLab"
        GITEA = "gitea", "Gitea or Forgejo"
        BITBUCKET = "bitbucket", "Bitbucket"
        OTHER = "other", "Other"

    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, related_name="git_repositories"
    )
    key = models.SlugField(max_length=60, unique=True)
    url = models.CharField(max_length=500)
    host = models.CharField(max_length=253)
    provider = models.CharField(max_length=10, choices=Provider.choices, default=Provider.OTHER)
    username = models.CharField(max_length=100, blank=True)
    secret = models.BinaryField(null=True, blank=True)
    public_key = models.CharField(max_length=300, blank=True)
    host_key = models.CharField(max_length=1000, blank=True)
    webhook_secret = models.BinaryField(null=True, blank=True)
    webhook_seen_at = models.DateTimeField(null=True, blank=True)
    # A token that may set states of commits; without one none are reported.
    state_token = models.BinaryField(null=True, blank=True)
    connected_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    polled_at = models.DateTimeField(null=True, blank=True)
    next_poll_at = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveSmallIntegerField(default=0)
    last_error = models.CharField(max_length=500, blank=True)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "url"], name="git_repository_unique_in_workspace"
            )
        ]
        indexes = [
            models.Index(
                fields=["next_poll_at"],
                condition=Q(next_poll_at__isnull=False),
                name="git_repository_due",
            )
        ]

    def __str__(self) -> str:
        """Return the address without scheme, user and ending: `github.com/acme/dags`."""
        rest = self.url.partition("://")[2]
        return rest.rpartition("@")[2].removesuffix(".git")

    @property
    def is_ssh(self) -> bool:
        return self.url.startswith("ssh://")

    def identity(self, field: str) -> str:
        """Name a sealed field of this row for the cipher."""
        return f"deploys.gitrepository|{self.key}|{field}"


class GitSource(models.Model):
    """Where a Deployment gets its code from: a folder of a branch.

    `set_by` vouches for it: commits are deployed as long as that person may deploy to it. `commit`
    and `tree` are those that were judged last, whatever came of it; `tree` is the hash of the
    folder, so a commit that does not touch it changes nothing. `waiting_commit` waits until the
    deploy in progress has ended. `notice` says what became of the last commit, `last_error` what
    went wrong with it.
    """

    deployment = models.OneToOneField(
        Deployment, on_delete=models.CASCADE, related_name="git_source"
    )
    repository = models.ForeignKey(GitRepository, on_delete=models.RESTRICT, related_name="sources")
    branch = models.CharField(max_length=255)
    path = models.CharField(max_length=500, blank=True)
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    set_at = models.DateTimeField(default=timezone.now)
    commit = models.CharField(max_length=64, blank=True)
    tree = models.CharField(max_length=64, blank=True)
    waiting_commit = models.CharField(max_length=64, blank=True)
    notice = models.CharField(max_length=500, blank=True)
    last_error = models.CharField(max_length=1000, blank=True)

    def __str__(self) -> str:
        return f"{self.branch} of {self.repository}"

    @property
    def short_commit(self) -> str:
        return self.commit[:7]


class CommitState(models.Model):
    """What became of a commit for one Deployment, to be told to the provider. `sent_state` is what
    it was told last, `next_at` when it is told again or tried again.
    """

    repository = models.ForeignKey(
        GitRepository, on_delete=models.CASCADE, related_name="commit_states"
    )
    deployment = models.ForeignKey(
        Deployment, on_delete=models.CASCADE, related_name="commit_states"
    )
    commit = models.CharField(max_length=64)
    state = models.CharField(max_length=10)
    description = models.CharField(max_length=300, blank=True)
    sent_state = models.CharField(max_length=10, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    last_error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["deployment", "commit"], name="commit_state_unique_in_deployment"
            )
        ]
        indexes = [
            models.Index(
                fields=["next_at"],
                condition=~Q(sent_state=models.F("state")),
                name="commit_state_due",
            )
        ]

    def __str__(self) -> str:
        return f"{self.state} of {self.commit[:7]}"
