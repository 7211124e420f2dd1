"""All that the portal applies to a cluster, as files that linters read: Deployments of every kind,
the pods of tasks, and what is outside of Deployments (Jobs, and the pods of the storage test).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.backups.manifests import DumpJob
from apps.dataplane.kubernetes.projects.manifests import ProjectJob, job, owned
from apps.dataplane.kubernetes.projects.work import BUILDING
from apps.dataplane.kubernetes.registration import storage_pods
from apps.dataplane.kubernetes.render.components.data import DATABASE_MAJOR
from tests.dataplane.kubernetes_render.matrix import CASES, manifests_of
from tests.dataplane.kubernetes_render.pods import pods_in


def write_all(folder: Path) -> list[Path]:
    """Write a file for each Deployment of the matrix, with what is outside of it, too."""
    files = []
    for case in CASES:
        objects = manifests_of(case)
        files.append(folder / f"{case}.yaml")
        files[-1].write_text(yaml.safe_dump_all([*objects, *_task_pods(objects), *_outside(case)]))
    return files


def _task_pods(objects: list[Manifest]) -> Iterator[Manifest]:
    """Yield what the KubernetesExecutor makes pods of, in the namespace that it makes them in."""
    for manifest in objects:
        if manifest["kind"] == "ConfigMap":
            for pod in pods_in(manifest):
                namespace = manifest["metadata"]["namespace"]
                yield {**pod, "metadata": {**pod["metadata"], "namespace": namespace}}


def _outside(case: str) -> Iterator[Manifest]:
    spec, config = CASES[case]
    secret = {"index": ["user", "password"]}
    common: dict[str, Any] = {
        "spec": spec,
        "config": config,
        "image": spec.runtime.image,
        "task": {},
        "share": BUILDING,
        "seconds": 60,
    }
    dump: dict[str, Any] = {**common, "credential": secret, "postgres": DATABASE_MAJOR}
    dump["program"], dump["script"] = "send_dump", "write_dump"
    jobs = (
        ProjectJob(name="project-read-1", program="read_dags", **common),
        ProjectJob(
            name="project-build-1",
            program="build_image",
            files={"lock": b"six==1.17.0"},
            credential=secret,
            **common,
        ),
        DumpJob(name="backup-1", is_written=True, **dump),
        DumpJob(name="restore-1", is_written=False, **dump),
    )
    for one in jobs:
        yield job(one, is_suspended=False)
        yield from owned(one, uid="u-1")
    volumes = storage_pods.volumes_of(config)
    yield from storage_pods.manifests(config, "astro-portal-storage-test", volumes)
