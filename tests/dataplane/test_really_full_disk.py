"""The local plane on a disk that is really full: said, nothing half-written, and on with room."""

import hashlib
import os
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from django.db import connection

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.local.airflow import code
from apps.dataplane.local.backups import dumping
from apps.dataplane.local.control import apply, capacity
from apps.dataplane.local.control.apply import ApplyPass
from apps.dataplane.local.home import Home
from apps.dataplane.local.layout import Folder, State, read_state
from apps.dataplane.local.plane import LocalPlane
from apps.dataplane.local.private_files import write_private
from apps.dataplane.spec import CodeSpec, DeploymentSpec
from tests.dataplane.specs import make_spec
from tests.dataplane.test_full_machine import CONFIG
from tests.small_disk import SmallDisk, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as mounted:
        yield mounted


@pytest.fixture
def home(disk: SmallDisk) -> Home:
    home = Home(disk.path / "home")
    for path in (home.path, home.run, home.deployments):
        path.mkdir()
    return home


@pytest.fixture
def plane(home: Home, monkeypatch: pytest.MonkeyPatch) -> LocalPlane:
    """A plane whose passes end when the code is delivered, and need no database."""
    monkeypatch.setattr(capacity, "available_memory_mb", lambda: 8000)
    monkeypatch.setattr(apply.database, "create_database", lambda *_, **__: False)
    whole_plan = ApplyPass._plan
    monkeypatch.setattr(
        ApplyPass,
        "_plan",
        lambda self: [step for step in whole_plan(self) if step[0] in ("database", "code")],
    )
    return LocalPlane(home, CONFIG)


@pytest.fixture
def _any_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a first start begin on a disk of any size."""
    monkeypatch.setattr(capacity, "MIN_DISK_MB", 0)


@pytest.fixture
def spec(tmp_path: Path) -> DeploymentSpec:
    """With 2 MB of code, more than a file system gives away as a reserve."""
    archive = tmp_path / "code.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("etl.py", os.urandom(2 * 2**20))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return replace(make_spec(), code=CodeSpec(digest=digest, archive_path=str(archive)))


def test_a_deployment_is_refused_before_anything_is_begun(
    plane: LocalPlane, disk: SmallDisk, spec: DeploymentSpec
) -> None:
    disk.fill()

    with pytest.raises(Permanent, match=f"The disk of {plane.home.path} has 0 MB left"):
        plane.apply(spec=spec)

    assert read_state(Folder(plane.home, spec.ref)) is None
    assert not list(plane.home.deployments.iterdir())


@pytest.mark.usefixtures("_any_room")
def test_a_deployment_that_met_a_full_disk_goes_on_when_there_is_room(
    plane: LocalPlane, disk: SmallDisk, spec: DeploymentSpec
) -> None:
    disk.fill()
    before = disk.files()

    with pytest.raises(Temporary, match=f"The disk of {plane.home.path} is full"):
        plane.apply(spec=spec)

    assert [name for name in disk.files() if not name.endswith(".lock")] == before
    disk.make_room()
    assert plane.apply(spec=spec).is_done
    assert code.current_digest(Folder(plane.home, spec.ref)) == spec.code.digest


@pytest.mark.usefixtures("_any_room")
def test_code_that_met_a_full_disk_leaves_the_former_in_place(
    plane: LocalPlane, disk: SmallDisk, spec: DeploymentSpec
) -> None:
    plane.apply(spec=replace(spec, code=None))
    folder = Folder(plane.home, spec.ref)
    before = disk.files()
    disk.fill()

    with pytest.raises(Temporary, match=f"The disk of {plane.home.path} is full"):
        plane.apply(spec=spec)

    assert disk.files() == before
    assert (folder.code / "current").read_text() == "examples\n"
    assert [path.name for path in folder.code.iterdir()] == ["current"]
    disk.make_room()
    assert plane.apply(spec=spec).is_done
    assert (folder.code / spec.code.digest / "etl.py").stat().st_size == 2 * 2**20


def test_a_configuration_is_written_whole_or_not_at_all(disk: SmallDisk) -> None:
    path = disk.path / "airflow.cfg"
    write_private(path, "before")
    disk.fill()

    with pytest.raises(OSError, match="No space left"):
        write_private(path, "after" * 2**18)

    assert path.read_text() == "before"
    assert disk.files() == ["airflow.cfg"]


@pytest.mark.django_db
def test_a_backup_without_room_is_said_and_leaves_no_file(
    disk: SmallDisk, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = connection.settings_dict
    at = f"{own['USER']}:{own['PASSWORD']}@{quote(own['HOST'], safe='')}:{own['PORT']}"
    url = f"postgresql://{at}/{own['NAME']}"
    state = State(api_port=1, broker_number=0, database_password="", database_airflow="3.3.2")
    monkeypatch.setattr(dumping, "read_state", lambda _: state)
    monkeypatch.setattr(dumping.database, "deployment_url", lambda *_: url)
    monkeypatch.setattr(dumping.database, "database_size", lambda *_: 30 * 2**20)
    path = disk.path / "one.dump"

    def back_up() -> None:
        dumping.dump_database(config=CONFIG, folder=Folder(home, "tidy-comet"), path=path)

    with pytest.raises(Permanent, match="has no room for the backup. Free some space"):
        back_up()
    # It fills up while it is written.
    monkeypatch.setattr(dumping, "RESERVED_BYTES", -(2**40))
    disk.leave(100_000)
    with pytest.raises(Permanent, match="has no room for the backup. Free some space"):
        back_up()

    assert not [name for name in disk.files() if "dump" in name]
