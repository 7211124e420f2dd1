"""What keeps data in the namespace: the logs claim, Redis, and PostgreSQL where the cluster has no
server of its own for the databases.
"""

from typing import Any

from apps.dataplane.kubernetes import sizes
from apps.dataplane.kubernetes.render.configuration import BROKER_FILE, Configuration
from apps.dataplane.kubernetes.render.database import ADMIN, PORT
from apps.dataplane.kubernetes.render.pods import (
    DATABASE_USER,
    pod_template,
    restricted_container,
    restricted_pod,
)
from apps.dataplane.kubernetes.render.stages import Manifest
from apps.dataplane.kubernetes.render.target import BROKER_SERVICE, DATABASE_SERVICE, Target

DATABASE_IMAGE = "postgres:15-bookworm"
BROKER_IMAGE = "redis:7.2-bookworm"
BROKER_PORT = 6379


def logs_claim(target: Target) -> Manifest:
    """Return the claim with task logs and unpacked code, which all Airflow pods share."""
    config = target.config
    spec: dict[str, Any] = {
        "accessModes": [config.logs_access],
        "resources": {"requests": {"storage": config.logs_size}},
    }
    storage_class = config.logs_storage_class or config.storage_class
    if storage_class:
        spec["storageClassName"] = storage_class
    return target.manifest("PersistentVolumeClaim", "logs", component="logs", spec=spec)


def database(configuration: Configuration) -> tuple[Manifest, ...]:
    """Return a PostgreSQL for this Deployment alone."""
    target = configuration.target
    container = {
        "name": "postgres",
        "image": DATABASE_IMAGE,
        "env": [
            {"name": "POSTGRES_USER", "value": ADMIN},
            {"name": "POSTGRES_PASSWORD", "valueFrom": _password(configuration)},
            {"name": "PGDATA", "value": "/var/lib/postgresql/data/pg"},
        ],
        "ports": [{"name": "postgres", "containerPort": PORT, "protocol": "TCP"}],
        # A signal to end at once: the usual one waits until all clients have gone.
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
        **restricted_container(sizes.DATABASE),
    }
    pod = {
        **restricted_pod(target, user=DATABASE_USER, group=DATABASE_USER),
        "serviceAccountName": "airflow",
        "terminationGracePeriodSeconds": 120,
        "containers": [container],
        "volumes": [{"name": "run", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
    }
    reads = [configuration.database_admin]
    return (
        _service(target, DATABASE_SERVICE, PORT),
        _stateful_set(target, DATABASE_SERVICE, pod, reads, storage="5Gi"),
    )


def broker(configuration: Configuration) -> tuple[Manifest, ...]:
    """Return the Redis between scheduler and workers. It keeps its queues over a restart."""
    target = configuration.target
    container = {
        "name": "redis",
        "image": BROKER_IMAGE,
        # The password is in the file: arguments are seen by everybody who may list processes.
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
        **restricted_container(sizes.BROKER),
    }
    secret_name = configuration.broker_server["metadata"]["name"]
    pod = {
        **restricted_pod(target, user=DATABASE_USER, group=DATABASE_USER),
        "serviceAccountName": "airflow",
        "terminationGracePeriodSeconds": 60,
        "containers": [container],
        "volumes": [{"name": "configuration", "secret": {"secretName": secret_name}}],
    }
    reads = [configuration.broker_server]
    return (
        _service(target, BROKER_SERVICE, BROKER_PORT),
        _stateful_set(target, BROKER_SERVICE, pod, reads, storage="1Gi"),
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


def _stateful_set(
    target: Target, name: str, pod: Manifest, reads: list[Manifest], *, storage: str
) -> Manifest:
    claim_spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": storage}},
    }
    if target.config.storage_class:
        claim_spec["storageClassName"] = target.config.storage_class
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "labels": target.selector(name)},
        "spec": claim_spec,
    }
    spec = {
        "replicas": 1,
        "serviceName": name,
        "revisionHistoryLimit": 3,
        "selector": {"matchLabels": target.selector(name)},
        "template": pod_template(target, component=name, spec=pod, reads=reads),
        "volumeClaimTemplates": [claim],
    }
    return target.manifest("apps/v1 StatefulSet", name, component=name, spec=spec)
