"""Modules beside the DAGs in the triggerer, with a stand-in for Airflow's own class."""

import importlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

PLUGINS = Path(__file__).resolve().parents[2] / "runtime" / "plugins"
NAME = "my_triggers_of_a_test"


class Runner:
    """What the plugin uses of Airflow's TriggerRunner."""

    def __init__(self) -> None:
        self.trigger_cache: dict[str, Any] = {}

    def get_trigger_by_classpath(self, classpath: str) -> Any:
        if classpath not in self.trigger_cache:
            module, _, name = classpath.rpartition(".")
            self.trigger_cache[classpath] = getattr(importlib.import_module(module), name)
        return self.trigger_cache[classpath]


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The code of a Deployment on this machine, in a process with the finder."""
    code = tmp_path / "code"
    (tmp_path / "examples").mkdir()
    code.mkdir()
    kwargs = {"code_folder": str(code), "example_folder": str(tmp_path / "examples")}
    bundle = {"name": "code", "classpath": "portal_bundle.PortalDagBundle", "kwargs": kwargs}
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    monkeypatch.syspath_prepend(str(PLUGINS))
    runner = type("TriggerRunner", (Runner,), {})
    runner.get_trigger_by_classpath = Runner.get_trigger_by_classpath  # type: ignore[attr-defined]
    module = SimpleNamespace(TriggerRunner=runner)
    monkeypatch.setitem(sys.modules, "airflow.jobs.triggerer_job_runner", module)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    importlib.import_module("portal_imports").install()
    yield code
    for name in [one for one in sys.modules if one.startswith((NAME, "portal_"))]:
        del sys.modules[name]


def deliver(code: Path, version: str, files: dict[str, str]) -> None:
    for name, text in files.items():
        (code / version / name).parent.mkdir(parents=True, exist_ok=True)
        (code / version / name).write_text(text)
    (code / "current").write_text(f"{version}\n")


def runner() -> Any:
    module: ModuleType = sys.modules["airflow.jobs.triggerer_job_runner"]
    return module.TriggerRunner()


def test_a_trigger_beside_the_dag_is_found_and_a_new_version_of_it_too(code: Path) -> None:
    triggers = runner()
    deliver(code, "one", {f"{NAME}.py": "class Nap: version = 1"})
    first = triggers.get_trigger_by_classpath(f"{NAME}.Nap")

    deliver(code, "two", {f"{NAME}.py": "class Nap: version = 2"})
    second = triggers.get_trigger_by_classpath(f"{NAME}.Nap")

    assert (first.version, second.version) == (1, 2)
    assert triggers.get_trigger_by_classpath(f"{NAME}.Nap") is second


def test_a_trigger_may_import_its_neighbors_and_lie_in_a_package(code: Path) -> None:
    files = {
        f"{NAME}/__init__.py": "",
        f"{NAME}/naps.py": f"import {NAME}_settings\nclass Nap: length = {NAME}_settings.LENGTH",
        f"{NAME}_settings.py": "LENGTH = 3",
    }
    deliver(code, "one", files)
    assert runner().get_trigger_by_classpath(f"{NAME}.naps.Nap").length == 3

    deliver(code, "two", {**files, f"{NAME}_settings.py": "LENGTH = 4"})
    assert runner().get_trigger_by_classpath(f"{NAME}.naps.Nap").length == 4


def test_a_trigger_in_a_packed_dag_is_found(code: Path) -> None:
    (code / "one" / "team").mkdir(parents=True)
    with zipfile.ZipFile(code / "one" / "team" / "flows.zip", "w") as packed:
        packed.writestr("flow.py", "")
        packed.writestr(f"{NAME}.py", "class Wait:\n    after = 7\n")
    deliver(code, "one", {})

    assert runner().get_trigger_by_classpath(f"{NAME}.Wait").after == 7


def test_modules_in_the_dags_of_a_whole_project_are_found(code: Path) -> None:
    deliver(code, "one", {f"dags/{NAME}.py": "class Nap: pass"})

    assert runner().get_trigger_by_classpath(f"{NAME}.Nap")


def test_what_is_installed_is_never_replaced(code: Path) -> None:
    deliver(code, "one", {"json.py": "", "packaging/__init__.py": "evil = 1"})

    del sys.modules["packaging"]

    assert not hasattr(importlib.import_module("packaging"), "evil")


def test_without_a_deploy_nothing_is_found(code: Path) -> None:
    with pytest.raises(ModuleNotFoundError):
        runner().get_trigger_by_classpath(f"{NAME}.Nap")


@pytest.mark.parametrize(("command", "is_found"), [("triggerer", True), ("scheduler", False)])
def test_only_the_triggerer_gets_it(code: Path, command: str, is_found: bool) -> None:
    script = "import sys, airflow_local_settings; print(type(sys.meta_path[-1]).__name__)"

    said = subprocess.run(
        [sys.executable, "-c", script, command],
        env={
            "PYTHONPATH": str(PLUGINS),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
                [{"kwargs": {"code_folder": str(code), "example_folder": str(code)}}]
            ),
        },
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert (said.strip() == "CodeFinder") is is_found
