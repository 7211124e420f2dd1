"""The objects of a storage test: claims as Deployments make them, and pods that write to them.

first pod      writes a file ── waits for an answer ── deletes both, ends
second pod     waits for the file ── answers, ends           (ReadWriteMany alone)
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from apps.dataplane.kubernetes import names
from apps.dataplane.kubernetes.api.kinds import NETWORK_POLICY, Manifest
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.render.components.data import BROKER_IMAGE
from apps.dataplane.kubernetes.render.pods.placement import REGISTRY_SECRET
from apps.dataplane.kubernetes.render.pods.pods import (
    AIRFLOW_USER,
    DATABASE_USER,
    closed_container,
    pod_security,
)
from apps.dataplane.kubernetes.render.sizes import Share

TRIAL_LABEL = f"{names.PREFIX}/storage-test"
ACCOUNT = "storage-test"
# A test that is not over by then has lost its process.
LEFT_BEHIND = timedelta(minutes=10)
FOLDER = "/volume"
SHARE = Share(cpu_millis=10, most_cpu_millis=200, memory_mib=32, disk_gib=1)

# As a delivery of code moves what it has unpacked to its place, and as Airflow goes on with a log.
# What people mount of a bucket can do neither.
_AS_AIRFLOW = f"""cd {FOLDER}
mkdir portal-test-new
echo first > portal-test-new/file
if ! {{ echo second >> portal-test-new/file && mv -T portal-test-new portal-test-moved \\
  && grep -q second portal-test-moved/file; }} 2> /dev/null; then
  echo 'A file was not continued, or a folder not renamed.' >&2; exit 1
fi
rm -r portal-test-moved"""
# A file system may show a new file of another node half a minute later.
_FIRST = f"""{_AS_AIRFLOW}
echo first > portal-test-1
for second in {{1..100}}; do
  if grep -qs second portal-test-2; then rm portal-test-1 portal-test-2; exit 0; fi
  ls > /dev/null; sleep 1
done
echo 'What another pod wrote did not appear.' >&2; exit 1"""
_SECOND = f"""cd {FOLDER}
for second in {{1..100}}; do
  if grep -qs first portal-test-1; then echo second > portal-test-2; exit 0; fi
  ls > /dev/null; sleep 1
done
echo 'What another pod wrote did not appear.' >&2; exit 1"""


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A claim as Airflow makes it, and who writes there. An empty class is the default one."""

    name: str
    title: str
    storage_class: str
    access: str
    size: str
    user: int
    group: int

    @property
    def is_shared(self) -> bool:
        """Whether pods on several nodes write to it."""
        return self.access == "ReadWriteMany"

    @property
    def pods(self) -> tuple[tuple[str, str], ...]:
        """The names of its pods, and what each does."""
        if self.is_shared:
            return (f"{self.name}-1", _FIRST), (f"{self.name}-2", _SECOND)
        return ((f"{self.name}-1", _AS_AIRFLOW),)

    @property
    def in_words(self) -> str:
        """Name the volume for a sentence."""
        return f"a volume of {self.storage_class or 'the default class'} ({self.access})"


def volumes_of(config: ClusterConfig) -> tuple[Volume, ...]:
    """Return what Deployments claim: for databases always, for logs unless they go to a bucket."""
    data = Volume(
        name="data",
        title="Storage of databases",
        storage_class=config.storage_class,
        access="ReadWriteOnce",
        size="1Gi",
        user=DATABASE_USER,
        group=DATABASE_USER,
    )
    if config.object_store is not None:
        return (data,)
    logs = Volume(
        name="logs",
        title="Storage of logs and code",
        storage_class=config.logs_storage_class or config.storage_class,
        access=config.logs_access,
        size=config.logs_size,
        user=AIRFLOW_USER,
        group=0,
    )
    return logs, data


def manifests(
    config: ClusterConfig, namespace: str, volumes: tuple[Volume, ...]
) -> tuple[Manifest, ...]:
    """Return the namespace of a trial and all that is in it, whose pods reach nothing."""
    labels = _labels(config)
    security = {f"{names.SECURITY}/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    account = {"automountServiceAccountToken": False}
    head = (
        _object("Namespace", namespace, labels={**labels, **security}),
        # A pod needs one, and the default one comes a moment after its namespace.
        _object("ServiceAccount", ACCOUNT, labels=labels, namespace=namespace, **account),
    )
    registry = _registry(config, namespace, labels)
    claims = tuple(_claim(volume, namespace, labels) for volume in volumes)
    pods = tuple(
        _pod(config, volume, name, script, namespace, labels)
        for volume in volumes
        for name, script in volume.pods
    )
    return (*head, _policy(namespace, labels), *registry, *claims, *pods)


def _labels(config: ClusterConfig) -> dict[str, str]:
    return {
        "app.kubernetes.io/managed-by": names.FIELD_MANAGER,
        TRIAL_LABEL: config.portal_id,
    }


def _object(
    kind: str, name: str, *, labels: dict[str, str], namespace: str = "", **body: Any
) -> Manifest:
    metadata: dict[str, Any] = {"name": name, "labels": labels}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **body}


def _policy(namespace: str, labels: dict[str, str]) -> Manifest:
    spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    policy = _object("NetworkPolicy", "closed", labels=labels, namespace=namespace, spec=spec)
    return {**policy, "apiVersion": NETWORK_POLICY.api_version}


def _registry(
    config: ClusterConfig, namespace: str, labels: dict[str, str]
) -> tuple[Manifest, ...]:
    if not config.image_pull_secret:
        return ()
    body = {
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": config.image_pull_secret},
    }
    return (_object("Secret", REGISTRY_SECRET, labels=labels, namespace=namespace, **body),)


def _claim(volume: Volume, namespace: str, labels: dict[str, str]) -> Manifest:
    spec: dict[str, Any] = {
        "accessModes": [volume.access],
        "resources": {"requests": {"storage": volume.size}},
    }
    if volume.storage_class:
        spec["storageClassName"] = volume.storage_class
    kind = "PersistentVolumeClaim"
    return _object(kind, volume.name, labels=labels, namespace=namespace, spec=spec)


def _pod(
    config: ClusterConfig,
    volume: Volume,
    name: str,
    script: str,
    namespace: str,
    labels: dict[str, str],
) -> Manifest:
    container = {
        "name": "test",
        "image": config.mirrored(BROKER_IMAGE),
        "command": ["bash", "-euc", script],
        "volumeMounts": [{"name": "volume", "mountPath": FOLDER}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **closed_container(SHARE),
    }
    spec: dict[str, Any] = {
        **pod_security(config, user=volume.user, group=volume.group),
        "serviceAccountName": ACCOUNT,
        "restartPolicy": "Never",
        "activeDeadlineSeconds": int(LEFT_BEHIND.total_seconds()),
        "terminationGracePeriodSeconds": 1,
        "affinity": {"podAntiAffinity": _elsewhere(volume)},
        "containers": [container],
        "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": volume.name}}],
    }
    if config.image_pull_secret:
        spec["imagePullSecrets"] = [{"name": REGISTRY_SECRET}]
    own = {**labels, names.COMPONENT_LABEL: volume.name}
    return _object("Pod", name, labels=own, namespace=namespace, spec=spec)


def _elsewhere(volume: Volume) -> dict[str, Any]:
    """Keep the pods of a volume on different nodes, where there are several."""
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": {names.COMPONENT_LABEL: volume.name}},
    }
    preferred = {"weight": 100, "podAffinityTerm": term}
    return {"preferredDuringSchedulingIgnoredDuringExecution": [preferred]}
