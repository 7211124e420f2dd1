"""The programs of a project's Jobs, with a real registry, a real uv, and a small stand-in for an
image: a Python in which a package called Airflow is installed.
"""

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
import uv

from apps.dataplane.kubernetes.projects.answers import Answer, read_answer
from tests.dataplane.private_index import PASSWORD as private_index_password
from tests.dataplane.private_index import USER as private_index_user
from tests.dataplane.private_index import private_index
from tests.dataplane.project_images.faults import faulty_registry
from tests.dataplane.project_images.servers import (
    PASSWORD,
    REGISTRY,
    SAYS,
    USER,
    VERSION,
    Registry,
    running_index,
    running_registry,
)
from tests.kubernetes.certificates import Authority
from tests.small_disk import small_disk

PROGRAMS = Path(__file__).parents[3] / "runtime" / "projects"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(REGISTRY is None, reason="docker-registry is not installed"),
]


@dataclass
class World:
    """A registry with a runtime's image, an index, and the Python of that image."""

    folder: Path
    registry: Registry
    index: str
    image: Path
    ca: str
    runs: list[int] = field(default_factory=list)
    indexes: dict[str, list[str]] = field(default_factory=dict)

    def run(self, program: str, task: dict[str, Any], **files: bytes) -> Answer:
        self.runs.append(0)
        place = self.folder / f"input-{len(self.runs)}"
        place.mkdir()
        (place / "job.json").write_text(json.dumps({"index": self.index, "ca": self.ca, **task}))
        for name, content in files.items():
            half = len(content) // 2
            (place / f"{name}.part-00").write_bytes(content[:half])
            (place / f"{name}.part-01").write_bytes(content[half:])
        credential = self.folder / "credential.json"
        registry = {"user": USER, "password": PASSWORD}
        credential.write_text(json.dumps({"registry": registry, "indexes": self.indexes}))
        environment = {
            "PATH": f"{Path(uv.find_uv_bin()).parent}:{os.environ['PATH']}",
            "PORTAL_INPUT": str(place),
            "PORTAL_CREDENTIAL": str(credential),
            "HOME": str(place),
            "TMPDIR": str(place),
        }
        command = [self.image / "bin/python", PROGRAMS / f"{program}.py"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert PASSWORD not in done.stdout + done.stderr
        return read_answer(done.stdout)

    def lock(self, *requirements: str, **task: Any) -> Answer:
        names = [one.split("=")[0].split("<")[0] for one in requirements]
        asked = {"requirements": requirements, "names": names, "preferred": {}}
        return self.run("lock_packages", {**asked, **task})

    def build(self, lock: str, into: str = "data/airflow", **task: Any) -> Answer:
        host = self.registry.host
        places = {"base": f"{host}/apache/airflow:3.3.2", "repository": f"{host}/{into}"}
        return self.run("build_image", {**places, **task}, lock=lock.encode())


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder, authority = tmp_path_factory.mktemp("images"), Authority("images")
    image = folder / "image"
    subprocess.run([uv.find_uv_bin(), "venv", "-q", "--python", sys.executable, image], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = image / "lib" / version / "site-packages"
    (packages / "airflow").mkdir()
    (packages / "airflow/__init__.py").touch()
    for name, number in (("apache_airflow", "3.3.2"), ("SQLAlchemy", "2.0.51")):
        info = packages / f"{name}-{number}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
    with (
        running_registry(folder / "registry", authority, "127.0.0.1") as registry,
        running_index(folder, authority.server("127.0.0.1"), "127.0.0.1") as index,
    ):
        registry.push_image("apache/airflow", "3.3.2")
        yield World(folder, registry, index, image, authority.certificate)


@pytest.fixture
def world(started: World, tmp_path: Path) -> World:
    return replace(started, folder=tmp_path, runs=[])


def test_a_package_becomes_one_layer_on_top_of_the_image(world: World) -> None:
    locked = world.lock("greeting-words")
    built = world.build(locked.fields["lock"], into="one/airflow")

    assert (locked.failed, built.failed) == ("", ""), (locked, built)
    [[name, version, size]] = built.fields["packages"]
    assert (name, version, built.fields["is_new"]) == ("greeting-words", VERSION, True)
    assert size > 0
    manifest = world.registry.manifest("one/airflow", built.fields["digest"])
    config = json.loads(world.registry.blob("one/airflow", manifest["config"]["digest"]))
    packed = world.registry.blob("one/airflow", manifest["layers"][-1]["digest"])
    plain = gzip.decompress(packed)
    assert len(manifest["layers"]) == len(config["rootfs"]["diff_ids"]) == 2
    assert config["rootfs"]["diff_ids"][-1] == f"sha256:{hashlib.sha256(plain).hexdigest()}"
    assert config["config"]["User"] == "50000"
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        entries = {f"/{one.name}": one for one in archive.getmembers()}
        greet = archive.extractfile(f"{world.image}/bin/greet".lstrip("/"))
        assert greet
        assert greet.readline() == f"#!{world.image}/bin/python\n".encode()
    places = [Path(one).relative_to(world.image) for one in entries]
    assert places == sorted(places)
    names = {str(one).split("site-packages/")[-1] for one in places}
    assert names >= {
        *("greeting_words", "greeting_words/__init__.py", "greeting_words.pth", "bin/greet"),
        *("share", "share/greeting/words.txt", "bin/greet-plain"),
    }
    assert not names & {"bin", "lib", ".lock"}
    assert {(one.uid, one.gid, one.mtime) for one in entries.values()} == {(50_000, 0, 315_532_800)}
    assert entries[f"{world.image}/bin/greet"].mode == 0o775
    assert entries[f"{world.image}/share/greeting/words.txt"].mode == 0o664


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
def test_another_program_reads_the_image(world: World) -> None:
    built = world.build(world.lock("greeting-words").fields["lock"])
    (world.folder / "ca.crt").write_text(world.ca)
    image = f"docker://{world.registry.host}/data/airflow@{built.fields['digest']}"
    sign_in = ["--cert-dir", str(world.folder), "--creds", f"{USER}:{PASSWORD}"]

    seen = subprocess.run(["skopeo", "inspect", *sign_in, image], capture_output=True, text=True)

    assert seen.returncode == 0, seen.stderr
    assert json.loads(seen.stdout)["Digest"] == built.fields["digest"]


def test_the_same_lock_gives_the_same_digest_and_is_pushed_once(world: World) -> None:
    lock = world.lock("greeting-words").fields["lock"]

    first, again = world.build(lock, "data/once"), world.build(lock, "data/once")
    elsewhere = world.build(lock, "data/elsewhere")

    assert (first.fields["is_new"], again.fields["is_new"]) == (True, False)
    assert {one.fields["digest"] for one in (first, again, elsewhere)} == {first.fields["digest"]}
    assert again.fields["packages"] == first.fields["packages"]
    assert elsewhere.fields["is_new"]


def test_an_index_of_people_is_asked_with_its_password(world: World, tmp_path: Path) -> None:
    with private_index(tmp_path) as private:
        private.add_wheels(tmp_path)
        task = {
            "index": "https://127.0.0.1:1/none",
            "index_ca": private.ca,
            "indexes": [["portal0", f"{private.origin}/team/simple", True]],
        }
        refused = world.lock("greeting-words", **task)
        world.indexes["portal0"] = [private_index_user, private_index_password]
        locked = world.lock("greeting-words", **task)
        built = world.build(locked.fields["lock"], "data/private", **task)

    assert "401" in refused.fields["output"]
    assert (locked.failed, built.failed) == ("", ""), (locked, built)
    assert built.fields["packages"][0][0] == "greeting-words"
    assert private_index_password not in str(refused) + str(locked) + str(built)


def test_what_is_chosen_leaves_the_image_as_it_is(world: World) -> None:
    locked = world.lock("sqlalchemy", "greeting-words==1.2")
    needy = world.lock("needy")
    missing = world.lock("not-there")

    # An index that lacks what the image has.
    assert "sqlalchemy" in locked.fields["output"]
    assert locked.fields["installed"]["sqlalchemy"] == "2.0.51"
    assert "sqlalchemy" in needy.fields["output"]
    assert needy.fields["lock"] == ""
    assert "not-there was not found" in missing.fields["output"]


@pytest.mark.parametrize(
    ("changes", "lock", "failed"),
    [
        ({"base": "{host}/apache/airflow:9"}, "x==1\n", "image-missing"),
        ({"base": "127.0.0.1:1/a:1", "repository": "127.0.0.1:1/b"}, "x==1\n", "registry-away"),
        ({"ca": ""}, "x==1\n", "registry-untrusted"),
        ({}, "sqlalchemy==1.3\n", "replaces"),
        ({}, "not-there==1 --hash=sha256:" + 64 * "0" + "\n", "install"),
        ({"index": "https://127.0.0.1:1/simple"}, "x==1 --hash=sha256:" + 64 * "0", "install"),
    ],
)
def test_what_fails_has_a_code(
    world: World, changes: dict[str, str], lock: str, failed: str
) -> None:
    changes = {name: text.format(host=world.registry.host) for name, text in changes.items()}

    answer = world.build(lock, **changes)

    assert answer.failed == failed, answer


def base_at(host: str) -> str:
    """Return the image to build on, from the registry whose credential there is."""
    return f"{host}/apache/airflow:3.3.2"


@pytest.mark.parametrize(
    ("fault", "failed"),
    [
        ({"fault": "507"}, "registry-full"),
        ({"fault": "500", "body": "write: no space left on device"}, "registry-full"),
        ({"fault": "403", "body": "quota exceeded"}, "registry-refused"),
        ({"fault": "500"}, "registry-failed"),
        ({"fault": "cut"}, "registry-lost"),
        ({"manifests": 507}, "registry-full"),
        ({"manifests": 403}, "registry-refused"),
    ],
)
def test_a_registry_that_fails_in_the_middle_holds_no_half_image(
    world: World, fault: dict[str, Any], failed: str
) -> None:
    lock = world.lock("greeting-words").fields["lock"]
    into = f"faulty/{'-'.join(f'{name}-{value}' for name, value in fault.items())}"
    into = re.sub("[^a-z0-9/]+", "-", into)
    with faulty_registry(world.registry) as faulty:
        through = {"base": base_at(faulty.host), "repository": f"{faulty.host}/{into}"}
        for name, value in fault.items():
            setattr(faulty, name, value)

        answer = world.build(lock, **through)

        assert answer.failed == failed, answer
        with pytest.raises(HTTPError):
            world.registry.call("GET", f"/v2/{into}/tags/list")
        faulty.fault, faulty.manifests = "", 0
        assert world.build(lock, **through).fields["is_new"]


def test_a_registry_whose_disk_is_really_full_says_so(world: World, tmp_path: Path) -> None:
    lock = world.lock("greeting-words").fields["lock"]
    authority = world.registry.authority
    with (
        small_disk(tmp_path / "disk") as disk,
        running_registry(disk.path / "registry", authority, "127.0.0.1") as full,
    ):
        full.push_image("apache/airflow", "3.3.2")
        place = {"base": base_at(full.host), "repository": f"{full.host}/data/airflow"}
        disk.fill()
        refused = world.build(lock, **place)
        disk.make_room()
        # Debian's registry leaves an empty link where its disk was full, and answers 500 there.
        place["repository"] = f"{full.host}/again/airflow"
        again = world.build(lock, **place)

    assert refused.failed == "registry-full", refused
    assert again.fields.get("is_new"), again


def test_an_upload_that_is_cut_once_is_sent_again(world: World) -> None:
    lock = world.lock("greeting-words").fields["lock"]
    with faulty_registry(world.registry) as faulty:
        faulty.fault, faulty.times = "cut", 1
        place = {"base": base_at(faulty.host), "repository": f"{faulty.host}/faulty/once"}
        built = world.build(lock, **place)

    assert built.failed == "", built
    assert faulty.seen > 1
    assert built.fields["digest"] == world.build(lock, "faulty/whole").fields["digest"]


def test_a_wrong_password_is_refused_and_stays_unsaid(world: World) -> None:
    wrong = world.folder / "wrong.json"
    wrong.write_text(json.dumps({"registry": {"user": USER, "password": "another"}}))
    lock = "x==1\n"

    def with_wrong_password(**task: Any) -> Answer:
        place = world.folder / "wrong"
        place.mkdir()
        host = world.registry.host
        task = {"base": f"{host}/apache/airflow:3.3.2", "repository": f"{host}/data", **task}
        (place / "job.json").write_text(json.dumps({"index": "", "ca": world.ca, **task}))
        (place / "lock.part-00").write_text(lock)
        environment = {"PORTAL_INPUT": str(place), "PORTAL_CREDENTIAL": str(wrong)}
        command = [world.image / "bin/python", PROGRAMS / "build_image.py"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        return read_answer(done.stdout)

    refused = with_wrong_password()

    assert refused.failed == "registry-refused"
    assert "another" not in refused.detail


def test_the_words_of_the_package_are_the_ones_that_tests_look_for() -> None:
    assert SAYS.startswith("Good morning")
