"""The three Jobs of a project: choose packages, build an image, read DAG files.

The first two unpack wheels and run nothing of them; only the build holds the credential of the
registry. The third runs what the project brings, in the image that it is to run in, and holds no
secret at all.
"""

import hashlib
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.config import ClusterConfig, Registry
from apps.dataplane.kubernetes.projects.answers import Answer
from apps.dataplane.kubernetes.projects.errors import index_away
from apps.dataplane.kubernetes.projects.manifests import ProjectJob
from apps.dataplane.kubernetes.projects.running import run_job
from apps.dataplane.kubernetes.render.sizes import Share
from apps.dataplane.project import (
    MOST_PACKAGES,
    InstalledPackages,
    Package,
    PackageLock,
    ParsedProject,
)
from apps.dataplane.project_checks import locks
from apps.dataplane.project_checks.causes import INDEX_AWAY, known_cause
from apps.dataplane.project_checks.parsed import (
    FILE_SECONDS,
    TOTAL_SECONDS,
    parsed_project,
    plain_variables,
)
from apps.dataplane.project_checks.refusals import (
    MOST_LOCK_BYTES,
    Place,
    conflict,
    has_all,
    lock_of,
    names_of,
    refuse_replacing,
    unavailable,
)
from apps.dataplane.spec import CodeSpec, DeploymentSpec, PackagesSpec
from apps.dataplane.untrusted import block_of, number_of, text_of

CHOOSING = Share(cpu_millis=200, most_cpu_millis=2000, memory_mib=1024, disk_gib=2)
BUILDING = Share(cpu_millis=200, most_cpu_millis=4000, memory_mib=1536, disk_gib=8)
READING = Share(cpu_millis=200, most_cpu_millis=2000, memory_mib=2560, disk_gib=2)
CHOOSING_SECONDS, BUILDING_SECONDS, READING_SECONDS = 360, 540, 360
# Of the address space of one file's process, which is more than what it uses.
FILE_MEMORY_MIB = 4096
MOST_OUTPUT = 20_000
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
NO_REGISTRY = (
    "This cluster has no registry, which an image with the packages would be stored in. Someone "
    "who manages clusters can name one in the settings of the cluster."
)


def lock_packages(
    api: Api,
    config: ClusterConfig,
    *,
    spec: DeploymentSpec,
    requirements: Sequence[str],
    preferred: Mapping[str, str],
) -> PackageLock:
    """Choose the packages that the image of the runtime lacks; see `SupportsProjects`."""
    if not requirements:
        return PackageLock(text="", packages=())
    registry = _registry(config)
    wanted = [Requirement(line.split(" --hash=")[0]) for line in requirements]
    answer = run_job(
        api,
        ProjectJob(
            name=_name("lock"),
            spec=spec,
            config=config,
            image=spec.runtime.image,
            program="lock_packages",
            task={
                "requirements": list(requirements),
                "names": names_of(wanted),
                "preferred": dict(preferred),
                **_sources(registry, spec),
            },
            credential=_credential(spec),
            share=CHOOSING,
            seconds=CHOOSING_SECONDS,
        ),
    )
    return _lock(answer, wanted, spec.runtime.version)


def install_packages(api: Api, config: ClusterConfig, *, spec: DeploymentSpec) -> InstalledPackages:
    """Build the image of `spec.packages`, unless the registry has it; see `SupportsProjects`."""
    if spec.packages is None:
        return InstalledPackages(packages=())
    registry = _registry(config)
    answer = run_job(
        api,
        ProjectJob(
            name=_name("build"),
            spec=spec,
            config=config,
            image=spec.runtime.image,
            program="build_image",
            task={
                "base": base_of(config.mirrored(spec.runtime.image), registry),
                "repository": registry.repository,
                "known": _known(spec.packages, registry),
                **_sources(registry, spec),
            },
            files={"lock": _read_lock(spec.packages)},
            credential=_credential(spec, registry),
            share=BUILDING,
            seconds=BUILDING_SECONDS,
        ),
    )
    digest = text_of(answer.fields.get("digest"), 80)
    if not DIGEST.fullmatch(digest):
        raise Temporary("The Job named no image that it made. Check it again.")
    image = f"{registry.repository}@{digest}"
    return InstalledPackages(packages=_packages(answer.fields.get("packages")), image=image)


def parse_project(api: Api, config: ClusterConfig, *, spec: DeploymentSpec) -> ParsedProject:
    """Read the DAG files of `spec.code` in the image that they are to run in; see
    `SupportsProjects`.
    """
    began = time.monotonic()
    answer = run_job(
        api,
        ProjectJob(
            name=_name("read"),
            spec=spec,
            config=config,
            image=spec.packages.image if spec.packages else spec.runtime.image,
            program="read_dags",
            task={
                "seconds": FILE_SECONDS,
                "total_seconds": TOTAL_SECONDS,
                "memory_mib": FILE_MEMORY_MIB,
                "environment": plain_variables(spec.variables),
            },
            files={"code": _read_code(spec.code)} if spec.code else {},
            share=READING,
            seconds=READING_SECONDS,
        ),
    )
    return _parsed(answer, time.monotonic() - began)


def base_of(image: str, registry: Registry) -> str:
    """Return where the image of a runtime is read: where it names itself, or in the repository
    that the cluster has copies of runtimes in. Images of people's own, which are named by digest,
    have no copies.
    """
    if not registry.runtime_repository or "@" in image:
        return image
    return f"{registry.runtime_repository}:{image.rpartition(':')[2]}"


def _registry(config: ClusterConfig) -> Registry:
    if config.registry is None:
        raise Permanent(NO_REGISTRY)
    return config.registry


def _sources(registry: Registry, spec: DeploymentSpec) -> dict[str, Any]:
    """Return where packages come from, for a task, which anyone with the namespace may read."""
    found = enumerate(spec.package_indexes)
    return {
        "index": registry.package_index,
        "ca": registry.ca_certificate,
        "index_ca": "".join(one.ca_certificate for one in spec.package_indexes),
        "indexes": [[_index_name(number), one.url, one.is_only] for number, one in found],
    }


def _credential(spec: DeploymentSpec, registry: Registry | None = None) -> dict[str, Any] | None:
    """Return the secrets of a Job, None where it needs none."""
    indexes = {
        _index_name(number): [one.user, one.password]
        for number, one in enumerate(spec.package_indexes)
        if one.password
    }
    found: dict[str, Any] = {"indexes": indexes} if indexes else {}
    if registry is not None:
        found["registry"] = {"user": registry.user, "password": registry.password}
    return found or None


def _index_name(number: int) -> str:
    """Name an index for uv, which makes the names of its variables of it."""
    return f"portal{number}"


def _known(packages: PackagesSpec, registry: Registry) -> str:
    """Return the digest of the image that runs already, if it is in this repository."""
    repository, _, digest = packages.image.partition("@")
    return digest if repository == registry.repository else ""


def _name(kind: str) -> str:
    return f"project-{kind}-{secrets.token_hex(4)}"


def _lock(answer: Answer, wanted: list[Requirement], runtime: str) -> PackageLock:
    present = _versions(answer.fields.get("installed"))
    refuse_replacing(wanted, present, runtime=runtime)
    if has_all(wanted, present):
        return PackageLock(text="", packages=())
    output = block_of(answer.fields.get("output"), MOST_OUTPUT)
    if output:
        fitting = block_of(answer.fields.get("fitting"), MOST_LOCK_BYTES)
        raise _refusal(output, wanted, fitting, runtime)
    text = answer.fields.get("lock")
    if not isinstance(text, str) or len(text) > 4 * MOST_LOCK_BYTES:
        raise Permanent(f"The project needs more than {MOST_PACKAGES:,} packages.")
    has = "".join(f"{name}=={version}\n" for name, version in present.items())
    return lock_of(locks.additions(text, to=has))


def _refusal(
    output: str, wanted: list[Requirement], fitting: str, runtime: str
) -> Permanent | Temporary:
    place = Place(runtime=runtime, words="this cluster")
    if refusal := unavailable(output, place):
        return refusal
    if cause := known_cause(output):
        return index_away() if cause == INDEX_AWAY else Temporary(cause)
    return conflict(output, wanted=wanted, fitting=fitting, runtime=runtime)


def _versions(value: object) -> dict[str, str]:
    rows = value if isinstance(value, dict) else {}
    return {text_of(name, 200): text_of(version, 100) for name, version in rows.items()}


def _packages(value: object) -> tuple[Package, ...]:
    rows = value if isinstance(value, list) else []
    good = [row for row in rows[:MOST_PACKAGES] if isinstance(row, list) and len(row) == 3]
    return tuple(
        Package(name=text_of(name, 200), version=text_of(version, 100), size_bytes=number_of(size))
        for name, version, size in good
    )


def _read_lock(packages: PackagesSpec) -> bytes:
    lock = Path(packages.lock_path).read_bytes()
    if hashlib.sha256(lock).hexdigest() != packages.digest:
        raise Permanent("The lock of the packages is not the one that was deployed.")
    return lock


def _read_code(code: CodeSpec) -> bytes:
    return Path(code.archive_path).read_bytes()


def _parsed(answer: Answer, seconds: float) -> ParsedProject:
    found: Any = answer.fields.get("found")
    if isinstance(found, dict):
        return parsed_project(found, seconds)
    if answer.fields.get("is_late") is True:
        raise Permanent(f"Reading the DAG files takes longer than {TOTAL_SECONDS // 60} minutes.")
    log = block_of(answer.fields.get("log"), MOST_OUTPUT)
    lines = [text_of(line) for line in log.splitlines() if line.strip()]
    raise Permanent(
        "Airflow does not start with the packages of the project, so its DAG files were not read.",
        log=tuple(lines[-30:]),
    )
