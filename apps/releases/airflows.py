"""The Airflows of a trial: two small ones with names of their own, which no page lists. Everything
about them follows from the release, so that a worker that continues a trial finds what another one
began.
"""

import base64
from typing import Any

from django.utils.crypto import salted_hmac

from apps.dataplane.base import DataPlane
from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.spec import (
    AirflowSecrets,
    DeploymentSpec,
    ExecutorName,
    RuntimeSpec,
    WorkerQueue,
)
from apps.deployments.reconciling.compiler import sign_in_spec

DAGS: dict[str, dict[str, int]] = {"welcome": {}, "scaling_demo": {"seconds": 1}}
QUEUE = WorkerQueue(name="default", concurrency=4, min_workers=1, max_workers=1)


def spec_of(
    name: str, runtime: RuntimeSpec, *, executor: ExecutorName, revision: int
) -> DeploymentSpec:
    """Return what an Airflow of a trial should be. `name` is unique in the portal."""
    ref = f"trial-{name}".replace(".", "-")
    return DeploymentSpec(
        ref=ref,
        name=ref,
        revision=revision,
        runtime=runtime,
        executor=executor,
        queues=(QUEUE,) if executor == "celery" else (),
        variables=(),
        code=None,
        secrets=_secrets(ref),
        sign_in=sign_in_spec(ref),
    )


def run_dags(plane: DataPlane, spec: DeploymentSpec, run_id: str) -> tuple[bool, str]:
    """Start the example DAGs once under `run_id`; return whether all have succeeded, and how far
    they are. Raises Permanent for one that failed.
    """
    done = sum(_run(plane, spec, dag_id, run_id, conf) for dag_id, conf in DAGS.items())
    return done == len(DAGS), f"{done} of {len(DAGS)} example DAGs succeeded."


def has_run(plane: DataPlane, spec: DeploymentSpec, run_id: str) -> bool:
    """Return whether the history knows a run that succeeded."""
    return all(_state(plane, spec, dag_id, run_id) == "success" for dag_id in DAGS)


def ask(
    plane: DataPlane, spec: DeploymentSpec, method: str, path: str, body: Any = None
) -> tuple[int, Any]:
    """Call an Airflow of a trial. Raises Temporary for an error of the server."""
    answer = plane.airflow(spec=spec, method=method, path=path, json=body)
    if answer.status >= 500:
        raise Temporary(f"Airflow answered with status {answer.status}.")
    return answer.status, answer.data


def _run(
    plane: DataPlane, spec: DeploymentSpec, dag_id: str, run_id: str, conf: dict[str, int]
) -> bool:
    state = _state(plane, spec, dag_id, run_id)
    if state == "failed":
        raise Permanent(f"The example DAG {dag_id} failed.")
    if state == "":
        path = f"/api/v2/dags/{dag_id}"
        status, _ = ask(plane, spec, "PATCH", path, {"is_paused": False})
        if status == 200:
            body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
            ask(plane, spec, "POST", f"{path}/dagRuns", body)
    return state == "success"


def _state(plane: DataPlane, spec: DeploymentSpec, dag_id: str, run_id: str) -> str:
    status, data = ask(plane, spec, "GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")
    return str(data.get("state", "")) if status == 200 and isinstance(data, dict) else ""


def _secrets(ref: str) -> AirflowSecrets:
    def made(name: str) -> bytes:
        return salted_hmac(f"releases.{name}", ref, algorithm="sha256").digest()

    return AirflowSecrets(
        fernet_key=base64.urlsafe_b64encode(made("fernet")).decode(),
        jwt_secret=(made("jwt-1") + made("jwt-2")).hex(),
        api_secret_key=made("api").hex(),
    )
