"""The list of options that a Deployment may set, held to the options of the real Airflows."""

import json
import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from apps.dataplane.variables import OPTIONS_FOLDER
from apps.runtimes.catalogue import Runtime, runtimes
from tests.dataplane.local_world import installed_python
from tests.docs.documents import PROJECT

ALLOWED = tomllib.loads((OPTIONS_FOLDER / "allowed.toml").read_text())


def options_of(runtime: Runtime) -> dict[str, list[str]]:
    text = (OPTIONS_FOLDER / f"airflow-{runtime.airflow_version}.json").read_text()
    return dict(json.loads(text))


@pytest.mark.parametrize("runtime", runtimes(), ids=lambda runtime: runtime.version)
def test_the_options_of_every_runtime_are_known(runtime: Runtime) -> None:
    options = options_of(runtime)

    assert {"api", "core", "database", "secrets", "celery"} <= options.keys()
    assert sum(map(len, options.values())) > 300


@pytest.mark.parametrize("section", ALLOWED)
def test_an_allowed_option_is_one_of_a_runtime(section: str) -> None:
    data: dict[str, Any] = ALLOWED[section]
    known = {name for runtime in runtimes() for name in options_of(runtime).get(section, [])}

    if data.get("is_image_only"):
        assert not known
    else:
        assert set(data["options"]) <= known
    assert data["options"] == sorted(set(data["options"]))


def test_nobody_lets_gunicorn_replace_the_processes_of_an_api_server() -> None:
    # Each would leave one of an executor behind, in Airflow 3.2 and older: see ADR 0061.
    assert "server_type" in options_of(runtimes()[0])["api"]
    assert "server_type" not in ALLOWED["api"]["options"]


def test_the_documentation_lists_every_allowed_option() -> None:
    page = (PROJECT / "docs" / "deployments.md").read_text()

    rows = [
        f"| `[{section}]` | {', '.join(f'`{option}`' for option in data['options'])} |"
        for section, data in ALLOWED.items()
    ]
    assert "\n".join(rows) in page


@pytest.mark.slow
@pytest.mark.parametrize("runtime", runtimes(), ids=lambda runtime: runtime.version)
def test_the_list_of_a_runtime_is_what_its_airflow_reads(runtime: Runtime, tmp_path: Path) -> None:
    python = installed_python(runtime.version)
    if python is None:
        pytest.skip(f"the tests have not installed {runtime.version} on this machine yet")

    said = subprocess.run(
        [str(python), str(OPTIONS_FOLDER / "list_options.py")],
        env={"PATH": os.environ["PATH"], "AIRFLOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(said.stdout) == options_of(runtime)
