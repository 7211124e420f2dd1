"""Which tasks are put aside, because they waited for longer than their token lasts."""

import importlib.util
import json
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest

from apps.dataplane.kubernetes.render.pods.portal_files import RUNTIME_FOLDER

ENDS_AT = 1_000_000


@pytest.fixture
def plugin() -> Any:
    path = RUNTIME_FOLDER / "plugins" / "portal_workloads.py"
    spec = importlib.util.spec_from_file_location("portal_workloads", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def workload(claims: object, *, kind: str = "ExecuteTask") -> str:
    body = urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return json.dumps({"type": kind, "token": f"head.{body}.signature"})


@pytest.mark.parametrize(("late", "has_ended"), [(-1, False), (29, False), (31, True)])
def test_half_of_the_leeway_is_left_for_starting(plugin: Any, late: int, has_ended: bool) -> None:
    sent = workload({"exp": ENDS_AT, "sub": "tä"})

    assert plugin.has_ended(sent, now=ENDS_AT + late, leeway=60) is has_ended


@pytest.mark.parametrize(
    "sent",
    [
        workload({"exp": 1}, kind="ExecuteCallback"),
        workload({"exp": None}),
        workload({"exp": "soon"}),
        workload([1]),
        workload({}),
        '{"type": "ExecuteTask", "token": "no-token"}',
        '{"type": "ExecuteTask", "token": "a.ü!.c"}',
        '{"type": "ExecuteTask", "token": null}',
        '{"type": "ExecuteTask"}',
        "[]",
        "nothing",
    ],
)
def test_what_it_does_not_know_is_left_to_airflow(plugin: Any, sent: str) -> None:
    assert plugin.has_ended(sent, now=ENDS_AT, leeway=60) is False


CREATING = "airflow.providers.cncf.kubernetes.executors.kubernetes_executor_utils"
EXECUTOR = """
import importlib, json, sys, types
sys.path[:0] = [{plugins!r}, {stands_in!r}]
import portal_late_pods
portal_late_pods.install()
module = importlib.import_module({creating!r})
creator = module.AirflowKubernetesScheduler()
for name, sent in json.loads(sys.argv[1]).items():
    workload = types.SimpleNamespace(model_dump_json=lambda sent=sent: sent)
    creator.run_next(types.SimpleNamespace(key=name, command=[workload]))
creator.run_next(types.SimpleNamespace(key="a command", command=["airflow", "tasks", "run"]))
print(json.dumps(creator.created))
"""
STAND_INS = {
    f"{CREATING.replace('.', '/')}.py": """
class AirflowKubernetesScheduler:
    def __init__(self):
        self.created = []
    def run_next(self, next_job):
        self.created.append(next_job.key)
""",
    "airflow/configuration.py": """
class conf:
    getfloat = staticmethod(lambda section, key, fallback: 60.0)
""",
}


def test_the_kubernetes_executor_creates_no_pod_for_a_token_that_has_ended(tmp_path: Path) -> None:
    for name, text in STAND_INS.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    program = EXECUTOR.format(
        plugins=str(RUNTIME_FOLDER / "plugins"), stands_in=str(tmp_path), creating=CREATING
    )
    now = time.time()
    sent = {name: workload({"exp": now + late}) for name, late in (("old", -600), ("new", 600))}

    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(sent)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, json.loads(done.stdout)) == (0, ["new", "a command"]), done.stderr
