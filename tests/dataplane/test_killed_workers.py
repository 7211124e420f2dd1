"""A worker of the portal's own machine is killed at every change that it makes to the disk. What
was there goes on, nothing half is ever used, and the next worker ends the work.
"""

import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.dataplane.local.airflow import code
from apps.dataplane.local.airflow.runtimes import RuntimeFolder
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.home import Home
from apps.dataplane.local.layout import Folder
from apps.dataplane.local.projects import environments
from apps.dataplane.local.projects.environments import Environment, make
from apps.dataplane.local.projects.plugins import place_plugins, prune_plugins
from apps.dataplane.spec import PackagesSpec
from tests.dataplane.specs import make_code, make_runtime

CHANGES = {
    *("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.chmod", "os.utime"),
    "os.truncate",
}
TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT
OLD = {"dags/a.py": "OLD = 1\n", "plugins/p.py": "OLD = 1\n", "include/x.sql": "select 1"}
NEW = {**OLD, "dags/a.py": "NEW = 1\n", "plugins/p.py": "NEW = 1\n", "dags/sub/b.py": "NEW = 2\n"}
A_DAY = 86_400


def killed_before(change: int, work: Callable[[], object]) -> bool:
    """Do work in a process that is killed before its nth change; return whether it was."""
    child = os.fork()
    if child == 0:
        _work_until(change, work)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def _work_until(change: int, work: Callable[[], object]) -> None:
    left = [change]

    def hook(event: str, arguments: Any) -> None:
        is_write = event == "open" and isinstance(arguments[2], int) and arguments[2] & TO_WRITE
        if not is_write and event not in CHANGES:
            return
        left[0] -= 1
        if left[0] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(hook)
        work()
    except BaseException:
        os._exit(1)
    os._exit(0)


def each_change(work: Callable[[], object]) -> Iterator[int]:
    """Do work again and again, killed before its first change, its second, until it ends."""
    for change in range(1, 500):
        if not killed_before(change, work):
            assert change > 5
            return
        yield change
    raise AssertionError("It does not end.")


def files_in(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_code_is_the_old_or_the_new_whole_and_never_a_mixture(tmp_path: Path) -> None:
    folder = Folder(Home(tmp_path / "home"), "etl-prod-7f3c")
    folder.path.mkdir(parents=True)
    old, new = make_code(tmp_path, OLD), make_code(tmp_path, NEW)
    code.deliver(folder, old)
    before = place_plugins(folder, old)

    def deliver() -> None:
        code.deliver(folder, new)
        place_plugins(folder, new)

    for _ in each_change(deliver):
        current = code.current_digest(folder)
        assert current in (old.digest, new.digest)
        assert files_in(folder.code / current) == (NEW if current == new.digest else OLD)
        for path in (folder.path / "plugins").glob("[!.]*"):
            assert files_in(path)["plugins/p.py"] == ("OLD" if path == before else "NEW") + " = 1\n"
        # The next one begins with what the last one left, or from the beginning.
        if current == new.digest:
            continue
        code.remove_tree(folder.code / new.digest)

    assert files_in(folder.code / new.digest) == NEW
    used = place_plugins(folder, new)
    code.prune(folder, in_use=())
    prune_plugins(folder, programs=[f'command="{used}"'])
    assert {path.name for path in folder.code.glob(".unpacking-*")}, "Airflow unpacks there, too"
    for path in folder.code.iterdir():
        os.utime(path, (time.time() - A_DAY,) * 2)
    code.prune(folder, in_use=())
    names = {path.name for path in folder.code.iterdir()}
    assert names == {"current", code.ARCHIVES, old.digest, new.digest}
    assert [path.name for path in (folder.path / "plugins").iterdir()] == [used.name]  # type: ignore[union-attr]


def test_an_environment_is_complete_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = LocalConfig(database_url="", broker_url="", edge_url="")
    monkeypatch.setattr(environments, "MIN_FREE_BYTES", 0)
    home = Home(tmp_path / "home")
    for path in (home.programs, home.runtimes, home.run):
        path.mkdir(parents=True)
    runtime = RuntimeFolder(home, "3.3.2-1", config.runtime_folder / make_runtime().lock_path)
    for name in ("bin/airflow", "bin/python", "lib/a.py"):
        path = runtime.environment / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!{runtime.environment}/bin/python\n{name}\n")
    runtime.mark_packages()
    lock = tmp_path / "lock.txt"
    lock.write_text("b==2\n")
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    environment = Environment(runtime, digest)
    of_runtime = files_in(runtime.environment)

    def install(_sources: Any, target: Path, *arguments: str) -> None:
        if "install" in arguments:
            for name in "bcd":
                (target / "lib" / f"{name}.py").write_text(name)

    monkeypatch.setattr(environments, "_uv", install)
    packages = PackagesSpec(digest=digest, lock_path=str(lock))

    for _ in each_change(lambda: make(environment, config=config, packages=packages)):
        assert files_in(runtime.environment) == of_runtime
        if environment.path.exists():
            assert environment.is_complete
            assert (environment.path / "lib" / "d.py").read_text() == "d"

    assert environment.is_complete
    now = time.time()
    environments.remove_unused(home, now=now + environments.UNUSED_SECONDS + 60)
    assert not [*runtime.path.glob(f"{environments.UNFINISHED}*")]
