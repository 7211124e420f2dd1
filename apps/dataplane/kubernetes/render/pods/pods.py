"""Pods under Pod Security "restricted", and the containers and volumes of an Airflow process."""

from collections.abc import Mapping, Sequence
from typing import Any

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.render.places import (
    CA_BUNDLE,
    CODE_SLOTS,
    CODE_STATE,
    ENVIRONMENT,
    EXAMPLES,
    KEPT,
    PLUGINS,
    POD_TEMPLATE,
    PROGRAMS,
    PUBLIC_KEY,
)
from apps.dataplane.kubernetes.render.pods.code import plugin_mounts, plugin_volumes, slot_names
from apps.dataplane.kubernetes.render.pods.own_objects import (
    own_mounts,
    own_volumes,
    secret_variables,
)
from apps.dataplane.kubernetes.render.pods.placement import placement, pod_metadata, pull_secrets
from apps.dataplane.kubernetes.render.pods.portal_files import EXAMPLE_FILES, PROGRAM_FILES, TRUST
from apps.dataplane.kubernetes.render.sizes import Share, cpus, mebibytes
from apps.dataplane.kubernetes.render.target import Target

AIRFLOW_USER = 50_000
DATABASE_USER = 999
# The signal to end goes to Celery's main process alone. One that reaches the whole process group
# reaches the tasks, which end then.
WARM_SHUTDOWN = {"DUMB_INIT_SETSID": "0"}
CHECKSUM = "astro-portal.dev/checksum"
LOGS_CLAIM = "logs"
# The pods of an Airflow have the group of its files.
READ_BY_GROUP = 0o440
ENVIRONMENT_SECRET = "connections"  # noqa: S105 - the name of an object


def restricted_container(share: Share) -> dict[str, Any]:
    """Return a container's security and resources."""
    memory = mebibytes(share.memory_mib)
    return {
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {
            "requests": {
                "cpu": cpus(share.cpu_millis),
                "memory": memory,
                "ephemeral-storage": "256Mi",
            },
            "limits": {
                "cpu": cpus(share.most_cpu_millis),
                "memory": memory,
                "ephemeral-storage": f"{share.disk_gib}Gi",
            },
        },
    }


def closed_container(share: Share) -> dict[str, Any]:
    """Return the same for a container without code of users: it writes to its mounts alone."""
    container = restricted_container(share)
    container["securityContext"]["readOnlyRootFilesystem"] = True
    return container


def restricted_pod(target: Target, *, user: int, group: int) -> dict[str, Any]:
    """Return the fields of a pod's spec that all pods here have."""
    pod = {**pod_security(target.config, user=user, group=group), **placement(target)}
    if named := pull_secrets(target):
        pod["imagePullSecrets"] = named
    return pod


def identity(config: ClusterConfig, *, user: int, group: int) -> dict[str, int]:
    """Return user and group of a pod or container; none where the namespace gives them. Images run
    as any user, as long as files belong to its group.
    """
    return {} if config.gives_user_ids else {"runAsUser": user, "runAsGroup": group}


def pod_security(config: ClusterConfig, *, user: int, group: int) -> dict[str, Any]:
    """Return what Pod Security "restricted" wants of a pod's spec."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            **identity(config, user=user, group=group),
            **({} if config.gives_user_ids else {"fsGroup": group}),
            # Changing the owner of every file at each start takes minutes on a large claim, and
            # opens PostgreSQL's folder to the group, which it refuses.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def airflow_pod(target: Target, *, service_account: str, has_token: bool = False) -> dict[str, Any]:
    """Return a pod's spec for an Airflow process, without containers."""
    return {
        **restricted_pod(target, user=AIRFLOW_USER, group=0),
        "serviceAccountName": service_account,
        "automountServiceAccountToken": has_token,
        "volumes": _volumes(target),
    }


def airflow_container(
    target: Target,
    *,
    name: str,
    args: Sequence[str],
    share: Share,
    sources: Sequence[Manifest],
    env: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return a container of the Deployment's image. Its environment is that of the ConfigMaps and
    Secrets in `sources`, of which later ones win, and `env` wins over all.
    """
    container: dict[str, Any] = {
        "name": name,
        "image": target.image,
        "args": list(args),
        "envFrom": [_source(source) for source in sources],
        "volumeMounts": _mounts(target),
        **restricted_container(share),
    }
    listed = [{"name": key, "value": value} for key, value in sorted((env or {}).items())]
    listed += secret_variables(target)
    if listed:
        container["env"] = listed
    return container


def scratch_volume() -> dict[str, Any]:
    """Return the volume of what the portal's own programs write."""
    return {"name": "scratch", "emptyDir": {"sizeLimit": "64Mi"}}


def kept_volume(target: Target) -> dict[str, Any]:
    """Return the volume of logs and unpacked code: the claim that all pods share, or the pod's own
    where logs go to an object store.
    """
    if target.has_shared_logs:
        return {"name": "kept", "persistentVolumeClaim": {"claimName": LOGS_CLAIM}}
    return {"name": "kept", "emptyDir": {}}


def pod_template(
    target: Target,
    *,
    component: str,
    spec: Manifest,
    reads: Sequence[Manifest],
    queue: str = "",
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """Return a workload's pod template. The pods are replaced when an object that they read at
    their start (`reads`) changes.
    """
    return {
        "metadata": pod_metadata(
            target,
            component,
            queue,
            {CHECKSUM: target.fingerprint(list(reads)), **(annotations or {})},
        ),
        "spec": spec,
    }


def _source(source: Manifest) -> dict[str, Any]:
    kind = "secretRef" if source["kind"] == "Secret" else "configMapRef"
    return {kind: {"name": source["metadata"]["name"]}}


def _volumes(target: Target) -> list[dict[str, Any]]:
    slots = [{"configMap": {"name": name, "optional": True}} for name in slot_names(target)]
    volumes: list[dict[str, Any]] = [
        kept_volume(target),
        {"name": "code-state", "emptyDir": {}},
        {"name": "code-slots", "projected": {"sources": slots}},
        {"name": "plugins", "configMap": {"name": "plugins"}},
        {"name": "programs", "configMap": {"name": PROGRAM_FILES}},
        {"name": "example-dags", "configMap": {"name": "example-dags"}},
        {"name": "sign-in", "configMap": {"name": "sign-in"}},
        {
            "name": "environment",
            "secret": {"secretName": ENVIRONMENT_SECRET, "defaultMode": READ_BY_GROUP},
        },
    ]
    if target.spec.settings.ca_bundle:
        volumes.append({"name": "trust", "configMap": {"name": TRUST}})
    volumes += plugin_volumes(target)
    volumes += own_volumes(target)
    if target.spec.executor == "kubernetes":
        volumes.append({"name": "pod-template", "configMap": {"name": "pod-template"}})
    return volumes


def _mounts(target: Target) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": "kept", "mountPath": KEPT},
        {"name": "code-state", "mountPath": CODE_STATE},
        {"name": "code-slots", "mountPath": CODE_SLOTS, "readOnly": True},
        {"name": "plugins", "mountPath": PLUGINS, "readOnly": True},
        {"name": "programs", "mountPath": PROGRAMS, "readOnly": True},
        {"name": "sign-in", "mountPath": PUBLIC_KEY.rpartition("/")[0], "readOnly": True},
        {"name": "environment", "mountPath": ENVIRONMENT.rpartition("/")[0], "readOnly": True},
    ]
    # One by one: a mounted ConfigMap is a folder of links, in which Airflow sees a loop.
    mounts += [
        {
            "name": "example-dags",
            "mountPath": f"{EXAMPLES}/{name}",
            "subPath": name,
            "readOnly": True,
        }
        for name in EXAMPLE_FILES
    ]
    if target.spec.settings.ca_bundle:
        folder = CA_BUNDLE.rpartition("/")[0]
        mounts.append({"name": "trust", "mountPath": folder, "readOnly": True})
    mounts += plugin_mounts(target)
    mounts += own_mounts(target)
    if target.spec.executor == "kubernetes":
        folder = POD_TEMPLATE.rpartition("/")[0]
        mounts.append({"name": "pod-template", "mountPath": folder, "readOnly": True})
    return mounts
