import tomllib
from datetime import date

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from apps.releases.shelf import PYTHONS
from apps.runtimes.catalogue import (
    RUNTIME_FOLDER,
    Runtime,
    built_in,
    offered_runtimes,
    runtime_called,
    runtimes,
)

TODAY = date(2026, 11, 22)


def test_the_newest_runtime_comes_first() -> None:
    released = [runtime.released for runtime in runtimes()]

    assert released == sorted(released, reverse=True)
    assert offered_runtimes(today=TODAY)[0].airflow_version == "3.3.2"


# Up to 3.1.7 Airflow set its session cookie for the whole host: CVE-2026-28779.
VULNERABLE = {"3.1.7"}


def test_three_minors_and_the_two_newest_patches_of_each_that_is_not_vulnerable() -> None:
    known = {Version(one.airflow_version) for one in built_in()}
    minors = {one.release[:2] for one in known}

    assert len(minors) >= 3
    for minor in minors:
        newest = max(one for one in known if one.release[:2] == minor)
        before = f"{newest.major}.{newest.minor}.{newest.micro - 1}"
        assert (Version(before) in known) != (before in VULNERABLE), before


def test_a_runtime_names_the_pythons_that_a_portal_runs_on() -> None:
    project = tomllib.loads((RUNTIME_FOLDER.parent / "pyproject.toml").read_text())["project"]
    portal = SpecifierSet(project["requires-python"])
    pythons = tuple(f"3.{minor}" for minor in range(30) if f"3.{minor}" in portal)

    assert {one.python_versions for one in built_in()} == {pythons}
    assert tuple(PYTHONS) == pythons


def test_a_version_is_there_once() -> None:
    versions = [runtime.version for runtime in runtimes()]

    assert len(versions) == len(set(versions))
    assert {"3.3.2", "3.2.2"} <= {runtime.airflow_version for runtime in runtimes()}


@pytest.mark.parametrize("runtime", runtimes(), ids=lambda runtime: runtime.version)
def test_every_package_of_a_runtime_is_locked_with_hashes(runtime: Runtime) -> None:
    lines = runtime.lock_path.read_text().splitlines()

    pins = [line for line in lines if line and line[0] not in " #"]
    assert f"apache-airflow=={runtime.airflow_version}" in " ".join(pins)
    assert all("==" in pin for pin in pins)
    assert sum("--hash=sha256:" in line for line in lines) >= len(pins)


def test_a_withdrawn_or_outdated_runtime_is_not_offered_but_still_known() -> None:
    newest = runtimes()[0]
    withdrawn = Runtime(**{**vars(newest), "yanked": "It loses tasks."})

    assert not withdrawn.is_offered(today=TODAY)
    assert offered_runtimes(today=date(2040, 1, 1)) == ()
    assert runtime_called(newest.version) == newest


def test_an_unknown_version_is_an_error() -> None:
    with pytest.raises(KeyError):
        runtime_called("0.0.0-0")
