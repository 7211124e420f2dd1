"""An installation of a runtime that ends half-way: why, in words; trying again begins it anew."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uv

from apps.dataplane.errors import Permanent
from apps.dataplane.local.airflow import runtimes
from apps.dataplane.local.airflow.installer import Installation
from apps.dataplane.local.airflow.runtimes import RuntimeFolder, ensure_runtime
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.home import Home
from tests.dataplane.specs import make_runtime

RUNTIME = make_runtime()
CONFIG = LocalConfig(
    database_url="postgresql://portal:secret@127.0.0.1:5555/portal",
    broker_url="redis://:secret@127.0.0.1:6666",
    edge_url="http://localhost:8081",
)


class Installer:
    """Stands for supervisord: notes what was started, and says that nothing runs."""

    started: list[str] = []

    def __init__(self, home: Home) -> None: ...

    def states(self, *_: str) -> dict[str, Any]:
        return {}

    def write(self, program: Any) -> None: ...

    def reload(self) -> None: ...

    def start(self, name: str) -> None:
        self.started.append(name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RuntimeFolder:
    Installer.started = []
    monkeypatch.setattr(runtimes, "Supervisor", Installer)
    enough = SimpleNamespace(free=10 * 2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: enough)
    lock = runtimes.lock_file(CONFIG, RUNTIME)
    folder = RuntimeFolder(Home(tmp_path / "home"), RUNTIME.version, lock)
    folder.path.mkdir(parents=True)
    return folder


def end_half_way(folder: RuntimeFolder, monkeypatch: pytest.MonkeyPatch, last_words: str) -> str:
    """Run the installer with a uv that installs a piece and fails; return the sentence."""
    broken_uv = folder.path / "uv"
    piece = folder.environment / "piece"
    broken_uv.write_text(
        f'#!/bin/sh\nmkdir -p {piece}\necho "Downloading"\necho "{last_words}"\nexit 2\n'
    )
    broken_uv.chmod(0o700)
    monkeypatch.setattr(uv, "find_uv_bin", lambda: str(broken_uv))
    installation = Installation(folder=folder, config=CONFIG)
    with pytest.raises(Permanent) as raised:
        installation.run()
    installation.fail(raised.value.message)
    return raised.value.message


@pytest.mark.parametrize(
    ("last_words", "message"),
    [
        ("error: No space left on device (os error 28)", "The disk is full. Free some space"),
        ("error: Failed to fetch: dns error", "The package index does not answer."),
        ("error: hash mismatch for airflow", "its hash does not match the lock file"),
        ("error: something new", "The packages of the runtime could not be prepared."),
    ],
)
def test_the_reason_is_a_sentence(
    folder: RuntimeFolder, monkeypatch: pytest.MonkeyPatch, last_words: str, message: str
) -> None:
    assert message in end_half_way(folder, monkeypatch, last_words)
    assert not folder.has_packages


def test_it_fails_once_with_its_last_lines_and_trying_again_begins_anew(
    folder: RuntimeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_half_way(folder, monkeypatch, "error: dns error")

    with pytest.raises(Permanent, match="could not be installed. The package index") as raised:
        ensure_runtime(home=folder.home, config=CONFIG, runtime=RUNTIME)
    again = ensure_runtime(home=folder.home, config=CONFIG, runtime=RUNTIME)

    assert raised.value.log[-2:] == ("error: dns error", "exit 2")
    assert raised.value.component == folder.program
    assert again == "Preparing to download the packages."
    assert Installer.started == [folder.program]


def test_an_installer_that_was_killed_is_started_again(folder: RuntimeFolder) -> None:
    Installation(folder=folder, config=CONFIG)._write()

    ensure_runtime(home=folder.home, config=CONFIG, runtime=RUNTIME)

    assert Installer.started == [folder.program]


def test_a_changed_lock_leaves_the_environment_that_runs_and_removes_the_one_that_nobody_uses(
    folder: RuntimeFolder, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.txt"
    changed.write_text(folder.lock.read_text() + "# changed\n")
    newer = RuntimeFolder(folder.home, folder.version, changed)
    unused = folder.path / "env-of-nobody"
    for environment in (folder.environment, newer.environment, unused):
        environment.mkdir()
    folder.home.programs.mkdir()
    program = folder.home.programs / "one--scheduler.conf"
    program.write_text(f"command = {folder.python} -m airflow scheduler")

    folder.mark_packages()
    newer.remove_unused()

    assert folder.has_packages
    assert not newer.has_packages
    assert newer.environment != folder.environment
    assert sorted(folder.path.glob("env-*")) == sorted([folder.environment, newer.environment])
