import secrets
import uuid
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from apps.access.queries import ScopedQuerySet
from apps.access.roles.catalogue import Scope
from apps.organizations.models import Organization, Workspace

SHARDS = 64
SEALED = (
    "credential",
    "database_password",
    "logs_secret_key",
    "image_pull_secret",
    "registry_password",
)


def new_portal_id() -> str:
    """Return the id that labels everything the portal creates in one cluster, to tell it from other
    objects.

    It is made once per row, so it survives a change of the portal's address, and two portals or two
    organizations that share a cluster never touch each other's objects.
    """
    return secrets.token_hex(6)


def new_external_id() -> str:
    return f"astro-portal-{secrets.token_hex(12)}"


def new_shard() -> int:
    return secrets.randbelow(SHARDS)


class ClusterQuerySet(ScopedQuerySet["Cluster"]):
    def there(self) -> "ClusterQuerySet":
        """Leave out removed clusters."""
        return self.filter(removed_at=None)


class Cluster(models.Model):
    """A data plane registered with the portal.

    What a connection needs is empty for this machine. `credential` and the other names of `SEALED`
    hold ciphertext, opened by `sealed` alone. `credential_expires_at` is empty for one that is
    renewed: by a cloud's library, or as `token_ends_at` and `renew_token_at` say. `ca_expires_at`
    is when the last certificate of `ca_certificate` does; so are the others of such a name.
    `connection_version` grows with every change of what a plane is made from, so that no process
    keeps using an old one, and `settings_version` with every change for which Deployments that run
    there must be applied again. `check_result` is what
    the last test found (see `probe`), `storage_test` the same of its storage (see `storage`),
    `identity_seen` which cluster answered, `cloud` what pages show of a cluster of a cloud (the
    `facts` of its identity). The columns from `failures` to `blind_until` belong to the circuit
    breaker. A cluster that was removed keeps its row for the records of its
    Deployments, without a secret.
    """

    class Kind(models.TextChoices):
        LOCAL = "local", "This machine"
        KUBERNETES = "kubernetes", "Kubernetes"

    class CredentialKind(models.TextChoices):
        TOKEN = "token", "Token"
        CERTIFICATE = "certificate", "Client certificate"
        AWS = "aws", "AWS role"
        AZURE = "azure", "Azure application"
        GOOGLE = "google", "Google service account"

    class LogsIn(models.TextChoices):
        CLAIM = "claim", "Shared volume"
        OBJECT_STORE = "object_store", "Object store"

    class LogsAccess(models.TextChoices):
        MANY = "ReadWriteMany", "ReadWriteMany"
        ONCE = "ReadWriteOnce", "ReadWriteOnce"

    class DatabaseTls(models.TextChoices):
        DISABLE = "disable", "Not encrypted"
        PREFER = "prefer", "Encrypted if the server can"
        REQUIRE = "require", "Encrypted"
        VERIFY_CA = "verify-ca", "Encrypted, of this CA"
        VERIFY_FULL = "verify-full", "Encrypted, of this CA and host name"

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="clusters"
    )
    kind = models.CharField(max_length=20, choices=Kind.choices)
    name = models.CharField(max_length=60)
    created_at = models.DateTimeField(default=timezone.now)
    removed_at = models.DateTimeField(null=True, blank=True)
    is_for_all_workspaces = models.BooleanField(default=True)
    workspaces = models.ManyToManyField(Workspace, related_name="clusters", blank=True)

    portal_id = models.CharField(max_length=12, default=new_portal_id, unique=True)
    server = models.CharField(max_length=500, blank=True)
    ca_certificate = models.TextField(blank=True)
    tls_server_name = models.CharField(max_length=253, blank=True)
    proxy_url = models.CharField(max_length=300, blank=True)
    credential = models.BinaryField(null=True, blank=True)
    credential_kind = models.CharField(max_length=12, choices=CredentialKind.choices, blank=True)
    cloud = models.JSONField(default=dict, blank=True)
    credential_set_at = models.DateTimeField(null=True, blank=True)
    credential_expires_at = models.DateTimeField(null=True, blank=True)
    ca_expires_at = models.DateTimeField(null=True, blank=True)
    token_ends_at = models.DateTimeField(null=True, blank=True)
    renew_token_at = models.DateTimeField(null=True, blank=True)
    connection_version = models.PositiveIntegerField(default=1)
    settings_version = models.PositiveIntegerField(default=1)

    namespaces = models.TextField(blank=True)
    storage_class = models.CharField(max_length=253, blank=True)
    logs_in = models.CharField(max_length=12, choices=LogsIn.choices, default=LogsIn.CLAIM)
    logs_storage_class = models.CharField(max_length=253, blank=True)
    logs_size = models.CharField(max_length=12, default="5Gi")
    logs_access = models.CharField(
        max_length=13, choices=LogsAccess.choices, default=LogsAccess.MANY
    )
    logs_url = models.CharField(max_length=500, blank=True)
    logs_endpoint = models.CharField(max_length=500, blank=True)
    logs_access_key = models.CharField(max_length=200, blank=True)
    logs_secret_key = models.BinaryField(null=True, blank=True)
    database_host = models.CharField(max_length=253, blank=True)
    database_port = models.PositiveIntegerField(default=5432)
    database_user = models.CharField(max_length=63, blank=True)
    database_password = models.BinaryField(null=True, blank=True)
    database_sslmode = models.CharField(
        max_length=12, choices=DatabaseTls.choices, default=DatabaseTls.PREFER
    )
    database_ca = models.TextField(blank=True)
    database_ca_expires_at = models.DateTimeField(null=True, blank=True)
    database_size = models.CharField(max_length=12, default="5Gi")
    history_days = models.PositiveSmallIntegerField(default=365)
    image_pull_secret = models.BinaryField(null=True, blank=True)
    registry_repository = models.CharField(max_length=300, blank=True)
    registry_user = models.CharField(max_length=200, blank=True)
    registry_password = models.BinaryField(null=True, blank=True)
    registry_ca = models.TextField(blank=True)
    registry_ca_expires_at = models.DateTimeField(null=True, blank=True)
    runtime_repository = models.CharField(max_length=300, blank=True)
    package_index = models.CharField(max_length=500, blank=True)
    image_mirror = models.CharField(max_length=300, blank=True, default="", db_default="")

    has_keda = models.BooleanField(default=False)
    gives_user_ids = models.BooleanField(default=False, db_default=False)
    may_scale = models.BooleanField(default=False, db_default=False)
    version = models.CharField(max_length=60, blank=True)
    identity_seen = models.CharField(max_length=60, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    check_result = models.JSONField(default=dict, blank=True)
    storage_test = models.JSONField(default=dict, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True)

    failures = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=500, blank=True)
    unreachable_since = models.DateTimeField(null=True, blank=True)
    blind_until = models.DateTimeField(null=True, blank=True)
    shard = models.PositiveSmallIntegerField(default=new_shard)

    access_scope: ClassVar[Scope] = "organization"
    access_paths: ClassVar[dict[str, str]] = {"organization": "organization"}

    objects = ClusterQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                "organization",
                condition=models.Q(removed_at=None),
                name="cluster_name_unique_in_organization",
            ),
            models.CheckConstraint(
                condition=models.Q(kind="local")
                | models.Q(removed_at__isnull=False)
                | models.Q(credential__isnull=False, server__startswith="https://"),
                name="kubernetes_cluster_has_a_connection",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def access_parent(self) -> Organization:
        return self.organization

    @property
    def is_kubernetes(self) -> bool:
        return self.kind == self.Kind.KUBERNETES

    @property
    def keeps_time(self) -> bool:
        """Whether Deployments hibernate and wake at their times while the portal is away."""
        return not self.is_kubernetes or self.may_scale

    @property
    def named_namespaces(self) -> tuple[str, ...]:
        """The namespaces that the portal may write in, none where it may everywhere."""
        return tuple(self.namespaces.split())

    def homes(self) -> dict[str, str]:
        """Return the namespaces that Deployments have taken, by ref. One query."""
        if self.pk is None:
            return {}
        # A higher app owns the model; its rows are reached without an import.
        there: Any = self.deployments.exclude(phase="deleted").exclude(namespace="")
        return dict(there.values_list("ref", "namespace"))

    @property
    def is_usable(self) -> bool:
        """Return whether the last test found all that a Deployment needs."""
        return bool(self.check_result.get("is_usable", not self.is_kubernetes))

    @property
    def provider(self) -> str:
        """Whose cluster it is, as the API writes it: AWS, AZURE or GCP, else its kind."""
        known = {"aws": "AWS", "azure": "AZURE", "google": "GCP"}
        return known.get(self.cloud.get("cloud", ""), self.kind.upper())

    @property
    def region(self) -> str:
        """The region at the provider, else its kind."""
        return str(self.cloud.get("region", self.kind))

    def identity(self, field: str) -> str:
        """Name a sealed field of this row for the cipher."""
        return f"clusters.cluster|{self.portal_id}|{field}"

    @property
    def database_server(self) -> str:
        """The PostgreSQL server for the metadata databases of new Deployments, `host:port`."""
        return f"{self.database_host}:{self.database_port}" if self.database_host else ""


class ProjectImage(models.Model):
    """An image with the packages of a project on top of a runtime's, in the registry of a cluster.

    `runtime_image` and `packages_digest`, the SHA-256 of a lock, say what it was made of; `image`
    is `repository@sha256:…`. Another one takes its place only when the registry lost it, or the
    cluster has another repository. Nothing needs it since `unused_since`; `removal_error` is why
    the registry has it all the same.
    """

    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="project_images")
    runtime_image = models.CharField(max_length=300)
    packages_digest = models.CharField(max_length=64)
    image = models.CharField(max_length=400)
    created_at = models.DateTimeField(default=timezone.now)
    unused_since = models.DateTimeField(null=True, blank=True)
    removal_error = models.CharField(max_length=500, blank=True, default="", db_default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["cluster", "runtime_image", "packages_digest"], name="project_image_once"
            )
        ]

    def __str__(self) -> str:
        return self.image


class KeptSecret(models.Model):
    """A secret that a person typed into a form that could not be accepted yet, so that correcting
    the rest does not take it again. Sealed, of that person and form alone, and gone within an hour.

    `bound_to` is a digest of the fields that say where the secret is sent to: with others it is
    not used.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    form = models.CharField(max_length=60)
    field = models.CharField(max_length=40)
    bound_to = models.CharField(max_length=64)
    sealed = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "organization", "form", "field"], name="secret_kept_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.field} of {self.form}"

    @property
    def identity(self) -> str:
        return f"clusters.keptsecret|{self.id}|sealed"


class ExternalId(models.Model):
    """What the portal says to AWS of an organization when it assumes a role for it.

    A role's owner names it in the role's trust policy. No one chooses it, so no organization can
    use the portal to come to an account that trusts the portal for another one.
    """

    organization = models.OneToOneField(
        Organization, on_delete=models.CASCADE, related_name="external_id"
    )
    value = models.CharField(max_length=40, default=new_external_id, unique=True)

    def __str__(self) -> str:
        return self.value


class FormerDatabaseServer(models.Model):
    """A PostgreSQL server that holds metadata databases of Deployments, and gets no new ones."""

    cluster = models.ForeignKey(
        Cluster, on_delete=models.CASCADE, related_name="former_database_servers"
    )
    host = models.CharField(max_length=253)
    port = models.PositiveIntegerField()
    user = models.CharField(max_length=63)
    password = models.BinaryField()
    sslmode = models.CharField(
        max_length=12,
        choices=Cluster.DatabaseTls.choices,
        default=Cluster.DatabaseTls.PREFER,
    )
    ca = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["cluster", "host", "port"], name="former_database_server_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def identity(self) -> str:
        return f"clusters.formerdatabaseserver|{self.cluster.portal_id}|{self}"
