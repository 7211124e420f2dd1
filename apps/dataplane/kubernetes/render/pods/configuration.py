"""The Secrets and ConfigMaps of a Deployment, and which component reads which."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render.pods import environment, portal_files
from apps.dataplane.kubernetes.render.pods.database import preparation_values, reader_url
from apps.dataplane.kubernetes.render.pods.placement import IMAGE_SECRET, REGISTRY_SECRET
from apps.dataplane.kubernetes.render.pods.pods import ENVIRONMENT_SECRET
from apps.dataplane.kubernetes.render.pods.pooling import pooler_files
from apps.dataplane.kubernetes.render.target import Target

CONFIGURATION = "configuration"
KEDA_SECRET = "keda-database"  # noqa: S105 - the name of an object
ADMIN_SECRET = "database-admin"  # noqa: S105 - the name of an object
DIRECT_SECRET = "airflow-direct"  # noqa: S105 - the name of an object
BROKER_FILE = "redis.conf"
VARIABLES_SECRET = "variables"  # noqa: S105 - the name of an object
TASK_LOGS_SECRET = "task-logs"  # noqa: S105 - the name of an object
# The KubernetesExecutor's pods may name these and no other Secrets of the namespace.
SECRETS_OF_TASKS = (VARIABLES_SECRET, TASK_LOGS_SECRET, ENVIRONMENT_SECRET)


@dataclass(frozen=True)
class Configuration:
    """Every Secret and ConfigMap that pods read, made once for a rendering."""

    target: Target

    @cached_property
    def common(self) -> Manifest:
        return self._config_map("environment", environment.common_environment(self.target))

    @cached_property
    def variables(self) -> Manifest:
        return self._secret(VARIABLES_SECRET, environment.secret_variables(self.target))

    @cached_property
    def environment_objects(self) -> Manifest:
        return self._secret(ENVIRONMENT_SECRET, environment.environment_objects(self.target))

    @cached_property
    def core(self) -> Manifest:
        return self._config_map("environment-core", environment.core_environment(self.target))

    @cached_property
    def airflow(self) -> Manifest:
        is_direct = not self.target.spec.settings.pgbouncer
        return self._secret("airflow", environment.core_secrets(self.target, is_direct=is_direct))

    @cached_property
    def direct(self) -> Manifest:
        """What `airflow` has, with the address of the database's server itself."""
        if not self.target.spec.settings.pgbouncer:
            return self.airflow
        secrets = environment.core_secrets(self.target, is_direct=True)
        return self._secret(DIRECT_SECRET, secrets)

    @cached_property
    def pooler(self) -> Manifest:
        return self._secret("pgbouncer", pooler_files(self.target))

    @cached_property
    def broker(self) -> Manifest:
        return self._secret("broker", environment.broker_secrets(self.target))

    @cached_property
    def logs(self) -> Manifest:
        name = "logs" if self.target.has_shared_logs else TASK_LOGS_SECRET
        return self._secret(name, environment.log_secrets(self.target))

    @cached_property
    def broker_server(self) -> Manifest:
        password = self.target.derived("broker")
        text = f"requirepass {password}\nappendonly yes\ndir /data\n"
        return self._secret("redis", {BROKER_FILE: text})

    @cached_property
    def database_admin(self) -> Manifest:
        return self._secret(ADMIN_SECRET, preparation_values(self.target))

    @cached_property
    def keda(self) -> Manifest:
        return self._secret(KEDA_SECRET, {"connection": reader_url(self.target)})

    @cached_property
    def files(self) -> tuple[Manifest, ...]:
        return (
            portal_files.plugin_files(self.target),
            portal_files.example_files(self.target),
            portal_files.program_files(self.target),
            portal_files.sign_in_files(self.target),
        )

    @property
    def of_core(self) -> tuple[Manifest, ...]:
        """The environment of core components, weakest first."""
        broker = (self.broker,) if self.target.spec.executor == "celery" else ()
        return (self.common, self.variables, self.core, self.airflow, *broker, self.logs)

    @property
    def of_tasks(self) -> tuple[Manifest, ...]:
        """The environment of processes that only run tasks, weakest first."""
        broker = (self.broker,) if self.target.spec.executor == "celery" else ()
        logs = () if self.target.has_shared_logs else (self.logs,)
        return (self.common, self.variables, *broker, *logs)

    @property
    def of_migration(self) -> tuple[Manifest, ...]:
        """The environment of `airflow db migrate`: independent of user variables."""
        return (self.direct,)

    def secrets(self) -> tuple[Manifest, ...]:
        """Return all Secrets of the namespace."""
        target = self.target
        secrets = [self.variables, self.environment_objects, self.airflow, self.logs]
        if target.spec.executor == "celery":
            secrets += [self.broker, self.broker_server]
        if target.spec.settings.pgbouncer:
            secrets += [self.direct, self.pooler]
        if target.config.database is None:
            secrets.append(self.database_admin)
        if target.uses_keda:
            secrets.append(self.keda)
        if target.config.image_pull_secret:
            secrets.append(registry_secret(target))
        if target.spec.image_pull_secret:
            secrets.append(_pull_secret(target, IMAGE_SECRET, target.spec.image_pull_secret))
        return tuple(secrets)

    def config_maps(self) -> tuple[Manifest, ...]:
        """Return the ConfigMaps that pods read at their start."""
        return (self.common, self.core, *self.files, *portal_files.trust_file(self.target))

    def _config_map(self, name: str, data: Mapping[str, str]) -> Manifest:
        return self.target.manifest("ConfigMap", name, component=CONFIGURATION, data=dict(data))

    def _secret(self, name: str, values: Mapping[str, str]) -> Manifest:
        return secret(self.target, name, values)


def secret(
    target: Target,
    name: str,
    values: Mapping[str, str],
    *,
    kind: str = "Opaque",
    namespace: str = "",
) -> Manifest:
    """Return a Secret from plaintext values."""
    data = {key: b64encode(value.encode()).decode() for key, value in values.items()}
    return target.manifest(
        "Secret", name, component=CONFIGURATION, namespace=namespace, type=kind, data=data
    )


def registry_secret(
    target: Target, *, name: str = REGISTRY_SECRET, namespace: str = ""
) -> Manifest:
    """Return the credential that pulls images."""
    return _pull_secret(target, name, target.config.image_pull_secret, namespace=namespace)


def _pull_secret(target: Target, name: str, value: str, *, namespace: str = "") -> Manifest:
    values = {".dockerconfigjson": value}
    kind = "kubernetes.io/dockerconfigjson"
    return secret(target, name, values, kind=kind, namespace=namespace)
