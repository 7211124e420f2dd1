"""What reads parts of a log inside an Airflow. It needs no Airflow, so tests use it as it is."""

import importlib.util
from pathlib import Path
from typing import Any

PATH = Path(__file__).resolve().parents[2] / "runtime" / "plugins" / "portal_log_parts.py"


def loaded(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, PATH.with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


plugin = loaded("portal_log_parts")
part_of = plugin.part_of
