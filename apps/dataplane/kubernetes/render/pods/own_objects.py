"""Objects of people's own in the namespace that Airflow's pods read: Secrets, claims and others."""

from typing import Any

from apps.dataplane.kubernetes.render.target import Target
from apps.dataplane.production import Mount


def secret_variables(target: Target) -> list[dict[str, Any]]:
    """Return the variables whose values are in Secrets that others keep in the namespace."""
    return [
        {
            "name": one.variable,
            "valueFrom": {"secretKeyRef": {"name": one.secret, "key": one.key}},
        }
        for one in target.spec.settings.secret_variables
    ]


def own_volumes(target: Target) -> list[dict[str, Any]]:
    """Return the volumes of the settings."""
    mounts = target.spec.settings.mounts
    return [{"name": f"own-{number}", **_source(one)} for number, one in enumerate(mounts)]


def own_mounts(target: Target) -> list[dict[str, Any]]:
    """Return where these are mounted."""
    return [
        {"name": f"own-{number}", "mountPath": one.path, "readOnly": one.is_read_only}
        for number, one in enumerate(target.spec.settings.mounts)
    ]


def _source(one: Mount) -> dict[str, Any]:
    if one.kind == "claim":
        return {"persistentVolumeClaim": {"claimName": one.name}}
    if one.kind == "secret":
        return {"secret": {"secretName": one.name}}
    return {"configMap": {"name": one.name}}
