"""The Job that makes a Deployment's database on the cluster's server, or drops it.

It runs in a namespace of the portal's own, which all Deployments of the cluster share: the server's
password never enters a Deployment's.
"""

from typing import Any

from apps.dataplane.kubernetes import names
from apps.dataplane.kubernetes.render.configuration import (
    database_admin_values,
    registry_secret,
    secret,
)
from apps.dataplane.kubernetes.render.migration import job, preparation, programs_volume
from apps.dataplane.kubernetes.render.pods import AIRFLOW_USER, restricted_pod
from apps.dataplane.kubernetes.render.portal_files import program_files
from apps.dataplane.kubernetes.render.stages import Manifest
from apps.dataplane.kubernetes.render.target import Target

NAMESPACE = "astro-portal-databases"
COMPONENT = "database"


def portal_namespace() -> Manifest:
    """Return the shared namespace. The same for every Deployment and portal of a cluster."""
    labels = {
        "app.kubernetes.io/managed-by": names.FIELD_MANAGER,
        "pod-security.kubernetes.io/enforce": "restricted",
    }
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": labels},
    }


def shared_policy(target: Target) -> Manifest:
    """Return the policy that lets nobody in."""
    return _moved(
        target.manifest(
            "networking.k8s.io/v1 NetworkPolicy",
            _name(target, "closed"),
            component=COMPONENT,
            spec={"podSelector": {}, "policyTypes": ["Ingress"]},
        )
    )


def database_job(target: Target, *, drops: bool = False) -> tuple[Manifest, ...]:
    """Return the Job and what it reads, named after the Deployment."""
    admin = secret(target, _name(target, "admin"), database_admin_values(target))
    programs = program_files(target)
    programs["metadata"]["name"] = _name(target, "programs")
    pod: dict[str, Any] = {
        **restricted_pod(target, user=AIRFLOW_USER, group=0),
        "containers": [preparation(target, admin_secret=admin["metadata"]["name"], drops=drops)],
        "volumes": [programs_volume(programs["metadata"]["name"])],
    }
    objects = [admin, programs]
    if target.config.image_pull_secret:
        registry = registry_secret(target)
        registry["metadata"]["name"] = _name(target, "registry")
        pod["imagePullSecrets"] = [{"name": registry["metadata"]["name"]}]
        objects.append(registry)
    verb = "drop" if drops else "prepare"
    objects.append(job(target, _name(target, verb), pod))
    return tuple(_moved(manifest) for manifest in objects)


def _name(target: Target, part: str) -> str:
    return f"{target.spec.ref}-{part}"


def _moved(manifest: Manifest) -> Manifest:
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": NAMESPACE}}
