"""A Job of a project, and what it reads, as objects of its own: nothing of a Deployment selects
them, and all of them go with the Job. Pure.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from apps.dataplane.kubernetes import names
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.names import JOB_LABEL
from apps.dataplane.kubernetes.render.peers import NAMES, anywhere
from apps.dataplane.kubernetes.render.places import SCRATCH
from apps.dataplane.kubernetes.render.pods.access import AIRFLOW
from apps.dataplane.kubernetes.render.pods.placement import TASK, without_mesh
from apps.dataplane.kubernetes.render.pods.pods import (
    AIRFLOW_USER,
    closed_container,
    restricted_pod,
)
from apps.dataplane.kubernetes.render.pods.portal_files import RUNTIME_FOLDER
from apps.dataplane.kubernetes.render.sizes import Share
from apps.dataplane.kubernetes.render.target import Target
from apps.dataplane.spec import DeploymentSpec

PROGRAMS = "/opt/portal/project"
# As in runtime/projects/job.py.
INPUT, CREDENTIAL = "/opt/portal/input", "/opt/portal/credential"
# A ConfigMap holds 1 MiB, its names included.
PART_BYTES = 900_000
# A Job that no one waits for any more.
KEPT_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class ProjectJob:
    """What one Job does: a program of `runtime/projects`, its `task` and `files`, in an image.
    `credential` is for the registry and for package indexes; a Job that runs what a project brings
    has none. `seconds` is how long it may take.
    """

    name: str
    spec: DeploymentSpec
    config: ClusterConfig
    image: str
    program: str
    task: Mapping[str, Any]
    share: Share
    seconds: int
    files: Mapping[str, bytes] = field(default_factory=dict)
    credential: Mapping[str, Any] | None = field(default=None, repr=False)
    kept_seconds: int = KEPT_SECONDS

    @property
    def namespace(self) -> str:
        return self.config.connection.home(self.spec.ref)

    @property
    def labels(self) -> dict[str, str]:
        managed = {"app.kubernetes.io/managed-by": names.FIELD_MANAGER}
        return {"app.kubernetes.io/name": "airflow-project", **managed, JOB_LABEL: self.name}

    @property
    def pods(self) -> str:
        """The selector of its pods. A pod of a task may have the label, too, but never loses its
        own: the policies for task pods see to that.
        """
        return f"{JOB_LABEL}={self.name},{names.COMPONENT_LABEL}!={TASK}"

    @property
    def target(self) -> Target:
        return Target(spec=self.spec, config=self.config)

    def pod(self) -> dict[str, Any]:
        """Return the spec of its pod."""
        return {
            **bare_pod(self),
            "containers": [program_container(self)],
            "volumes": volumes(self),
        }

    def programs(self) -> dict[str, str]:
        """Return the files that it runs, by name."""
        return _texts("projects", "checks")

    def others(self) -> tuple[Manifest, ...]:
        """Return what it has beside its input, its credential and a way to the outside."""
        return ()


def job(project: ProjectJob, *, is_suspended: bool) -> Manifest:
    """Return the Job. It begins suspended, because what it reads is owned by it."""
    spec = {
        "suspend": is_suspended,
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "activeDeadlineSeconds": project.seconds,
        "ttlSecondsAfterFinished": project.kept_seconds,
        "template": {
            "metadata": without_mesh(project.target, {"labels": project.labels}),
            "spec": project.pod(),
        },
    }
    return manifest(project, "batch/v1 Job", project.name, spec=spec)


def owned(project: ProjectJob, *, uid: str) -> tuple[Manifest, ...]:
    """Return what the Job reads, and the network policy of its pod. `uid` is that of the Job."""
    found = [_policy(project), _programs(project), *_inputs(project), *project.others()]
    if project.credential is not None:
        found.append(_credential(project, project.credential))
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": project.name, "uid": uid}
    for one in found:
        one["metadata"]["ownerReferences"] = [owner]
    return tuple(found)


def bare_pod(project: ProjectJob) -> dict[str, Any]:
    """Return the spec of a pod without containers and volumes."""
    return {
        **restricted_pod(project.target, user=AIRFLOW_USER, group=0),
        "serviceAccountName": AIRFLOW,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 5,
    }


def program_container(project: ProjectJob) -> dict[str, Any]:
    """Return the container that runs the program, under Python."""
    return {
        "name": "project",
        "image": project.config.mirrored(project.image),
        "args": ["python", f"{PROGRAMS}/{project.program}.py"],
        "env": [{"name": name, "value": value} for name, value in sorted(_variables().items())],
        "volumeMounts": _mounts(project),
        **closed_container(project.share),
    }


def _variables() -> dict[str, str]:
    return {
        "AIRFLOW_HOME": f"{SCRATCH}/airflow",
        # There is no database to wait for.
        "CONNECTION_CHECK_MAX_COUNT": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": SCRATCH,
    }


def _mounts(project: ProjectJob) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": "programs", "mountPath": PROGRAMS, "readOnly": True},
        {"name": "input", "mountPath": INPUT, "readOnly": True},
        {"name": "scratch", "mountPath": SCRATCH},
    ]
    if project.credential is not None:
        mounts.append({"name": "credential", "mountPath": CREDENTIAL, "readOnly": True})
    return mounts


def volumes(project: ProjectJob) -> list[dict[str, Any]]:
    """Return the volumes of that container."""
    inputs = [{"configMap": {"name": name}} for name in _input_data(project)]
    found: list[dict[str, Any]] = [
        {"name": "programs", "configMap": {"name": f"{project.name}-programs"}},
        {"name": "input", "projected": {"sources": inputs}},
        {"name": "scratch", "emptyDir": {"sizeLimit": f"{project.share.disk_gib}Gi"}},
    ]
    if project.credential is not None:
        secret = {"secretName": project.name, "defaultMode": 0o440}
        found.append({"name": "credential", "secret": secret})
    return found


def _inputs(project: ProjectJob) -> list[Manifest]:
    return [
        manifest(project, "v1 ConfigMap", name, **data)
        for name, data in _input_data(project).items()
    ]


def _input_data(project: ProjectJob) -> dict[str, dict[str, Any]]:
    """Return the data of the ConfigMaps, by name: the task, and files in parts."""
    task = json.dumps(dict(project.task), sort_keys=True)
    found: dict[str, dict[str, Any]] = {f"{project.name}-task": {"data": {"job.json": task}}}
    for file, content in project.files.items():
        for number, start in enumerate(range(0, len(content), PART_BYTES)):
            part = b64encode(content[start : start + PART_BYTES]).decode()
            data = {"binaryData": {f"{file}.part-{number:02}": part}}
            found[f"{project.name}-{file}-{number}"] = data
    return found


def _programs(project: ProjectJob) -> Manifest:
    return manifest(project, "v1 ConfigMap", f"{project.name}-programs", data=project.programs())


@cache
def _texts(*folders: str) -> dict[str, str]:
    files = sorted(path for one in folders for path in (RUNTIME_FOLDER / one).glob("*.py"))
    return {path.name: path.read_text() for path in files}


def _credential(project: ProjectJob, credential: Mapping[str, Any]) -> Manifest:
    content = b64encode(json.dumps(dict(credential)).encode()).decode()
    return manifest(project, "v1 Secret", project.name, data={"credential.json": content})


def _policy(project: ProjectJob) -> Manifest:
    """Return what opens the way to registries and package indexes, and to nothing of Airflow: its
    database and broker let in whom they know.
    """
    spec = {
        "podSelector": {"matchLabels": {JOB_LABEL: project.name}},
        "policyTypes": ["Ingress", "Egress"],
        "egress": [NAMES, {"to": anywhere()}],
    }
    return manifest(project, "networking.k8s.io/v1 NetworkPolicy", project.name, spec=spec)


def manifest(project: ProjectJob, kind: str, name: str, **body: Any) -> Manifest:
    """Return an object with the labels of the Job; `kind` is like `v1 ConfigMap`."""
    version, _, bare_kind = kind.rpartition(" ")
    metadata = {"name": name, "namespace": project.namespace, "labels": project.labels}
    return {"apiVersion": version, "kind": bare_kind, "metadata": metadata, **body}
