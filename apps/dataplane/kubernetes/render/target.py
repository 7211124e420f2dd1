"""The Deployment as it is to be in one cluster: names, labels, addresses and derived passwords."""

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

from apps.dataplane.kubernetes import names
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.render import sizes
from apps.dataplane.spec import DeploymentSpec

API_PORT = 8080
DATABASE_SERVICE = "postgres"
BROKER_SERVICE = "redis"
API_SERVICE = "api-server"
POOLER_SERVICE, POOLER_PORT = "pgbouncer", 6432
EXPORTER_SERVICE, STATSD_PORT, METRICS_PORT = "statsd", 9125, 9102


@dataclass(frozen=True, kw_only=True)
class Target:
    """A spec and the cluster it goes to. Everything here derives from those two alone, and from
    whether one that hibernates `is_draining`: tasks still run.
    """

    spec: DeploymentSpec
    config: ClusterConfig
    is_draining: bool = False

    @property
    def ref(self) -> str:
        return self.spec.ref

    @property
    def namespace(self) -> str:
        return self.config.connection.home(self.ref)

    def selector(self, component: str, queue: str = "") -> dict[str, str]:
        """Return the labels that select a component's pods. Immutable in the cluster: nothing that
        an edit can change may go in.
        """
        labels = {names.DEPLOYMENT_LABEL: self.ref, names.COMPONENT_LABEL: component}
        return {**labels, names.QUEUE_LABEL: queue} if queue else labels

    def labels(self, component: str, queue: str = "") -> dict[str, str]:
        """Return the labels of an object: of the Deployment, its component and its queue."""
        return {
            "app.kubernetes.io/name": "airflow",
            "app.kubernetes.io/instance": self.ref,
            "app.kubernetes.io/managed-by": names.FIELD_MANAGER,
            names.PORTAL_LABEL: self.config.portal_id,
            **self.selector(component, queue),
        }

    def manifest(
        self,
        kind: str,
        name: str,
        *,
        component: str,
        queue: str = "",
        namespace: str = "",
        **body: Any,
    ) -> Manifest:
        """Return a namespaced object with its labels; `kind` is like `apps/v1 Deployment`. Parts of
        the body that are empty mappings are left out.
        """
        version, _, bare_kind = kind.rpartition(" ")
        metadata = {
            "name": name,
            "namespace": namespace or self.namespace,
            "labels": self.labels(component, queue),
        }
        filled = {key: value for key, value in body.items() if value != {}}
        return {"apiVersion": version or "v1", "kind": bare_kind, "metadata": metadata, **filled}

    @property
    def image(self) -> str:
        """The image that runs Airflow and code of users: with the packages of the project."""
        packages = self.spec.packages
        return packages.image if packages else self.runtime_image

    @property
    def runtime_image(self) -> str:
        """The image of the runtime alone, for the portal's own programs."""
        return self.config.mirrored(self.spec.runtime.image)

    @property
    def has_shared_logs(self) -> bool:
        """Whether task logs are on a claim that all pods share."""
        return self.config.object_store is None

    @property
    def scales_triggerers(self) -> bool:
        """Whether KEDA says how many triggerers run."""
        settings = self.spec.settings
        least = sizes.replicas_of("triggerer", settings, self.spec.executor)
        return self.config.has_keda and settings.triggerer_most_replicas > least

    @property
    def uses_keda(self) -> bool:
        """Whether KEDA scales something, and so reads the metadata database."""
        return self.config.has_keda and (bool(self.spec.queues) or self.scales_triggerers)

    @property
    def keeps_time(self) -> bool:
        """Whether the cluster itself lets the Deployment hibernate and wake at its times."""
        plan = self.spec.hibernation
        has_times = any(schedule.is_enabled for schedule in plan.schedules)
        ends = plan.override is not None and plan.override.until is not None
        return self.config.may_scale and (has_times or ends)

    @property
    def awake(self) -> dict[str, int]:
        """How many pods the workloads have that hibernation scales, by name. Those that KEDA scales
        are not among them.
        """
        settings, executor = self.spec.settings, self.spec.executor
        found = {
            name: sizes.replicas_of(name, settings, executor)
            for name in (API_SERVICE, "scheduler", "dag-processor", "triggerer")
        }
        if settings.pgbouncer:
            found[POOLER_SERVICE] = sizes.pooler_replicas(settings)
        if settings.has_exporter:
            found[EXPORTER_SERVICE] = 1
        if not self.config.has_keda:
            queues = self.spec.queues
            found |= {names.worker_name(one.name): max(1, one.min_workers) for one in queues}
        return {name: n for name, n in found.items() if name not in self.scaled_names}

    @property
    def scaled_names(self) -> list[str]:
        """The rules of KEDA, by name."""
        if not self.config.has_keda:
            return []
        queues = [names.worker_name(one.name) for one in self.spec.queues]
        return [*queues, *(["triggerer"] if self.scales_triggerers else [])]

    @property
    def path(self) -> str:
        """The path of this Airflow below the origin, `/<ref>`."""
        return f"/{self.ref}"

    @property
    def api_url(self) -> str:
        """The api-server's address inside the namespace, with the path of this Airflow."""
        return f"http://{API_SERVICE}:{API_PORT}{self.path}"

    def derived(self, purpose: str) -> str:
        """Return a password for one purpose: 256 bits in hex, the same in every rendering.

        The secret that it derives from never enters the cluster, so no pod that knows one password
        can find another.
        """
        root = self.spec.secrets.api_secret_key.encode()
        return hmac.new(root, f"{self.ref}:{purpose}".encode(), hashlib.sha256).hexdigest()

    def fingerprint(self, value: object) -> str:
        """Return a digest that changes with `value` and tells nothing about it: it is readable by
        many who may not read the secrets in `value`.
        """
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
        key = self.derived("fingerprint").encode()
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:32]
