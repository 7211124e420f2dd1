"""The Job that migrates the database, before any component that needs it."""

from typing import Any

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render import sizes
from apps.dataplane.kubernetes.render.components.database_jobs import (
    job,
    preparation,
    programs_volume,
)
from apps.dataplane.kubernetes.render.places import PROGRAMS, SCRATCH
from apps.dataplane.kubernetes.render.pods.access import AIRFLOW
from apps.dataplane.kubernetes.render.pods.configuration import Configuration
from apps.dataplane.kubernetes.render.pods.database import reader_name
from apps.dataplane.kubernetes.render.pods.pods import (
    AIRFLOW_USER,
    closed_container,
    restricted_pod,
    scratch_volume,
)
from apps.dataplane.kubernetes.render.pods.portal_files import PROGRAM_FILES, database_ca
from apps.dataplane.kubernetes.render.sizes import Share


def migration(configuration: Configuration) -> Manifest:
    """Return the Job, which also makes the database if that is in this namespace.

    No user variables are part of it, so that an edit does not migrate again.
    """
    target = configuration.target
    pod = {
        **restricted_pod(target, user=AIRFLOW_USER, group=0),
        "serviceAccountName": AIRFLOW,
        "containers": [
            database_program(
                configuration,
                "migrate",
                share=sizes.MIGRATION,
                PORTAL_READER=reader_name(target.config, target.ref),
            )
        ],
        "volumes": [programs_volume(PROGRAM_FILES), scratch_volume()],
    }
    reads = [configuration.direct]
    if target.config.database is None:
        pod["initContainers"] = [preparation(target, configuration.database_admin)]
        reads.append(configuration.database_admin)
    # One that failed for a wrong certificate runs again with the right one.
    reads += [ca] if (ca := database_ca(target)) else []
    return job(target, "migrate", pod, reads=reads)


def database_program(
    configuration: Configuration, name: str, *, share: Share, **env: str
) -> dict[str, Any]:
    """Return a container that runs one of the portal's programs with the database's address."""
    target = configuration.target
    variables = {
        # Airflow writes its configuration there when it finds none.
        "AIRFLOW_HOME": SCRATCH,
        "CONNECTION_CHECK_MAX_COUNT": "0",
        "PORTAL_AIRFLOW_VERSION": target.spec.runtime.airflow_version,
        **env,
    }
    return {
        "name": name.replace("_", "-"),
        "image": target.runtime_image,
        "args": ["python", f"{PROGRAMS}/{name}.py"],
        "env": [{"name": key, "value": value} for key, value in sorted(variables.items())],
        "envFrom": [{"secretRef": {"name": configuration.direct["metadata"]["name"]}}],
        "volumeMounts": [
            {"name": "programs", "mountPath": PROGRAMS, "readOnly": True},
            {"name": "scratch", "mountPath": SCRATCH},
        ],
        **closed_container(share),
    }
