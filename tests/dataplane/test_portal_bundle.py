"""The bundle that serves code inside an Airflow, with a stand-in for Airflow's own class: both ways
in which code comes, and the moments when it is not whole.
"""

import errno
import hashlib
import importlib.util
import io
import json
import os
import shutil
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

PLUGIN = Path(__file__).resolve().parents[2] / "runtime" / "plugins" / "portal_bundle.py"
PART = 100


class StandIn:
    """What the plugin uses of Airflow's BaseDagBundle."""

    def __init__(self, *, name: str, version: str | None = None) -> None:
        self.name, self.version, self.is_initialized = name, version, False

    def initialize(self) -> None:
        self.is_initialized = True


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    base = SimpleNamespace(BaseDagBundle=StandIn)
    bundles = SimpleNamespace(base=base)
    for name, module in (
        ("airflow", SimpleNamespace(dag_processing=SimpleNamespace(bundles=bundles))),
        ("airflow.dag_processing", SimpleNamespace(bundles=bundles)),
        ("airflow.dag_processing.bundles", bundles),
        ("airflow.dag_processing.bundles.base", base),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.syspath_prepend(str(PLUGIN.parent))
    spec = importlib.util.spec_from_file_location("portal_bundle", PLUGIN)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    return module


class Pod:
    """A pod's view: its slots and its own state, and versions that it may share with others."""

    def __init__(self, plugin: ModuleType, folder: Path, *, versions: Path | None = None) -> None:
        self.plugin = plugin
        self.slots = folder / "slots"
        self.state = folder / "state"
        self.versions = versions or folder / "versions"
        self.examples = folder / "examples"
        for path in (self.slots, self.state, self.examples):
            path.mkdir(parents=True)

    def bundle(self, version: str | None = None) -> Any:
        bundle = self.plugin.PortalDagBundle(
            name="code",
            version=version,
            code_folder=str(self.versions),
            example_folder=str(self.examples),
            slots_folder=str(self.slots),
            state_folder=str(self.state),
        )
        bundle.initialize()
        return bundle

    def unpacked(self) -> list[str]:
        return [path.name for path in self.versions.iterdir() if path.name != ".archives"]

    def receive(self, archive: bytes, *, only: range | None = None) -> str:
        """Let the kubelet bring an archive, or only some of its parts; return its digest."""
        digest = hashlib.sha256(archive).hexdigest()
        parts = [archive[start : start + PART] for start in range(0, len(archive), PART)]
        if only is None:
            for path in self.slots.iterdir():
                path.unlink()
        for number, part in enumerate(parts):
            if only is None or number in only:
                (self.slots / f"part-{number:02}").write_bytes(part)
        if only is None or 0 in only:
            text = json.dumps({"digest": digest, "parts": len(parts)})
            (self.slots / "manifest.json").write_text(text)
        return digest


@pytest.fixture
def pod(plugin: ModuleType, tmp_path: Path) -> Pod:
    return Pod(plugin, tmp_path)


def make_archive(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{name}.py", text)
    return buffer.getvalue()


def test_without_code_the_examples_are_served(pod: Pod) -> None:
    bundle = pod.bundle()

    assert bundle.path == pod.examples
    assert bundle.get_current_version() == "examples"


def test_code_in_the_slots_is_unpacked_and_served(pod: Pod) -> None:
    digest = pod.receive(make_archive(dag="x = 1", other="y" * 500))

    bundle = pod.bundle()

    assert bundle.path == pod.versions / digest
    assert (bundle.path / "dag.py").read_text() == "x = 1"
    assert bundle.get_current_version() == digest
    assert not os.access(bundle.path / "dag.py", os.X_OK)
    assert pod.unpacked() == [digest]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EROFS])
def test_a_shared_file_system_that_refuses_modes_takes_code_all_the_same(
    pod: Pod, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.chmod", refuse)
    digest = pod.receive(make_archive(dag="x = 1", other="y = 2"))

    bundle = pod.bundle()

    assert bundle.get_current_version() == digest
    assert (bundle.path / "dag.py").read_text() == "x = 1"


def test_new_code_is_taken_at_a_refresh_and_a_run_keeps_its_own(pod: Pod) -> None:
    first = pod.receive(make_archive(dag="x = 1"))
    current, kept = pod.bundle(), pod.bundle(version=first)

    second = pod.receive(make_archive(dag="x = 2"))
    current.refresh()
    kept.refresh()

    assert current.path == pod.versions / second
    assert kept.path == pod.versions / first
    assert (kept.path / "dag.py").read_text() == "x = 1"


@pytest.mark.parametrize("only", [range(1), range(1, 99), range(2)])
def test_slots_that_are_half_updated_leave_the_old_code(pod: Pod, only: range) -> None:
    first = pod.receive(make_archive(dag="x = 1" * 100))
    bundle = pod.bundle()
    second = make_archive(dag="x = 2" * 100)

    pod.receive(second, only=only)
    bundle.refresh()
    assert bundle.get_current_version() == first

    digest = pod.receive(second)
    bundle.refresh()
    assert bundle.get_current_version() == digest


def test_a_new_pod_serves_nothing_until_its_slots_are_whole(
    plugin: ModuleType, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make_archive(dag="x = 1" * 100)
    digest = pod.receive(archive, only=range(1))

    with pytest.raises(RuntimeError, match="did not arrive whole"):
        pod.bundle()

    monkeypatch.setattr(plugin, "PATIENCE_SECONDS", 60)
    monkeypatch.setattr(plugin.time, "sleep", lambda seconds: pod.receive(archive))
    assert pod.bundle().get_current_version() == digest


def test_code_that_is_taken_back_gives_the_examples_again(pod: Pod) -> None:
    pod.receive(make_archive(dag="x = 1"))
    bundle = pod.bundle()

    for path in pod.slots.iterdir():
        path.unlink()
    bundle.refresh()

    assert bundle.path == pod.examples


@pytest.mark.parametrize(
    "archive",
    [
        make_archive(**{"../../outside": "x"}),
        make_archive(**{"/outside": "x"}),
        make_archive(**{"a\\b": "x"}),
        b"this is no archive",
    ],
)
def test_an_archive_that_must_not_be_unpacked_leaves_the_old_code(
    pod: Pod, archive: bytes, tmp_path: Path
) -> None:
    first = pod.receive(make_archive(dag="x = 1"))
    bundle = pod.bundle()

    pod.receive(archive)
    bundle.refresh()

    assert bundle.get_current_version() == first
    assert not list(tmp_path.rglob("*outside*"))
    assert pod.unpacked() == [first]


def test_a_link_in_an_archive_is_refused(pod: Pod) -> None:
    pod.bundle()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")

    pod.receive(buffer.getvalue())

    assert pod.bundle().path == pod.examples


def test_pods_with_one_volume_each_follow_their_own_slots(
    plugin: ModuleType, tmp_path: Path
) -> None:
    shared = tmp_path / "versions"
    early = Pod(plugin, tmp_path / "early", versions=shared)
    late = Pod(plugin, tmp_path / "late", versions=shared)
    first = late.receive(make_archive(dag="x = 1"))
    second = early.receive(make_archive(dag="x = 2"))

    ahead, behind = early.bundle(), late.bundle()

    assert ahead.get_current_version() == second
    assert behind.get_current_version() == first
    # A run that began with the new code finds it in the pod that is behind.
    assert (late.bundle(version=second).path / "dag.py").read_text() == "x = 2"


def test_a_version_that_is_gone_gives_way_to_the_current_one(pod: Pod) -> None:
    digest = pod.receive(make_archive(dag="x = 1"))

    bundle = pod.bundle(version="0" * 64)

    assert bundle.path == pod.versions / digest


def test_a_version_that_comes_while_a_task_waits_is_used(
    plugin: ModuleType, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod.receive(make_archive(dag="x = 1"))
    pod.bundle()
    archive = make_archive(dag="x = 2")
    version = hashlib.sha256(archive).hexdigest()
    arrivals: list[Callable[[], str]] = [lambda: pod.receive(archive)]
    monkeypatch.setattr(plugin, "PATIENCE_SECONDS", 60)
    monkeypatch.setattr(plugin.time, "sleep", lambda seconds: arrivals and arrivals.pop()())

    bundle = pod.bundle(version=version)

    assert bundle.path == pod.versions / version


def test_versions_that_no_task_used_for_long_are_removed(
    plugin: ModuleType, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = []
    for number in range(4):
        old.append(pod.receive(make_archive(dag=f"x = {number}")))
        pod.bundle()
        long_ago = time.time() - sys.modules["portal_code"].UNUSED_SECONDS - 1000 + number
        os.utime(pod.versions / old[-1], (long_ago, long_ago))
    pod.bundle(version=old[0])
    monkeypatch.setattr(sys.modules["portal_code"], "VERSIONS_KEPT", 2)

    newest = pod.receive(make_archive(dag="the newest"))
    pod.bundle()

    assert set(pod.unpacked()) == {newest, old[0]}


def age_all(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no version be used for long, and none be among the last."""
    monkeypatch.setattr(sys.modules["portal_code"], "VERSIONS_KEPT", 0)
    for name in pod.unpacked():
        os.utime(pod.versions / name, (1, 1))


def test_a_run_that_is_started_again_long_after_gets_its_own_code(
    plugin: ModuleType, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pod.receive(make_archive(dag="x = 1"))
    pod.bundle()
    age_all(pod, monkeypatch)
    second = pod.receive(make_archive(dag="x = 2"))
    current = pod.bundle()
    assert pod.unpacked() == [second]

    again = pod.bundle(version=first)

    assert (again.path / "dag.py").read_text() == "x = 1"
    assert current.get_current_version() == second


def test_a_run_that_is_started_again_while_its_code_goes_never_sees_half_of_it(
    plugin: ModuleType, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A removal that has only begun, or that was interrupted: files of the version are left."""
    first = pod.receive(make_archive(dag="x = 1"))
    pod.bundle()
    age_all(pod, monkeypatch)
    second = pod.receive(make_archive(dag="x = 2"))
    monkeypatch.setattr(sys.modules["portal_code"].shutil, "rmtree", lambda *_, **__: None)
    pod.bundle()
    assert not (pod.versions / first).exists()

    again = pod.bundle(version=first)

    assert (again.path / "dag.py").read_text() == "x = 1"
    assert (pod.versions / second).is_dir()


def test_old_code_that_another_pod_removes_meanwhile_stops_no_delivery(
    plugin: ModuleType, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pods that share a volume get new code, and look for old code, within the same seconds."""
    first = pod.receive(make_archive(dag="x = 1"))
    pod.bundle()
    age_all(pod, monkeypatch)
    is_dir = Path.is_dir

    def there_and_gone(self: Path) -> bool:
        is_there = is_dir(self)
        if self.name in (first, ".unpacking-elsewhere"):
            shutil.rmtree(self, ignore_errors=True)
        return is_there

    (pod.versions / ".unpacking-elsewhere").mkdir()
    second = pod.receive(make_archive(dag="x = 2"))
    monkeypatch.setattr(Path, "is_dir", there_and_gone)

    assert pod.bundle().get_current_version() == second
    assert pod.unpacked() == [second]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EBUSY, errno.ESTALE])
def test_old_code_that_the_file_system_does_not_let_go_stops_no_delivery(
    plugin: ModuleType, pod: Pod, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    first = pod.receive(make_archive(dag="x = 1"))
    pod.bundle()
    age_all(pod, monkeypatch)
    rename, unlink = os.rename, os.unlink

    def refuse(path: Any, *others: Any, **options: Any) -> None:
        if first in str(path):
            raise OSError(number, os.strerror(number))
        (rename if others else unlink)(path, *others, **options)

    monkeypatch.setattr("os.rename", refuse)
    monkeypatch.setattr("os.unlink", refuse)
    monkeypatch.setattr(plugin, "versions_of_runs", set)
    second = pod.receive(make_archive(dag="x = 2"))

    assert pod.bundle().get_current_version() == second
    assert set(pod.unpacked()) == {first, second}


def test_what_a_killed_pod_has_half_unpacked_goes_after_a_week(pod: Pod) -> None:
    for name, age in ((".unpacking-old", 8 * 86_400), (".unpacking-now", 60)):
        (pod.versions / name / "code").mkdir(parents=True)
        os.utime(pod.versions / name, (time.time() - age, time.time() - age))

    digest = pod.receive(make_archive(dag="x = 1"))
    pod.bundle()

    assert set(pod.unpacked()) == {digest, ".unpacking-now"}


def test_an_archive_goes_only_when_no_run_has_its_version(
    plugin: ModuleType, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = []
    for number in range(3):
        digests.append(pod.receive(make_archive(dag=f"x = {number}")))
        pod.bundle()
    age_all(pod, monkeypatch)

    for of_runs, left in ((None, digests), ({digests[0]}, [digests[0], digests[2]])):
        plugin.remove_unused(pod.versions, current=digests[2], of_runs=of_runs)
        kept = {path.stem for path in (pod.versions / ".archives").iterdir()}
        assert kept == set(left)


def test_a_kept_archive_that_was_changed_is_not_used(pod: Pod) -> None:
    digest = pod.receive(make_archive(dag="x = 1"))
    pod.bundle()
    old = "0" * 64
    (pod.versions / ".archives" / f"{old}.zip").write_bytes(make_archive(dag="evil"))

    assert pod.bundle(version=old).path == pod.versions / digest


def test_a_program_keeps_its_bit_and_nothing_else_of_its_mode(pod: Pod) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, mode in (("run.sh", 0o755), ("root.sh", 0o4755), ("dag.py", 0o666)):
            member = zipfile.ZipInfo(name)
            member.external_attr = (0o100000 | mode) << 16
            archive.writestr(member, "#!/bin/sh")
    pod.receive(buffer.getvalue())

    folder = pod.bundle().path

    modes = {path.name: oct(path.stat().st_mode & 0o7777) for path in folder.iterdir()}
    assert modes == {"run.sh": "0o555", "root.sh": "0o555", "dag.py": "0o444"}


def test_modules_of_a_whole_project_are_found_beside_its_dags(pod: Pod) -> None:
    pod.receive(make_archive(**{"dags/one": "import helper", "dags/helper": "", "include/lib": ""}))

    first = pod.bundle().path
    pod.receive(make_archive(dag="x = 2"))

    # Airflow itself adds the path of the bundle: that is where DAG files are looked for.
    assert first.name == "dags"
    assert str(first.parent) in sys.path
    second = pod.bundle()
    assert second.path.parent == first.parent.parent
    assert str(first.parent) not in sys.path


def test_a_folder_called_dags_alone_makes_no_project(pod: Pod) -> None:
    digest = pod.receive(make_archive(**{"dags/one": "", "team/two": ""}))

    assert pod.bundle().path == pod.versions / digest
    assert str(pod.versions / digest / "dags") in sys.path


def test_on_one_machine_the_pointer_of_the_data_plane_counts(
    plugin: ModuleType, tmp_path: Path
) -> None:
    code, examples = tmp_path / "code", tmp_path / "examples"
    for path in (code, examples, code / "one"):
        path.mkdir()
    (code / "current").write_text("one\n")

    bundle = plugin.PortalDagBundle(
        name="code", code_folder=str(code), example_folder=str(examples)
    )
    bundle.initialize()
    assert bundle.path == code / "one"

    (code / "current").write_text("examples\n")
    bundle.refresh()
    assert bundle.path == examples
    assert {path.name for path in code.iterdir()} == {"one", "current"}
