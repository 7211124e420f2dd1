"""A statsd_exporter that turns what Airflow measures into metrics that a Prometheus scrapes.

Metrics have the names and labels of Airflow's own chart, so that the field's dashboards fit.
Sources: "Metrics" in the administration guide of Airflow, the README of prometheus/statsd_exporter.
"""

import json
from typing import Any

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render import sizes
from apps.dataplane.kubernetes.render.pods.access import AIRFLOW
from apps.dataplane.kubernetes.render.pods.pods import (
    closed_container,
    pod_template,
    restricted_pod,
)
from apps.dataplane.kubernetes.render.prometheus.statsd_names import MAPPINGS
from apps.dataplane.kubernetes.render.target import (
    EXPORTER_SERVICE,
    METRICS_PORT,
    STATSD_PORT,
    Target,
)

IMAGE = "prom/statsd-exporter:v0.29.0"
NOBODY = 65_534
MAPPINGS_MAP = "statsd-mappings"
FOLDER, FILE = "/etc/statsd-exporter", "mappings.yml"
# Of pods: those that are asked for by name find them by a PodMonitor and do not need it.
SCRAPE = {
    "prometheus.io/scrape": "true",
    "prometheus.io/port": str(METRICS_PORT),
    "prometheus.io/path": "/metrics",
}


def prometheus(target: Target) -> tuple[Manifest, ...]:
    """Return the exporter's Deployment, and the Service that Airflow sends to."""
    is_asleep = target.spec.is_hibernating and not target.is_draining
    template = pod_template(
        target,
        component=EXPORTER_SERVICE,
        spec=_pod(target),
        reads=mappings(target),
        annotations=SCRAPE,
    )
    spec = {
        "replicas": 0 if is_asleep else 1,
        "revisionHistoryLimit": 3,
        # Two would each have counted a part.
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": target.selector(EXPORTER_SERVICE)},
        "template": template,
    }
    ports = [
        {"name": "statsd", "port": STATSD_PORT, "targetPort": "statsd", "protocol": "UDP"},
        {"name": "metrics", "port": METRICS_PORT, "targetPort": "metrics", "protocol": "TCP"},
    ]
    service = {"selector": target.selector(EXPORTER_SERVICE), "ports": ports}
    name = EXPORTER_SERVICE
    return (
        target.manifest("Service", name, component=name, spec=service),
        target.manifest("apps/v1 Deployment", name, component=name, spec=spec),
    )


def mappings(target: Target) -> tuple[Manifest, ...]:
    """Return the exporter's mappings, where there is one."""
    if not target.spec.settings.has_exporter:
        return ()
    data = {FILE: mapping_file()}
    return (target.manifest("ConfigMap", MAPPINGS_MAP, component=EXPORTER_SERVICE, data=data),)


def mapping_file() -> str:
    """Return the mappings as statsd_exporter reads them: JSON is YAML."""
    # A DAG that is gone is forgotten after a day, and so is a gauge that is not sent any more.
    return json.dumps({"defaults": {"ttl": "24h"}, "mappings": list(MAPPINGS)}, indent=1)


def arguments(target: Target) -> list[str]:
    """Return what the exporter is started with; it passes all on to a StatsD server that is set."""
    given = [
        f"--statsd.mapping-config={FOLDER}/{FILE}",
        f"--statsd.listen-udp=:{STATSD_PORT}",
        "--statsd.listen-tcp=",
        f"--web.listen-address=:{METRICS_PORT}",
    ]
    relay = target.spec.settings.statsd_address
    return [*given, f"--statsd.relay.address={relay}"] if relay else given


def _pod(target: Target) -> dict[str, Any]:
    answers = {"httpGet": {"path": "/-/healthy", "port": "metrics"}}
    container = {
        "name": EXPORTER_SERVICE,
        "image": target.config.mirrored(IMAGE),
        "args": arguments(target),
        "ports": [
            {"name": "statsd", "containerPort": STATSD_PORT, "protocol": "UDP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        "readinessProbe": {**answers, "periodSeconds": 5, "timeoutSeconds": 3},
        "livenessProbe": {
            **answers,
            "periodSeconds": 20,
            "timeoutSeconds": 10,
            "failureThreshold": 6,
        },
        "volumeMounts": [{"name": "mappings", "mountPath": FOLDER, "readOnly": True}],
        **closed_container(sizes.EXPORTER),
    }
    return {
        **restricted_pod(target, user=NOBODY, group=NOBODY),
        "serviceAccountName": AIRFLOW,
        "containers": [container],
        "volumes": [{"name": "mappings", "configMap": {"name": MAPPINGS_MAP}}],
    }
