"""Which tasks a worker puts aside, because they waited for longer than their token lasts."""

import importlib.util
import json
from base64 import urlsafe_b64encode
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
