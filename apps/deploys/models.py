import secrets

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.deployments.models import Deployment, Revision
from apps.organizations.models import Workspace


class Kind(models.TextChoices):
    """What was delivered: DAGs alone, or a project with folders and packages beside them."""

    DAGS = "dags", "DAGs only"
    PROJECT = "project", "Project"


class Deploy(models.Model):
    """One delivery of code to a Deployment. Immutable; a rollback makes a new one with old code.

    `source` is how it came. The `git_…` fields say which commit it is, where that is known: of a
    push, or as a pipeline reported it.
    """

    class Source(models.TextChoices):
        HAND = "hand", "By hand"
        TOKEN = "token", "API token"
        GIT = "git", "Git"

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="deploys")
    number = models.PositiveIntegerField()
    revision = models.OneToOneField(Revision, on_delete=models.CASCADE, related_name="deploy")
    digest = models.CharField(max_length=64)
    file_name = models.CharField(max_length=200)
    size_bytes = models.PositiveBigIntegerField()
    n_files = models.PositiveIntegerField()
    # [{"path", "size", "sha256"}], up to thousands of them: lists defer it.
    files = models.JSONField(default=list)
    # Sentences that hold as long as this code is used.
    warnings = models.JSONField(default=list, blank=True)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.DAGS)
    packages_digest = models.CharField(max_length=64, blank=True, default="")
    # [[name, version, size in bytes or None]] beside those of the runtime.
    packages = models.JSONField(default=list, blank=True)
    # [[id, file, schedule, task count, owners, tags]], None where they were not read before.
    dags = models.JSONField(null=True, blank=True)
    description = models.CharField(max_length=500, blank=True)
    rollback_of = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    # The deploy of another Deployment whose code and packages these are.
    promoted_from = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    source = models.CharField(max_length=10, choices=Source.choices, default=Source.HAND)
    git_repository = models.CharField(max_length=300, blank=True)
    git_branch = models.CharField(max_length=255, blank=True)
    git_path = models.CharField(max_length=500, blank=True)
    git_commit = models.CharField(max_length=64, blank=True)
    git_author = models.CharField(max_length=200, blank=True)
    git_message = models.CharField(max_length=500, blank=True)
    git_url = models.CharField(max_length=1000, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["deployment", "number"], name="deploy_number_unique")
        ]

    def __str__(self) -> str:
        return f"deploy {self.number}"

    @property
    def short_commit(self) -> str:
        return self.git_commit[:7]


def new_upload_name() -> str:
    return secrets.token_hex(16)


class Upload(models.Model):
    """A delivery that a program announced. `name` is that of its files in storage; `version` names
    what was uploaded last, and is empty before that. An image is pushed to the portal's registry
    under `image_tag` instead, or is `image` of another registry already.

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


class Enforcement(models.Model):
    """Whether only API tokens and git may deploy: the default of a workspace, or what a Deployment
    has instead of it. Where nothing was decided there is no row, and people may deploy, too.
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
                name="enforcement_is_of_one_object",
            )
        ]

    def __str__(self) -> str:
        return "on" if self.is_on else "off"


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


class PreviewState(models.TextChoices):
    """How far an upload came that is looked at before it is deployed."""

    CHECKING = "checking", "Checking"
    READY = "ready", "Waiting for confirmation"
    FAILED = "failed", "Not deployable"
    DEPLOYED = "deployed", "Deployed"
    DISCARDED = "discarded", "Discarded"


class Preview(models.Model):
    """An upload that was accepted, and what deploying it would change.

    `needs` is what the project asks for: requirement lines, and versions that its own lock prefers.
    `base` is the revision that it was compared with; `runtime` the one that it was checked with.
    `packages` and `dags` are as in `Deploy`; `errors` are [[file, line, message, traceback, whether
    it asks Airflow]]; `before` is what runs: {"dags": rows or None, "running": {id: runs} or None}.
    `lease_until` is when a check that does not end is begun again. `source` and `origin` say how it
    came (see `origins`); of a push, `created_by` vouches for it.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="previews")
    number = models.PositiveIntegerField()
    source = models.CharField(
        max_length=10, choices=Deploy.Source.choices, default=Deploy.Source.HAND
    )
    origin = models.JSONField(default=dict, blank=True)
    state = models.CharField(
        max_length=10, choices=PreviewState.choices, default=PreviewState.CHECKING
    )
    is_deployed_at_once = models.BooleanField(default=False)
    file_name = models.CharField(max_length=200)
    description = models.CharField(max_length=500, blank=True)
    digest = models.CharField(max_length=64)
    size_bytes = models.PositiveBigIntegerField()
    files = models.JSONField(default=list)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.DAGS)
    notes = models.JSONField(default=list, blank=True)
    warnings = models.JSONField(default=list, blank=True)
    needs = models.JSONField(default=dict, blank=True)

    step = models.CharField(max_length=20, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    base = models.ForeignKey(
        Revision, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    runtime = models.CharField(max_length=40, blank=True)
    packages_digest = models.CharField(max_length=64, blank=True)
    packages = models.JSONField(default=list, blank=True)
    dags = models.JSONField(default=list, blank=True)
    errors = models.JSONField(default=list, blank=True)
    # [[kind, name, file, line, whether the code has a default]], None where they are not known.
    names = models.JSONField(null=True, blank=True)
    before = models.JSONField(default=dict, blank=True)
    problem = models.CharField(max_length=1500, blank=True)
    log = models.JSONField(default=list, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    took_seconds = models.FloatField(null=True, blank=True)

    deploy = models.OneToOneField(
        Deploy, null=True, blank=True, on_delete=models.SET_NULL, related_name="preview"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["deployment", "number"], name="preview_number_unique")
        ]

    def __str__(self) -> str:
        return f"preview {self.number}"


class PromotionState(models.TextChoices):
    """How far a promotion came. A closed one never opens again."""

    OPEN = "open", "Waiting for approval"
    DEPLOYED = "deployed", "Deployed"
    DECLINED = "declined", "Declined"
    WITHDRAWN = "withdrawn", "Withdrawn"
    EXPIRED = "expired", "Expired"


class Promotion(models.Model):
    """The request to run in `deployment` what another Deployment runs: the code and packages of the
    deploy `source`, unchanged. `source_name` is what that Deployment was called.

    `deploy` is what it became. `decided_by` approved, declined or withdrew it, at `decided_at`.
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

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["deployment", "number"], name="promotion_number_unique"
            ),
            models.UniqueConstraint(
                fields=["deployment", "source"],
                condition=Q(state="open"),
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
