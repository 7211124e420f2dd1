"""The Jobs that make and migrate the database, before anything that needs it."""

from typing import Any

from apps.dataplane.kubernetes import sizes
from apps.dataplane.kubernetes.render.access import AIRFLOW
from apps.dataplane.kubernetes.render.configuration import Configuration
from apps.dataplane.kubernetes.render.database import reader_name
from apps.dataplane.kubernetes.render.places import PROGRAMS
from apps.dataplane.kubernetes.render.pods import (
    AIRFLOW_USER,
    restricted_container,
    restricted_pod,
)
from apps.dataplane.kubernetes.render.stages import Manifest
from apps.dataplane.kubernetes.render.target import Target

COMPONENT = "migration"


def migration(configuration: Configuration) -> Manifest:
    """Return the Job that migrates the database, after making it if it is in this namespace."""
    target = configuration.target
    container = program(target, "migrate")
    container["envFrom"] = [{"secretRef": {"name": "airflow"}}]
    container["env"] = [
        {"name": "CONNECTION_CHECK_MAX_COUNT", "value": "0"},
        {"name": "PORTAL_AIRFLOW_VERSION", "value": target.spec.runtime.airflow_version},
        {"name": "PORTAL_READER", "value": reader_name(target.config, target.spec.ref)},
    ]
    pod = {
        **restricted_pod(target, user=AIRFLOW_USER, group=0),
        "serviceAccountName": AIRFLOW,
        "containers": [container],
        "volumes": [programs_volume("programs")],
    }
    if target.config.database is None:
        name = configuration.database_admin["metadata"]["name"]
        pod["initContainers"] = [preparation(target, admin_secret=name)]
    return job(target, "migrate", pod)


def preparation(target: Target, *, admin_secret: str, drops: bool = False) -> dict[str, Any]:
    """Return the container that makes roles and database, or `drops` them."""
    container = program(target, "prepare_database", *(["drop"] if drops else []))
    container |= restricted_container(sizes.PREPARATION)
    container["envFrom"] = [{"secretRef": {"name": admin_secret}}]
    container["env"] = [{"name": "CONNECTION_CHECK_MAX_COUNT", "value": "0"}]
    return container


def program(target: Target, name: str, *args: str) -> dict[str, Any]:
    """Return a container that runs one of the portal's programs and nothing of Airflow's."""
    return {
        "name": name.replace("_", "-"),
        "image": target.spec.runtime.image,
        "args": ["python", f"{PROGRAMS}/{name}.py", *args],
        "volumeMounts": [{"name": "programs", "mountPath": PROGRAMS, "readOnly": True}],
        **restricted_container(sizes.MIGRATION),
    }


def programs_volume(config_map: str) -> dict[str, Any]:
    return {"name": "programs", "configMap": {"name": config_map}}


def job(target: Target, name: str, pod: Manifest) -> Manifest:
    """Return a Job that runs once for what is in it: its name has a digest of the pod.

    It stays when it is done. A Job that removes itself would be missed, applied again, and run
    again.
    """
    spec = {
        "backoffLimit": 3,
        "activeDeadlineSeconds": 1800,
        "template": {
            "metadata": {"labels": target.labels(COMPONENT)},
            "spec": {**pod, "restartPolicy": "Never"},
        },
    }
    full_name = f"{name}-{target.fingerprint(spec)[:8]}"
    return target.manifest("batch/v1 Job", full_name, component=COMPONENT, spec=spec)
