"""The Jobs that create and drop a Deployment's database.

On the cluster's server that is a Job in a namespace of the portal's own, which all Deployments of
the cluster share: the server's password never enters a Deployment's namespace, nor a pod of an
image that users may choose.
"""

from collections.abc import Sequence
from typing import Any

from apps.dataplane.kubernetes import names
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.config import DatabaseServer
from apps.dataplane.kubernetes.render import sizes
from apps.dataplane.kubernetes.render.components.data import DATABASE_IMAGE
from apps.dataplane.kubernetes.render.peers import NAMES, anywhere
from apps.dataplane.kubernetes.render.places import PROGRAMS
from apps.dataplane.kubernetes.render.pods.configuration import registry_secret, secret
from apps.dataplane.kubernetes.render.pods.database import (
    database_name,
    preparation_values,
    reader_name,
)
from apps.dataplane.kubernetes.render.pods.placement import job_metadata
from apps.dataplane.kubernetes.render.pods.pods import (
    DATABASE_USER,
    closed_container,
    identity,
    restricted_pod,
)
from apps.dataplane.kubernetes.render.pods.portal_files import database_ca, program_files
from apps.dataplane.kubernetes.render.stages import Stage
from apps.dataplane.kubernetes.render.target import Target

NAMESPACE = "astro-portal-databases"
COMPONENT = "migration"
REMOVAL = "removal"
PREPARE = f"""for _ in {{1..90}}; do pg_isready -q && break; sleep 2; done
exec psql --no-psqlrc --quiet --file={PROGRAMS}/prepare_database.sql"""


def server_stages(target: Target, server: DatabaseServer) -> tuple[Stage, ...]:
    """Return the stages that create a Deployment's database on the cluster's server. The Job that
    drops it stays suspended there, because a deletion knows only the Deployment's ref.
    """
    ref = target.ref
    programs = program_files(target)
    programs["metadata"] |= {"name": f"{ref}-programs", "namespace": NAMESPACE}
    admin = secret(target, f"{ref}-admin", preparation_values(target), namespace=NAMESPACE)
    pod = _pod(target, preparation(target, admin))
    pod["volumes"] = [programs_volume(programs["metadata"]["name"])]
    # One that failed for a wrong certificate runs again with the right one.
    reads = [admin, ca] if (ca := database_ca(target)) else [admin]
    jobs = (
        job(target, f"{ref}-prepare", pod, reads=reads, namespace=NAMESPACE),
        _drop(target, admin, programs),
    )
    objects = (_closed(target, server), admin, programs, *_registry(target), *jobs)
    return (
        Stage(key="portal", title="The portal's namespace", objects=(_namespace(),)),
        Stage(key="database", title="Database on the server", objects=objects, waits=True),
    )


def preparation(target: Target, admin: Manifest) -> dict[str, Any]:
    """Return the container that creates roles and database, with the Secret `admin`."""
    container = _psql(target, "prepare-database", admin)
    container["args"] = ["bash", "-c", PREPARE]
    return container


def programs_volume(config_map: str) -> dict[str, Any]:
    """Return the volume with the portal's programs."""
    return {"name": "programs", "configMap": {"name": config_map}}


def job(
    target: Target,
    name: str,
    pod: Manifest,
    *,
    reads: Sequence[Manifest],
    component: str = COMPONENT,
    namespace: str = "",
    **spec: Any,
) -> Manifest:
    """Return a Job that runs once, and again under another name when it or what it `reads` changes.

    It stays when it is done. A Job that deletes itself would be found missing, applied again, and
    run again.
    """
    spec |= {
        "backoffLimit": 3,
        "activeDeadlineSeconds": 1800,
        "template": {
            "metadata": job_metadata(target, component),
            "spec": {**pod, "restartPolicy": "Never"},
        },
    }
    full_name = f"{name}-{target.fingerprint([spec, *reads])[:8]}"
    return target.manifest(
        "batch/v1 Job", full_name, component=component, namespace=namespace, spec=spec
    )


def _namespace() -> Manifest:
    """Return the shared namespace: the same for every Deployment and portal of a cluster."""
    labels = {
        "app.kubernetes.io/managed-by": names.FIELD_MANAGER,
        f"{names.SECURITY}/enforce": "restricted",
    }
    metadata = {"name": NAMESPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _closed(target: Target, server: DatabaseServer) -> Manifest:
    """Return the policy that denies all ingress, and all egress but to names and PostgreSQL."""
    to_server = {"to": anywhere(), "ports": [{"port": server.port, "protocol": "TCP"}]}
    return target.manifest(
        "networking.k8s.io/v1 NetworkPolicy",
        f"{target.ref}-closed",
        component=COMPONENT,
        namespace=NAMESPACE,
        spec={
            "podSelector": {"matchLabels": {names.DEPLOYMENT_LABEL: target.ref}},
            "policyTypes": ["Ingress", "Egress"],
            "egress": [NAMES, to_server],
        },
    )


def _registry(target: Target) -> tuple[Manifest, ...]:
    if not target.config.image_pull_secret:
        return ()
    return (registry_secret(target, name=f"{target.ref}-registry", namespace=NAMESPACE),)


def _pod(target: Target, container: dict[str, Any]) -> dict[str, Any]:
    pod = restricted_pod(target, user=DATABASE_USER, group=DATABASE_USER)
    # In this namespace are none of the Deployment's own.
    pod.pop("imagePullSecrets", None)
    if target.config.image_pull_secret:
        pod["imagePullSecrets"] = [{"name": f"{target.ref}-registry"}]
    return {**pod, "containers": [container]}


def _drop(target: Target, admin: Manifest, programs: Manifest) -> Manifest:
    # Names generated by the portal: lowercase letters, digits and underscores.
    name, reader = database_name(target.config, target.ref), reader_name(target.config, target.ref)
    statements = (
        f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)',
        f'DROP ROLE IF EXISTS "{reader}"',
        f'DROP ROLE IF EXISTS "{name}"',
    )
    container = _psql(target, "drop-database", admin)
    commands = [f"--command={statement}" for statement in statements]
    container["args"] = ["psql", "--no-psqlrc", "--set=ON_ERROR_STOP=on", *commands]
    pod = _pod(target, container)
    pod["volumes"] = [programs_volume(programs["metadata"]["name"])]
    return job(
        target,
        f"{target.ref}-drop",
        pod,
        reads=[admin],
        component=REMOVAL,
        namespace=NAMESPACE,
        suspend=True,
    )


def _psql(target: Target, name: str, admin: Manifest) -> dict[str, Any]:
    container = {
        "name": name,
        "image": target.config.mirrored(DATABASE_IMAGE),
        "envFrom": [{"secretRef": {"name": admin["metadata"]["name"]}}],
        "volumeMounts": [{"name": "programs", "mountPath": PROGRAMS, "readOnly": True}],
        **closed_container(sizes.PREPARATION),
    }
    container["securityContext"] |= identity(target.config, user=DATABASE_USER, group=DATABASE_USER)
    return container
