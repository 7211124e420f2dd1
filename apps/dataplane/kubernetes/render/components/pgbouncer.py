"""PgBouncer in front of the metadata database, in transaction mode, for this Deployment alone.

Processes of Airflow keep connections that they rarely use; here a few to the server serve them all.
What needs a session of its own goes straight to the server: migrations take locks that belong to
one, and KEDA counts tasks as another role.
"""

from typing import Any

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render import sizes
from apps.dataplane.kubernetes.render.components.core import budget
from apps.dataplane.kubernetes.render.pods.configuration import Configuration
from apps.dataplane.kubernetes.render.pods.placement import spread
from apps.dataplane.kubernetes.render.pods.pods import (
    closed_container,
    pod_template,
    restricted_pod,
)
from apps.dataplane.kubernetes.render.pods.pooling import FOLDER
from apps.dataplane.kubernetes.render.target import POOLER_PORT, POOLER_SERVICE

# That of Airflow's own chart.
IMAGE = "apache/airflow:airflow-pgbouncer-2025.03.05-1.23.1"
NOBODY = 65_534
GRACE_SECONDS = 60


def pgbouncer(configuration: Configuration) -> tuple[Manifest, ...]:
    """Return its Deployment, its Service, and its budget where there are two."""
    target = configuration.target
    replicas = sizes.pooler_replicas(target.spec.settings)
    reads = [configuration.pooler]
    is_asleep = target.spec.is_hibernating and not target.is_draining
    spec = {
        "replicas": 0 if is_asleep else replicas,
        "revisionHistoryLimit": 3,
        # A new one serves before an old one goes.
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "selector": {"matchLabels": target.selector(POOLER_SERVICE)},
        "template": pod_template(
            target, component=POOLER_SERVICE, spec=_pod(configuration, replicas), reads=reads
        ),
    }
    port = {"name": "pgbouncer", "port": POOLER_PORT, "targetPort": POOLER_PORT, "protocol": "TCP"}
    service = {"selector": target.selector(POOLER_SERVICE), "ports": [port]}
    return (
        target.manifest("Service", POOLER_SERVICE, component=POOLER_SERVICE, spec=service),
        target.manifest("apps/v1 Deployment", POOLER_SERVICE, component=POOLER_SERVICE, spec=spec),
        *([budget(target, POOLER_SERVICE)] if replicas > 1 else []),
    )


def _pod(configuration: Configuration, replicas: int) -> dict[str, Any]:
    target = configuration.target
    accepts = {"tcpSocket": {"port": POOLER_PORT}}
    container = {
        "name": "pgbouncer",
        "image": target.config.mirrored(IMAGE),
        "command": ["pgbouncer", f"{FOLDER}/pgbouncer.ini"],
        "ports": [{"name": "pgbouncer", "containerPort": POOLER_PORT, "protocol": "TCP"}],
        # Lets transactions end, and closes what is idle: Airflow connects anew.
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/sh", "-c", "kill -INT 1; sleep 20"]}}},
        "readinessProbe": {**accepts, "periodSeconds": 3, "timeoutSeconds": 3},
        "livenessProbe": {
            **accepts,
            "periodSeconds": 20,
            "timeoutSeconds": 10,
            "failureThreshold": 6,
        },
        "volumeMounts": [
            {"name": "configuration", "mountPath": FOLDER, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - inside the pod
        ],
        **closed_container(sizes.POOLER),
    }
    secret = {"secretName": configuration.pooler["metadata"]["name"], "defaultMode": 0o440}
    pod = {
        **restricted_pod(target, user=NOBODY, group=NOBODY),
        "serviceAccountName": "airflow",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "containers": [container],
        "volumes": [{"name": "configuration", "secret": secret}, {"name": "tmp", "emptyDir": {}}],
    }
    if replicas > 1:
        pod["topologySpreadConstraints"] = spread(target, POOLER_SERVICE)
    return pod
