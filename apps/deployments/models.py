import uuid
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from apps.access.models import Grant, TeamGrant, ending_index
from apps.access.queries import ScopedQuerySet
from apps.access.roles.catalogue import Scope
from apps.clusters.models import Cluster
from apps.deployments.configuration.schema import Configuration
from apps.organizations.models import Workspace


class Phase(models.TextChoices):
    """What is wanted of a Deployment: to exist, or to be deleted."""

    ACTIVE = "active", "Active"
    DELETING = "deleting", "Deleting"
    DELETED = "deleted", "Deleted"


class RevisionState(models.TextChoices):
    """How far a revision was applied on the data plane."""

    PENDING = "pending", "Waiting"
    APPLYING = "applying", "Applying"
    APPLIED = "applied", "Applied"
    FAILED = "failed", "Failed"
    SUPERSEDED = "superseded", "Superseded"


class Health(models.TextChoices):
    """The health that the data plane reported last."""

    UNKNOWN = "unknown", "Unknown"
    STARTING = "starting", "Starting"
    HEALTHY = "healthy", "Healthy"
    UNHEALTHY = "unhealthy", "Unhealthy"
    STOPPED = "stopped", "Stopped"


class Deployment(models.Model):
    """One Airflow. The row is the truth; messages about it are hints.

    `ref` is its name on the data plane and in addresses, and never changes. `wanted` is the newest
    revision; reconciling is due when `next_reconcile_at` has passed. `last_error` is why the last
    pass got no further and will be retried. `is_urgent` rows come first, because a person waits for
    them. The lease columns belong to `lifecycle.claim`. `settings_version` is that of the cluster's
    settings it was applied with; `layers_version` grows
    with every change of a layer above that reaches it, `layers_applied` is that of the last apply;
    `database_server` where its metadata database was put:
    `host:port`, empty for a server in its own namespace. It never moves. `open_incidents` and
    `incident_severity`, how many are open and not silenced and the worst of them, are written by
    observability and read by every page. `environment_version` counts changes of the values that
    reach it from outside of its revisions, `environment_delivered` is the one on the data plane.
    `restarts` counts how often people asked for all components to be restarted. `hibernation` is
    the plan of `apps.dataplane.hibernation`, `is_hibernating` what it says until
    `hibernation_turns_at`; `hibernation_version` counts changes of both, `hibernation_applied` is
    the one on the data plane. `is_development` is kept for clients that hibernate nothing else.
    `namespace` is the one that it took of those that the cluster names, empty for one of its own.
    """

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="deployments")
    cluster = models.ForeignKey(Cluster, on_delete=models.PROTECT, related_name="deployments")
    ref = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=60)
    description = models.TextField(max_length=500, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True, blank=True)

    phase = models.CharField(max_length=10, choices=Phase.choices, default=Phase.ACTIVE)
    wanted = models.ForeignKey(
        "Revision", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    applied = models.ForeignKey(
        "Revision", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    airflow_secrets = models.BinaryField(null=True, blank=True)
    settings_version = models.PositiveIntegerField(default=1)
    layers_version = models.PositiveIntegerField(default=0, db_default=0)
    layers_applied = models.PositiveIntegerField(default=0, db_default=0)
    namespace = models.CharField(max_length=63, blank=True, db_default="")
    database_server = models.CharField(max_length=260, blank=True)
    environment_version = models.PositiveIntegerField(default=0, db_default=0)
    environment_delivered = models.PositiveIntegerField(default=0, db_default=0)
    restarts = models.PositiveIntegerField(default=0, db_default=0)
    hibernation = models.JSONField(default=dict, blank=True, db_default={})
    is_hibernating = models.BooleanField(default=False, db_default=False)
    hibernation_turns_at = models.DateTimeField(null=True, blank=True)
    hibernation_version = models.PositiveIntegerField(default=0, db_default=0)
    hibernation_applied = models.PositiveIntegerField(default=0, db_default=0)
    is_development = models.BooleanField(default=True, db_default=True)

    health = models.CharField(max_length=10, choices=Health.choices, default=Health.UNKNOWN)
    health_message = models.CharField(max_length=500, blank=True)
    health_since = models.DateTimeField(null=True, blank=True)
    observed_at = models.DateTimeField(null=True, blank=True)
    observation = models.JSONField(default=dict, blank=True)
    open_incidents = models.PositiveIntegerField(default=0, db_default=0)
    incident_severity = models.PositiveSmallIntegerField(default=0, db_default=0)

    next_reconcile_at = models.DateTimeField(null=True, blank=True, default=timezone.now)
    is_urgent = models.BooleanField(default=False)
    failures = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=500, blank=True)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    unfinished_passes = models.PositiveSmallIntegerField(default=0)
    quarantined_at = models.DateTimeField(null=True, blank=True)

    access_scope: ClassVar[Scope] = "deployment"
    access_paths: ClassVar[dict[str, str]] = {
        "deployment": "",
        "workspace": "workspace",
        "organization": "workspace__organization",
    }
    shown_with: ClassVar[tuple[str, ...]] = ("cluster",)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                "workspace",
                condition=~models.Q(phase="deleted"),
                name="deployment_name_unique_in_workspace",
            ),
            models.UniqueConstraint(
                fields=["cluster", "namespace"],
                condition=~models.Q(phase="deleted") & ~models.Q(namespace=""),
                name="namespace_taken_once",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_reconcile_at"],
                condition=models.Q(next_reconcile_at__isnull=False),
                name="deployment_due",
            ),
            models.Index(fields=["workspace", "phase"], name="deployment_in_workspace"),
            models.Index(
                fields=["hibernation_turns_at"],
                condition=models.Q(hibernation_turns_at__isnull=False),
                name="deployment_turns",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def access_parent(self) -> Workspace:
        return self.workspace

    @property
    def import_errors(self) -> int:
        """How many DAG files could not be imported at the last look."""
        return int(self.observation.get("import_errors") or 0)

    @property
    def warnings(self) -> list[str]:
        """Sentences about tasks that could not start at the last look."""
        return list(self.observation.get("warnings") or ())


class DeploymentGrant(Grant):
    content_object = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="grants")

    class Meta(Grant.Meta):
        indexes = [
            models.Index(fields=["content_object", "permission"], name="deployment_grant_object"),
            ending_index("deployment_grant"),
        ]


class DeploymentTeamGrant(TeamGrant):
    content_object = models.ForeignKey(
        Deployment, on_delete=models.CASCADE, related_name="team_grants"
    )

    class Meta(TeamGrant.Meta):
        indexes = [
            models.Index(
                fields=["content_object", "permission"], name="deployment_team_grant_object"
            ),
            ending_index("deployment_team_grant"),
        ]


class ClusterLease(models.Model):
    """The right to do one thing with a cluster until its expiry by the database's clock.

    The two slots bound how many passes run on a Kubernetes cluster at a time, so that a slow one
    does not take every worker. A released lease holds when the next may begin.
    """

    class Purpose(models.TextChoices):
        SLOT_1 = "slot-1", "A pass"
        SLOT_2 = "slot-2", "Another pass"
        SURVEY = "survey", "A survey of all Deployments"
        MARKS = "marks", "Marks on busy workers"
        WATCH = "watch", "The watches"

    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="leases")
    purpose = models.CharField(max_length=10, choices=Purpose.choices)
    token = models.UUIDField(null=True, blank=True)
    until = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["cluster", "purpose"], name="one_lease_per_cluster_and_purpose"
            )
        ]

    def __str__(self) -> str:
        return f"{self.purpose} of {self.cluster_id}"


class Revision(models.Model):
    """An immutable snapshot of a Deployment's configuration. Only its `state` moves, through
    `lifecycle`.

    `config` is what `Configuration.to_json` writes; a secret in it is the id of a
    SecretValue. `code_digest` is the SHA-256 of the delivered code, empty for the example DAGs;
    `packages_digest` that of the lock of its packages, empty where the runtime has them all.
    `restore` names the backup that takes the place of the metadata database when it is applied.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    config = models.JSONField()
    code_digest = models.CharField(max_length=64, blank=True)
    packages_digest = models.CharField(max_length=64, blank=True, default="", db_default="")
    restore = models.JSONField(null=True, blank=True)
    state = models.CharField(
        max_length=12, choices=RevisionState.choices, default=RevisionState.PENDING
    )
    reason = models.CharField(max_length=500, blank=True)
    summary = models.CharField(max_length=200)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    applied_at = models.DateTimeField(null=True, blank=True)
    failure = models.CharField(max_length=1000, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["deployment", "number"], name="revision_number_unique")
        ]

    def __str__(self) -> str:
        return f"revision {self.number}"

    @property
    def configuration(self) -> Configuration:
        return Configuration.from_json(self.config)


class SecretValue(models.Model):
    """The encrypted value of a secret variable. Written once; a new value is a new row. Never
    shown.

    Until a revision uses it, it belongs to its author's draft; from then on to that Deployment
    alone.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    deployment = models.ForeignKey(
        Deployment, null=True, blank=True, on_delete=models.CASCADE, related_name="secret_values"
    )
    sealed = models.BinaryField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    @property
    def identity(self) -> str:
        return f"deployments.secretvalue|{self.id}|sealed"


class Draft(models.Model):
    """A configuration that was typed but not applied yet, of a new Deployment or of an existing
    one.

    It stores the edit between the form and the review, through a stale edit and a lost session.
    `restores` is the revision to restore, code included. `operation` is the one that confirming it
    began, so that a second click returns it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="drafts")
    deployment = models.ForeignKey(
        Deployment, null=True, blank=True, on_delete=models.CASCADE, related_name="drafts"
    )
    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=60, blank=True)
    base = models.ForeignKey(
        Revision, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    restores = models.ForeignKey(
        Revision, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    operation = models.ForeignKey(
        "Operation", null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    config = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    @property
    def configuration(self) -> Configuration:
        return Configuration.from_json(self.config)

    @property
    def access_parent(self) -> Any:
        return self.deployment or self.workspace


class OperationState(models.TextChoices):
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Done"
    FAILED = "failed", "Failed"
    SUPERSEDED = "superseded", "Superseded"


class Operation(models.Model):
    """One long action on a Deployment, with steps, an actor and a permanent page of its own."""

    class Kind(models.TextChoices):
        CREATE = "create", "Create"
        UPDATE = "update", "Update"
        DEPLOY = "deploy", "Deploy"
        ROLL_BACK = "roll-back", "Roll back"
        RESTORE = "restore", "Restore backup"
        RETRY = "retry", "Retry"
        RESTART = "restart", "Restart"
        HIBERNATE = "hibernate", "Hibernate"
        WAKE = "wake", "Wake up"
        PUT_BACK = "put-back", "Revert drift"
        SETTINGS = "settings", "Cluster settings"
        DELETE = "delete", "Delete"

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="operations")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    title = models.CharField(max_length=200)
    revision = models.ForeignKey(
        Revision, null=True, blank=True, on_delete=models.CASCADE, related_name="operations"
    )
    state = models.CharField(
        max_length=12, choices=OperationState.choices, default=OperationState.RUNNING
    )
    failure = models.CharField(max_length=1000, blank=True)
    failed_component = models.CharField(max_length=80, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    request_id = models.CharField(max_length=64, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["deployment", "number"], name="operation_number_unique"
            ),
            models.UniqueConstraint(
                fields=["deployment"],
                condition=models.Q(state="running"),
                name="one_running_operation_per_deployment",
            ),
        ]

    def __str__(self) -> str:
        return self.title


class OperationStep(models.Model):
    """One named step as the data plane last reported it; `log` is its last lines if it failed."""

    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField()
    key = models.CharField(max_length=60)
    title = models.CharField(max_length=160)
    state = models.CharField(max_length=10)
    detail = models.CharField(max_length=500, blank=True)
    log = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["operation", "key"], name="step_key_unique_in_operation"
            )
        ]
