"""The removal of old logs, which would otherwise fill a claim or a node: of tasks, every day, and
of the parsing of DAG files, every hour. Both as old as the operator of the portal says.
"""

import zlib
from typing import Any

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render import sizes
from apps.dataplane.kubernetes.render.places import KEPT, PARSE_LOGS, TASK_LOGS
from apps.dataplane.kubernetes.render.pods.access import AIRFLOW
from apps.dataplane.kubernetes.render.pods.placement import job_metadata
from apps.dataplane.kubernetes.render.pods.pods import (
    AIRFLOW_USER,
    closed_container,
    kept_volume,
    restricted_pod,
)
from apps.dataplane.kubernetes.render.target import Target

COMPONENT = "log-cleanup"
PARSE_LOG_MIB = 10


def log_cleanup(target: Target) -> Manifest:
    """Return the CronJob. An object store has rules of its own for that."""
    find = f"find {TASK_LOGS} -mindepth 1"
    minutes = target.config.task_log_days * 1440
    script = (
        f"[ -d {TASK_LOGS} ] || exit 0; "
        f"{find} -type f -mmin +{minutes} -delete; {find} -type d -empty -mtime +1 -delete"
    )
    container = {
        "name": COMPONENT,
        "image": target.runtime_image,
        "args": ["bash", "-c", script],
        "env": [{"name": "CONNECTION_CHECK_MAX_COUNT", "value": "0"}],
        "volumeMounts": [{"name": "kept", "mountPath": KEPT}],
        **closed_container(sizes.CLEANUP),
    }
    pod = {
        **restricted_pod(target, user=AIRFLOW_USER, group=0),
        "serviceAccountName": AIRFLOW,
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [kept_volume(target)],
    }
    return nightly(target, COMPONENT, pod)


def nightly(target: Target, component: str, pod: Manifest) -> Manifest:
    """Return the CronJob that runs a pod every night, never beside another one of its own."""
    job = {
        "backoffLimit": 1,
        "activeDeadlineSeconds": 3600,
        "template": {"metadata": job_metadata(target, component), "spec": pod},
    }
    spec = {
        "schedule": _schedule(target.ref),
        **({"suspend": True} if target.spec.is_hibernating else {}),
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 3600,
        "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 1,
        "jobTemplate": {"metadata": {"labels": target.labels(component)}, "spec": job},
    }
    return target.manifest("batch/v1 CronJob", component, component=component, spec=spec)


def trim_parse_logs(target: Target, pod: dict[str, Any]) -> None:
    """Give the dag-processor's pod a folder for what it logs about each DAG file every half minute,
    and a small container that removes old files and empties large ones.
    """
    pod["volumes"].append({"name": "parse-logs", "emptyDir": {}})
    mount = {"name": "parse-logs", "mountPath": PARSE_LOGS}
    find = f"find {PARSE_LOGS} -type f"
    old = f"{find} -mmin +{target.config.parse_log_hours * 60} -delete"
    large = f"{find} -size +{PARSE_LOG_MIB * 1024}k -exec truncate -s 0 {{}} +"
    script = f"while :; do {old}; {large}; sleep 3600; done"
    for container in pod["containers"]:
        container["volumeMounts"].append(mount)
    pod["containers"].append(
        {
            "name": "parse-log-cleanup",
            "image": target.runtime_image,
            "args": ["bash", "-c", script],
            "env": [{"name": "CONNECTION_CHECK_MAX_COUNT", "value": "0"}],
            "volumeMounts": [mount],
            **closed_container(sizes.CLEANUP),
        }
    )


def parse_logs_command(namespace: str) -> str:
    """Return the command that shows the newest lines about each DAG file of a Deployment."""
    shows = f"find {PARSE_LOGS} -name '*.log' -exec tail -v -n 20 {{}} +"
    return f"kubectl -n {namespace} exec deploy/dag-processor -c dag-processor -- {shows}"


def _schedule(ref: str) -> str:
    """Return a time of the night that differs between Deployments."""
    minute = zlib.crc32(ref.encode()) % 300
    return f"{minute % 60} {minute // 60} * * *"
