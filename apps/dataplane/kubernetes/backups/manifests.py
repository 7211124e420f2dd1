"""The Jobs of backups: one container of PostgreSQL, which holds the password of the database, and
one of Python, which holds the addresses in the bucket. Pure.
"""

from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from typing import Any

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.names import JOB_LABEL
from apps.dataplane.kubernetes.projects.manifests import (
    ProjectJob,
    bare_pod,
    manifest,
    program_container,
    volumes,
)
from apps.dataplane.kubernetes.render.places import DATABASE_CA, SCRATCH
from apps.dataplane.kubernetes.render.pods.database import PORT, owner_values
from apps.dataplane.kubernetes.render.pods.pods import DATABASE_USER, closed_container, identity
from apps.dataplane.kubernetes.render.pods.portal_files import RUNTIME_FOLDER, database_ca
from apps.dataplane.kubernetes.render.sizes import Share
from apps.dataplane.kubernetes.render.target import DATABASE_SERVICE

# As in runtime/backups.
DUMP = "/opt/portal/dump"
DATABASE_FILES = DATABASE_CA.rpartition("/")[0]
# The largest dump, and what a pod writes beside it.
DUMP_GIB = 20
SHARE = Share(cpu_millis=100, most_cpu_millis=2000, memory_mib=256, disk_gib=DUMP_GIB + 1)
SECONDS = 3_300


@dataclass(frozen=True, kw_only=True)
class DumpJob(ProjectJob):
    """A Job with a dump. `script` is what PostgreSQL's container runs, of the major version
    `postgres`; `is_written` whether that one writes the dump, or else the program before it.
    """

    script: str
    postgres: int
    is_written: bool
    pauses_dags: bool = False

    def pod(self) -> dict[str, Any]:
        """Return the spec of its pod."""
        program = program_container(self)
        program["volumeMounts"].append({"name": "dump", "mountPath": DUMP})
        first, then = (_database(self), program) if self.is_written else (program, _database(self))
        return {
            **bare_pod(self),
            "initContainers": [first],
            "containers": [then],
            "volumes": [
                *volumes(self),
                {"name": "dump", "emptyDir": {"sizeLimit": f"{DUMP_GIB}Gi"}},
            ],
        }

    def programs(self) -> dict[str, str]:
        """Return the files that both containers run, and the CA of the database server."""
        return _texts() | database_ca(self.target)

    def others(self) -> tuple[Manifest, ...]:
        """Return the password of the database, and the way to it where it is in this namespace."""
        values = {
            name: b64encode(value.encode()).decode()
            for name, value in owner_values(self.target).items()
        }
        secret = manifest(self, "v1 Secret", f"{self.name}-database", data=values)
        return (secret,) if self.config.database else (secret, _to_database(self))


@cache
def _texts() -> dict[str, str]:
    files = [*(RUNTIME_FOLDER / "backups").iterdir(), RUNTIME_FOLDER / "projects" / "job.py"]
    return {path.name: path.read_text() for path in sorted(files) if path.is_file()}


def _database(job: DumpJob) -> dict[str, Any]:
    container = {
        "name": "database",
        "image": job.config.mirrored(f"postgres:{job.postgres}-bookworm"),
        "args": ["bash", f"{DATABASE_FILES}/{job.script}.sh"],
        "env": [{"name": "PORTAL_PAUSES_DAGS", "value": "1" if job.pauses_dags else "0"}],
        "envFrom": [{"secretRef": {"name": f"{job.name}-database"}}],
        "volumeMounts": [
            {"name": "programs", "mountPath": DATABASE_FILES, "readOnly": True},
            {"name": "dump", "mountPath": DUMP},
            {"name": "scratch", "mountPath": SCRATCH},
        ],
        **closed_container(job.share),
    }
    container["securityContext"] |= identity(job.config, user=DATABASE_USER, group=DATABASE_USER)
    return container


def _to_database(job: DumpJob) -> Manifest:
    rule = {
        "from": [{"podSelector": {"matchLabels": {JOB_LABEL: job.name}}}],
        "ports": [{"port": PORT, "protocol": "TCP"}],
    }
    spec = {
        "podSelector": {"matchLabels": job.target.selector(DATABASE_SERVICE)},
        "policyTypes": ["Ingress"],
        "ingress": [rule],
    }
    name = f"{job.name}-database"
    return manifest(job, "networking.k8s.io/v1 NetworkPolicy", name, spec=spec)
