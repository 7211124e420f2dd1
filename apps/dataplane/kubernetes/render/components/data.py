"""What keeps data in the namespace: the logs claim, Redis, and PostgreSQL where the cluster has no
server of its own for the databases.
"""

from typing import Any

from apps.dataplane.kubernetes import names
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render import sizes
from apps.dataplane.kubernetes.render.pods.configuration import BROKER_FILE, Configuration
from apps.dataplane.kubernetes.render.pods.database import ADMIN, PORT
from apps.dataplane.kubernetes.render.pods.pods import (
    DATABASE_USER,
    LOGS_CLAIM,
    closed_container,
    pod_template,
    restricted_pod,
)
from apps.dataplane.kubernetes.render.target import BROKER_SERVICE, DATABASE_SERVICE, Target

DATABASE_MAJOR = 15
DATABASE_IMAGE = f"postgres:{DATABASE_MAJOR}-bookworm"
BROKER_IMAGE = "redis:7.2-bookworm"
BROKER_PORT = 6379


def logs_claim(target: Target) -> Manifest:
    """Return the claim with task logs and unpacked code, which all Airflow pods share."""
    config = target.config
    return _claim(
        target,
        LOGS_CLAIM,
        component="logs",
        access=config.logs_access,
        size=config.logs_size,
        storage_class=config.logs_storage_class or config.storage_class,
    )


def database(configuration: Configuration) -> tuple[Manifest, ...]:
    """Return a PostgreSQL for this Deployment alone."""
    target = configuration.target
    container = {
        "name": "postgres",
        "image": target.config.mirrored(DATABASE_IMAGE),
        "env": [
            {"name": "POSTGRES_USER", "value": ADMIN},
            {"name": "POSTGRES_PASSWORD", "valueFrom": _password(configuration)},
            {"name": "PGDATA", "value": "/var/lib/postgresql/data/pg"},
        ],
        "ports": [{"name": "postgres", "containerPort": PORT, "protocol": "TCP"}],
        # The signal for a fast shutdown: the default one waits until all clients have disconnected.
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/sh", "-c", "kill -INT 1"]}}},
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 3, "timeoutSeconds": 3},
        "livenessProbe": {
            "tcpSocket": {"port": PORT},
            "initialDelaySeconds": 60,
            "periodSeconds": 20,
            "timeoutSeconds": 10,
            "failureThreshold": 6,
        },
        "volumeMounts": [
            {"name": "data", "mountPath": "/var/lib/postgresql/data"},
            {"name": "run", "mountPath": "/var/run/postgresql"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - inside the pod
        ],
        **closed_container(sizes.DATABASE),
    }
    pod = {
        **restricted_pod(target, user=DATABASE_USER, group=DATABASE_USER),
        "serviceAccountName": "airflow",
        "terminationGracePeriodSeconds": 120,
        "containers": [container],
        "volumes": [
            _data_volume(DATABASE_SERVICE),
            {"name": "run", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    return (
        _data_claim(target, DATABASE_SERVICE, size=target.config.database_size),
        _service(target, DATABASE_SERVICE, PORT),
        _stateful_set(target, DATABASE_SERVICE, pod, reads=[configuration.database_admin]),
    )


def broker(configuration: Configuration) -> tuple[Manifest, ...]:
    """Return the Redis between scheduler and workers. It keeps its queues over a restart."""
    target = configuration.target
    container = {
        "name": "redis",
        "image": target.config.mirrored(BROKER_IMAGE),
        # The password is in the file: arguments are visible to anyone who may list processes.
        "args": ["redis-server", f"/etc/redis/{BROKER_FILE}"],
        "ports": [{"name": "redis", "containerPort": BROKER_PORT, "protocol": "TCP"}],
        "readinessProbe": {
            "tcpSocket": {"port": BROKER_PORT},
            "periodSeconds": 3,
            "timeoutSeconds": 3,
        },
        "livenessProbe": {
            "tcpSocket": {"port": BROKER_PORT},
            "periodSeconds": 20,
            "timeoutSeconds": 10,
            "failureThreshold": 6,
        },
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": "configuration", "mountPath": "/etc/redis", "readOnly": True},
        ],
        **closed_container(sizes.BROKER),
    }
    secret_name = configuration.broker_server["metadata"]["name"]
    pod = {
        **restricted_pod(target, user=DATABASE_USER, group=DATABASE_USER),
        "serviceAccountName": "airflow",
        "terminationGracePeriodSeconds": 60,
        "containers": [container],
        "volumes": [
            _data_volume(BROKER_SERVICE),
            {"name": "configuration", "secret": {"secretName": secret_name}},
        ],
    }
    return (
        _data_claim(target, BROKER_SERVICE, size="1Gi"),
        _service(target, BROKER_SERVICE, BROKER_PORT),
        _stateful_set(target, BROKER_SERVICE, pod, reads=[configuration.broker_server]),
    )


def _password(configuration: Configuration) -> dict[str, Any]:
    name = configuration.database_admin["metadata"]["name"]
    return {"secretKeyRef": {"name": name, "key": "POSTGRES_PASSWORD"}}


def _service(target: Target, name: str, port: int) -> Manifest:
    spec = {
        "selector": target.selector(name),
        "ports": [{"name": name, "port": port, "targetPort": port, "protocol": "TCP"}],
    }
    return target.manifest("Service", name, component=name, spec=spec)


def _stateful_set(target: Target, name: str, pod: Manifest, *, reads: list[Manifest]) -> Manifest:
    spec = {
        "replicas": 1,
        "serviceName": name,
        "revisionHistoryLimit": 3,
        "selector": {"matchLabels": target.selector(name)},
        "template": pod_template(target, component=name, spec=pod, reads=reads),
    }
    return target.manifest("apps/v1 StatefulSet", name, component=name, spec=spec)


def _data_volume(name: str) -> dict[str, Any]:
    return {"name": "data", "persistentVolumeClaim": {"claimName": f"data-{name}"}}


def _data_claim(target: Target, name: str, *, size: str) -> Manifest:
    # Not a template in the StatefulSet: the first edit of the cluster's storage class would make
    # the whole set unchangeable.
    return _claim(
        target,
        f"data-{name}",
        component=name,
        access="ReadWriteOnce",
        size=size,
        storage_class=target.config.storage_class,
    )


def _claim(
    target: Target, name: str, *, component: str, access: str, size: str, storage_class: str
) -> Manifest:
    """Return a claim, which is created once: hardly any field of it may be changed later, so
    another class or size applies to later Deployments only.
    """
    spec: dict[str, Any] = {
        "accessModes": [access],
        "resources": {"requests": {"storage": size}},
    }
    if storage_class:
        spec["storageClassName"] = storage_class
    claim = target.manifest("PersistentVolumeClaim", name, component=component, spec=spec)
    claim["metadata"]["annotations"] = {names.ONCE_ANNOTATION: "true"}
    return claim
