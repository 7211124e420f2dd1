"""What makes a Deployment's database, and what drops it.

On the cluster's server that is a Job in a namespace of the portal's own, which all Deployments of
the cluster share: the server's password never enters a Deployment's namespace, nor a pod of an
image that others may choose.
"""

from collections.abc import Sequence
from typing import Any

from apps.dataplane.kubernetes import names, sizes
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.render.configuration import registry_secret, secret
from apps.dataplane.kubernetes.render.data import DATABASE_IMAGE
from apps.dataplane.kubernetes.render.database import (
    database_name,
    preparation_values,
    reader_name,
    server_sign_in,
)
from apps.dataplane.kubernetes.render.places import PROGRAMS
from apps.dataplane.kubernetes.render.pods import (
    DATABASE_USER,
    restricted_container,
    restricted_pod,
)
from apps.dataplane.kubernetes.render.portal_files import program_files
from apps.dataplane.kubernetes.render.stages import Manifest, Stage
from apps.dataplane.kubernetes.render.target import Place, Target

NAMESPACE = "astro-portal-databases"
COMPONENT = "migration"
PREPARE = f"""for _ in $(seq 90); do pg_isready -q && break; sleep 2; done
exec psql --no-psqlrc --quiet --file={PROGRAMS}/prepare_database.sql"""


def server_stages(target: Target) -> tuple[Stage, ...]:
    """Return what makes a Deployment's database on the cluster's server."""
    programs = program_files(target)
    programs["metadata"] |= {"name": f"{target.ref}-programs", "namespace": NAMESPACE}
    admin = secret(target, f"{target.ref}-admin", preparation_values(target), namespace=NAMESPACE)
    pod = _pod(target, preparation(admin))
    pod["volumes"] = [programs_volume(programs["metadata"]["name"])]
    prepare = job(target, f"{target.ref}-prepare", pod, reads=[admin])
    prepare["metadata"]["namespace"] = NAMESPACE
    objects = (_closed(target), admin, programs, *_registry(target), prepare)
    return (
        Stage(key="portal", title="The portal's namespace", objects=(_namespace(),)),
        Stage(key="database", title="Database on the server", objects=objects, waits=True),
    )


def removal(*, ref: str, config: ClusterConfig) -> tuple[Stage, ...]:
    """Return what drops a Deployment's database and roles from the cluster's server; nothing where
    the database goes with its namespace.

    To be applied after the Deployment's own namespace is gone, and removed when the Job is done.
    """
    if config.database is None:
        return ()
    place = Place(ref=ref, config=config)
    admin = secret(place, f"{ref}-admin", server_sign_in(config.database), namespace=NAMESPACE)
    pod = _pod(place, _drop(place, admin))
    drop = place.manifest(
        "batch/v1 Job",
        f"{ref}-drop",
        component=COMPONENT,
        namespace=NAMESPACE,
        spec=_job_spec(place, pod),
    )
    objects = (_closed(place), admin, *_registry(place), drop)
    return (
        Stage(key="portal", title="The portal's namespace", objects=(_namespace(),)),
        Stage(key="database", title="Database on the server", objects=objects, waits=True),
    )


def preparation(admin: Manifest) -> dict[str, Any]:
    """Return the container that makes roles and database with what is in the Secret `admin`."""
    container = _psql("prepare-database", admin)
    container["args"] = ["bash", "-c", PREPARE]
    container["volumeMounts"] = [{"name": "programs", "mountPath": PROGRAMS, "readOnly": True}]
    return container


def programs_volume(config_map: str) -> dict[str, Any]:
    """Return the volume with the portal's programs."""
    return {"name": "programs", "configMap": {"name": config_map}}


def job(target: Target, name: str, pod: Manifest, *, reads: Sequence[Manifest]) -> Manifest:
    """Return a Job that runs once, and again under another name when it or what it `reads` changes.

    It stays when it is done. A Job that removes itself would be missed, applied again, and run
    again.
    """
    spec = _job_spec(target, pod)
    digest = target.fingerprint([spec, *reads])[:8]
    return target.manifest("batch/v1 Job", f"{name}-{digest}", component=COMPONENT, spec=spec)


def _job_spec(place: Place, pod: Manifest) -> dict[str, Any]:
    return {
        "backoffLimit": 3,
        "activeDeadlineSeconds": 1800,
        "template": {
            "metadata": {"labels": place.labels(COMPONENT)},
            "spec": {**pod, "restartPolicy": "Never"},
        },
    }


def _namespace() -> Manifest:
    """Return the shared namespace: the same for every Deployment and portal of a cluster."""
    labels = {
        "app.kubernetes.io/managed-by": names.FIELD_MANAGER,
        "pod-security.kubernetes.io/enforce": "restricted",
    }
    metadata = {"name": NAMESPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _closed(place: Place) -> Manifest:
    """Return the policy that lets nobody in."""
    return place.manifest(
        "networking.k8s.io/v1 NetworkPolicy",
        f"{place.ref}-closed",
        component=COMPONENT,
        namespace=NAMESPACE,
        spec={
            "podSelector": {"matchLabels": {names.DEPLOYMENT_LABEL: place.ref}},
            "policyTypes": ["Ingress"],
        },
    )


def _registry(place: Place) -> tuple[Manifest, ...]:
    if not place.config.image_pull_secret:
        return ()
    return (registry_secret(place, name=f"{place.ref}-registry", namespace=NAMESPACE),)


def _pod(place: Place, container: dict[str, Any]) -> dict[str, Any]:
    pod = restricted_pod(place, user=DATABASE_USER, group=DATABASE_USER)
    if place.config.image_pull_secret:
        pod["imagePullSecrets"] = [{"name": f"{place.ref}-registry"}]
    return {**pod, "containers": [container]}


def _drop(place: Place, admin: Manifest) -> dict[str, Any]:
    # Names of the portal's own making: lowercase letters, digits and underscores.
    name, reader = database_name(place.config, place.ref), reader_name(place.config, place.ref)
    statements = (
        f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)',
        f'DROP ROLE IF EXISTS "{reader}"',
        f'DROP ROLE IF EXISTS "{name}"',
    )
    container = _psql("drop-database", admin)
    commands = [f"--command={statement}" for statement in statements]
    container["args"] = ["psql", "--no-psqlrc", "--set=ON_ERROR_STOP=on", *commands]
    return container


def _psql(name: str, admin: Manifest) -> dict[str, Any]:
    container = {
        "name": name,
        "image": DATABASE_IMAGE,
        "envFrom": [{"secretRef": {"name": admin["metadata"]["name"]}}],
        **restricted_container(sizes.PREPARATION),
    }
    container["securityContext"] |= {"runAsUser": DATABASE_USER, "runAsGroup": DATABASE_USER}
    return container
