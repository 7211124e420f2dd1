"""A data plane with a Deployment that several tests share, and what they do with its Airflow."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from apps.dataplane.base import DataPlane
from apps.dataplane.errors import Unreachable
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.status import Progress

PATIENCE_SECONDS = 90
Found = TypeVar("Found")


@dataclass
class World:
    """The plane, and the Deployment that several tests share; `spec` is what was applied last."""

    plane: DataPlane
    spec: DeploymentSpec | None = None

    def apply(self, **changes: Any) -> float:
        """Apply the shared spec with changes; return the seconds until it was done."""
        assert self.spec
        self.spec = replace(self.spec, revision=self.spec.revision + 1, **changes)
        began = time.monotonic()
        settle(lambda: self.plane.apply(spec=self.spec))
        return time.monotonic() - began

    def airflow(self, method: str, path: str, json: dict[str, Any] | None = None) -> Any:
        """Call Airflow with the patience that a busy machine needs; `json` must bear repeating. An
        api-server whose database is being started again answers 500.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            is_late = time.monotonic() > deadline
            try:
                response = self.plane.airflow(spec=self.spec, method=method, path=path, json=json)
            except Unreachable:
                if is_late:
                    raise
            else:
                if response.status < 500 or is_late:
                    assert response.status < 400, response
                    return response.data
            time.sleep(0.2)

    def trigger(self, dag_id: str, **conf: Any) -> str:
        """Start a run of a DAG as soon as Airflow knows the DAG; return the run's id."""
        path = f"/api/v2/dags/{dag_id}"
        body = {"logical_date": None, "conf": conf, "dag_run_id": secrets.token_hex(8)}

        def accepts(method: str, path: str, json: dict[str, Any]) -> bool:
            try:
                response = self.plane.airflow(spec=self.spec, method=method, path=path, json=json)
            except Unreachable:
                return False
            # 409: it took what it was too slow to answer.
            return response.status in (200, 409)

        eventually(lambda: accepts("PATCH", path, {"is_paused": False}), seconds=90)
        # Airflow refuses runs of a DAG that left with earlier code until its file is read again.
        eventually(lambda: accepts("POST", f"{path}/dagRuns", body), seconds=90)
        return str(body["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"
        run: dict[str, Any] = self.airflow("GET", path)
        run["tasks"] = self.airflow("GET", f"{path}/taskInstances")["task_instances"]
        return run

    def finished_run(self, dag_id: str, run_id: str, seconds: float = 120) -> dict[str, Any]:
        def is_over() -> bool:
            return self.run(dag_id, run_id)["state"] in ("success", "failed")

        eventually(is_over, seconds=seconds)
        return self.run(dag_id, run_id)

    def succeeded(self, dag_id: str, run_id: str, seconds: float = 120) -> dict[str, Any]:
        """Wait for a run and return it; one that failed fails the test with what its tasks said."""
        run = self.finished_run(dag_id, run_id, seconds)
        assert run["state"] == "success", "\n".join(self._last_words(dag_id, run))
        return run

    def _last_words(self, dag_id: str, run: dict[str, Any]) -> list[str]:
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run['dag_run_id']}/taskInstances"
        said = []
        for task in run["tasks"]:
            log = self.airflow("GET", f"{path}/{task['task_id']}/logs/{task['try_number']}")
            last = [line["event"] for line in log["content"][-5:]]
            said.append(f"{task['task_id']} {task['state']}: {last}")
        return said

    def create(self, spec: DeploymentSpec) -> None:
        """Make `spec` the shared Deployment, and wait until it is healthy."""
        self.spec = spec
        settle(lambda: self.plane.apply(spec=spec))

    def delete(self) -> None:
        assert self.spec
        settle(lambda: self.plane.delete(ref=self.spec.ref))


def settle(step: Callable[[], Progress], *, seconds: float = 240) -> Progress:
    """Repeat passes until one says that it is done."""
    deadline = time.monotonic() + seconds
    while not (progress := step()).is_done:
        assert time.monotonic() < deadline, progress
        time.sleep(progress.retry_after_seconds)
    return progress


def eventually(look: Callable[[], Found], *, seconds: float = 30, every: float = 0.5) -> Found:
    """Return the first true answer of `look`; fail when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(every)
    return found
