"""Packages and plugins of projects on this machine, as far as no Airflow is needed to see it."""

import hashlib
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from apps.dataplane.errors import Permanent
from apps.dataplane.local.airflow.environment import Place, core_environment, worker_environment
from apps.dataplane.local.airflow.runtimes import RuntimeFolder
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.home import Home
from apps.dataplane.local.layout import Folder, State
from apps.dataplane.local.projects import environments, parsing
from apps.dataplane.local.projects.environments import Environment, make, remove_unused
from apps.dataplane.local.projects.plugins import is_project, place_plugins, prune_plugins
from apps.dataplane.local.projects.resolving import resolve
from apps.dataplane.project_checks import parsed
from apps.dataplane.project_checks.locks import additions, versions
from apps.dataplane.project_checks.processes import Limits, run
from apps.dataplane.spec import CodeSpec, PackagesSpec, VariableSpec
from tests.dataplane.specs import make_runtime, make_spec
from tests.small_disk import small_disk

LOCK = """\
# made by uv
apache-airflow==3.3.2 \\
    --hash=sha256:aa
Zope.Interface==7.1 ; python_version < "3.13" \\
    --hash=sha256:bb \\
    --hash=sha256:cc
pandas==3.1.1 \\
    --hash=sha256:dd
"""
CONFIG = LocalConfig(database_url="postgresql://x/y", broker_url="redis://x", edge_url="http://x")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    for path in (home.programs, home.runtimes, home.deployments, home.run):
        path.mkdir(parents=True)
    return home


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_lock_is_read_and_only_what_the_runtime_lacks_is_kept():
    assert versions(LOCK) == {"apache-airflow": "3.3.2", "zope-interface": "7.1", "pandas": "3.1.1"}
    assert additions(LOCK, to="zope_interface==7.1\napache-airflow==3.3.2\n") == (
        "pandas==3.1.1 \\\n    --hash=sha256:dd\n"
    )
    assert additions(LOCK, to=LOCK) == ""


@pytest.mark.parametrize(
    ("requirement", "message"),
    [
        ("apache-airflow<3", "has apache-airflow 3.3.2, which Airflow was tested with"),
        ("SQLAlchemy>=2.1", "Ask for SQLAlchemy==2.0"),
    ],
)
def test_nothing_of_the_runtime_is_replaced(requirement: str, message: str):
    with pytest.raises(Permanent) as refused:
        resolve(config=CONFIG, runtime=make_runtime(), requirements=(requirement,), preferred={})

    assert message in refused.value.message


def test_what_the_runtime_has_needs_no_index():
    wanted = ("apache-airflow>=3", "celery", 'sqlalchemy<2; python_version < "3"')

    lock = resolve(config=CONFIG, runtime=make_runtime(), requirements=wanted, preferred={})

    assert (lock.text, lock.packages) == ("", ())


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"dags/a.py": "", "include/b.py": ""}, True),
        ({"dags/a.py": "", "requirements.txt": ""}, True),
        ({"dags/a.py": "", "team/b.py": ""}, False),
        ({"dags/__init__.py": "", "include/b.py": ""}, False),
        ({"a.py": "", "include/b.py": ""}, False),
    ],
)
def test_a_project_has_dags_beside_something_of_a_project(
    tmp_path: Path, files: dict[str, str], expected: bool
):
    assert is_project(write(tmp_path, files)) is expected


def test_plugins_lie_in_a_folder_that_only_their_content_names(home: Home):
    folder = Folder(home, "tidy-comet")
    files = {"dags/d.py": "1", "plugins/p.py": "from include.x import y\n", "include/x.py": "y=1"}

    def place(digest: str, **changes: str) -> Path | None:
        write(folder.code / digest, {**files, **changes})
        return place_plugins(folder, CodeSpec(digest=digest, archive_path=""))

    first = place("a" * 64)
    assert first
    assert place("b" * 64, **{"dags/d.py": "2"}) == first
    assert (first / "plugins" / "p.py").read_text() == files["plugins/p.py"]
    assert (first / "include" / "x.py").read_text() == "y=1"
    assert place("c" * 64, **{"include/x.py": "y=2"}) != first
    alone = {"plugins/p.py": "x = 1\n"}
    assert place("d" * 64, **alone) == place("e" * 64, **alone, **{"include/x.py": "y=3"})
    assert place_plugins(folder, None) is None
    assert place_plugins(folder, CodeSpec(digest="f" * 64, archive_path="")) is None

    prune_plugins(folder, programs=[f"x {first}/plugins y"])

    assert [path.name for path in (folder.path / "plugins").iterdir()] == [first.name]


def test_every_component_finds_plugins_and_the_portals_own_modules_come_first(home: Home):
    place = Place(
        folder=Folder(home, "tidy-comet"),
        state=State(api_port=1, broker_number=7, database_password="p"),
        config=CONFIG,
        env_folder=Path("/env"),
        extension=Path("/ext"),
    )

    for make_environment in (core_environment, worker_environment):
        environment = make_environment(spec=make_spec(), place=place)
        own, theirs = environment["PYTHONPATH"].split(":")
        assert own.endswith("runtime/plugins")
        assert theirs == "/ext"
        assert environment["AIRFLOW__CORE__PLUGINS_FOLDER"] == "/ext/plugins"


@pytest.fixture
def environment(home: Home) -> Environment:
    """An environment whose runtime is a stand-in: a script and a package."""
    lock = CONFIG.runtime_folder / make_runtime().lock_path
    runtime = RuntimeFolder(home, "3.3.2-1", lock)
    write(
        runtime.environment,
        {
            "bin/airflow": f"#!{runtime.environment}/bin/python\nimport airflow\n",
            "bin/long": "#!/bin/sh\n'''exec' '/long path/python' \"$0\" \"$@\"\n' '''\nimport x\n",
            "bin/shell": "#!/bin/sh\necho\n",
            "lib/python3.11/site-packages/a-1.dist-info/RECORD": "a.py,sha256=x,10\n",
        },
    )
    (runtime.environment / "bin/airflow").chmod(0o755)
    runtime.mark_packages()
    return Environment(runtime, "0" * 64)


def spec_of(folder: Path, text: str = "b==2\n") -> PackagesSpec:
    (folder / "lock.txt").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return PackagesSpec(digest=digest, lock_path=str(folder / "lock.txt"))


def install(monkeypatch: pytest.MonkeyPatch, step: Any) -> None:
    monkeypatch.setattr(environments, "_uv", step)


def test_an_environment_is_a_copy_with_packages_in_it(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    packages = spec_of(tmp_path)
    environment = Environment(environment.runtime, packages.digest)

    def add_package(_config: Any, folder: Path, *arguments: str) -> None:
        if "install" in arguments:
            write(folder, {"lib/python3.11/site-packages/b_c-2.dist-info/RECORD": "b,,7\nx,,\n"})

    install(monkeypatch, add_package)
    make(environment, config=CONFIG, packages=packages)

    assert environment.is_complete
    [added] = environment.packages()
    assert (added.name, added.version, added.size_bytes) == ("b-c", "2", 7)
    scripts = {path.name: path.read_text() for path in (environment.path / "bin").iterdir()}
    for name in ("airflow", "long"):
        assert scripts[name].startswith("#!/bin/sh\n'''exec' \"$(dirname")
        assert scripts[name].splitlines()[-1].startswith("import")
    assert scripts["shell"] == "#!/bin/sh\necho\n"
    assert os.access(environment.path / "bin/airflow", os.X_OK)
    own = environment.runtime.environment / "bin/airflow"
    assert own.read_text().startswith(f"#!{environment.runtime.environment}")
    record = "lib/python3.11/site-packages/a-1.dist-info/RECORD"
    assert (environment.path / record).samefile(environment.runtime.environment / record)


@pytest.mark.parametrize("error", [Permanent("No."), OSError(28, "No space left on device")])
def test_of_one_that_fails_nothing_is_left(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    packages = spec_of(tmp_path)
    environment = Environment(environment.runtime, packages.digest)

    def fail(*_: Any) -> None:
        raise error

    install(monkeypatch, fail)
    with pytest.raises(Permanent):
        make(environment, config=CONFIG, packages=packages)

    assert not environment.is_complete
    names = [path.name for path in environment.runtime.path.iterdir()]
    assert names == [environment.runtime.environment.name]


@pytest.mark.slow
def test_a_disk_that_fills_half_way_leaves_nothing_and_room_is_all_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(environments, "MIN_FREE_BYTES", 0)
    packages = spec_of(tmp_path)

    def unpack(_sources: Any, folder: Path, *arguments: str) -> None:
        if "install" in arguments:
            write(folder, {f"lib/python3.11/site-packages/{n}.py": "#" * 65_536 for n in "abc"})

    install(monkeypatch, unpack)
    with small_disk(tmp_path / "disk") as disk:
        lock = CONFIG.runtime_folder / make_runtime().lock_path
        runtime = RuntimeFolder(Home(disk.path), "3.3.2-1", lock)
        write(runtime.environment, {"bin/airflow": "#!/bin/sh\n"})
        runtime.mark_packages()
        environment = Environment(runtime, packages.digest)
        disk.leave(130_000)
        with pytest.raises(Permanent, match="No space left"):
            make(environment, config=CONFIG, packages=packages)
        left = [path.name for path in runtime.path.iterdir()]
        disk.make_room()
        make(environment, config=CONFIG, packages=packages)
        is_complete = environment.is_complete

    assert left == [runtime.environment.name]
    assert is_complete


def test_a_lock_that_was_changed_in_storage_is_refused(environment: Environment, tmp_path: Path):
    packages = spec_of(tmp_path)
    (tmp_path / "lock.txt").write_text("c==1\n")

    with pytest.raises(Permanent, match="is not the one that was deployed"):
        make(Environment(environment.runtime, packages.digest), config=CONFIG, packages=packages)


def test_an_environment_goes_a_week_after_its_last_use_unless_a_program_starts_from_it(
    environment: Environment, home: Home
):
    paths = [environment.runtime.path / f"project-{name}" for name in "abc"]
    for path, age in zip(paths, (8, 8, 6), strict=True):
        write(path, {environments.COMPLETE: "{}"})
        at = time.time() - age * 86_400
        os.utime(path / environments.COMPLETE, (at, at))
    (home.programs / "x.conf").write_text(f'command="{paths[1]}/bin/python" "-m"\n')

    assert remove_unused(home, now=time.time()) == ["project-a"]
    assert environment.runtime.environment.exists()


def test_a_program_ends_in_time_and_with_all_that_it_started(tmp_path: Path):
    code = "import subprocess, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    limits = Limits(wall_seconds=1, cpu_seconds=5)
    began = time.monotonic()

    ended = run([sys.executable, "-c", code], environment={}, folder=tmp_path, limits=limits)

    assert ended.is_late
    assert time.monotonic() - began < 10


def test_a_program_has_its_own_limits_and_not_those_of_the_worker(tmp_path: Path):
    code = (
        "import resource as r; "
        "print(r.getrlimit(r.RLIMIT_DATA)[0], r.getrlimit(r.RLIMIT_AS)[0], "
        "r.getrlimit(r.RLIMIT_FSIZE)[0], r.getrlimit(r.RLIMIT_CPU)[0]); print('x' * 9_999_999)"
    )
    limits = Limits(wall_seconds=20, cpu_seconds=7, memory_mib=2_000, file_mib=64)
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (8 * 1024**3, hard))
    try:
        ended = run([sys.executable, "-c", code], environment={}, folder=tmp_path, limits=limits)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))

    assert ended.status == 0
    assert len(ended.output) <= 256 * 1024


def test_what_code_says_of_its_dags_is_bounded_and_cleaned():
    said = {
        "dags": [
            ["a\x1b[31m", "f.py", "@daily", 3, ["me", 7, "you"], "no list"],
            ["", "f.py", "", 1, [], []],
            ["short"],
            "text",
            ["b" * 999, 5, None, -7, None, [{}]],
        ],
        "errors": [["f.py", True, "m\u202e", "t" * 99_999, 1], ["g.py", 7, "x", "\x00y", True]],
        "file_count": "many",
    }

    found = parsed.parsed_project(said, 1.0)

    assert [(one.dag_id, one.owners, one.tags) for one in found.dags] == [
        ("a", ("me", "you"), ()),
        ("b" * 250, (), ()),
    ]
    assert (found.dags[1].file, found.dags[1].task_count, found.file_count) == ("", 0, 0)
    first, second = found.errors
    assert (first.line, first.message, first.needs_airflow) == (0, "m", False)
    assert len(first.traceback) == 4_000
    assert (second.line, second.traceback, second.needs_airflow) == (7, "y", True)
    assert parsed.parsed_project({"dags": 7, "errors": None}, 1.0).dags == ()


def test_the_check_gets_placeholders_for_secrets(tmp_path: Path, environment: Environment):
    variables = (
        VariableSpec(key="PLAIN", value="seen", is_secret=False),
        VariableSpec(key="HIDDEN", value="canary", is_secret=True),
    )
    found = parsing._environment(
        CONFIG, environment, make_spec(variables=variables), tmp_path, tmp_path / "code"
    )

    assert found["PLAIN"] == "seen"
    assert found["HIDDEN"] == parsed.PLACEHOLDER
    assert "canary" not in str(found)
    assert "postgresql://" not in str(found)
