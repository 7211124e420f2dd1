import gzip
import io
import os
import stat
import struct
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from apps.deploys.archives.building import (
    MIB,
    ArchiveRefused,
    CodeArchive,
    Limits,
    Reader,
    build_archive,
)
from apps.deploys.archives.requirements import Requirements, requirements_of
from apps.deploys.deliveries.queries import file_changes
from apps.deploys.models import Deploy

DAG = b"from airflow.sdk import dag\n"
LIMITS = Limits()
READER = Reader()


def zip_of(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def zip_with(member: zipfile.ZipInfo, content: bytes = b"x") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("dag.py", DAG)
        archive.writestr(member, content)
    return buffer.getvalue()


def build(
    tmp_path: Path,
    content: bytes,
    name: str = "dags.zip",
    limits: Limits = LIMITS,
    reader: Reader = READER,
) -> CodeArchive:
    return build_archive(name=name, chunks=[content], folder=tmp_path, limits=limits, reader=reader)


def refusal(tmp_path: Path, content: bytes, name: str = "dags.zip", limits: Limits = LIMITS) -> str:
    with pytest.raises(ArchiveRefused) as refused:
        build(tmp_path, content, name, limits)
    return str(refused.value)


def paths(archive: CodeArchive) -> list[str]:
    return [file.path for file in archive.files]


def test_a_single_python_file_becomes_a_zip_with_one_file(tmp_path: Path) -> None:
    archive = build(tmp_path, DAG, "etl.py")

    assert paths(archive) == ["etl.py"]
    assert archive.size_bytes == archive.path.stat().st_size
    with zipfile.ZipFile(archive.path) as made:
        assert made.read("etl.py") == DAG


def test_the_same_code_has_the_same_digest_however_it_was_packed(tmp_path: Path) -> None:
    files = {"b.py": DAG, "a/c.py": b"x = 1\n", "a/data.csv": b"1,2\n"}
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()

    one = build(tmp_path / "one", zip_of(files))
    two = build(tmp_path / "two", zip_of(dict(reversed(files.items())), zipfile.ZIP_STORED))

    assert one.digest == two.digest
    assert paths(one) == ["a/c.py", "a/data.csv", "b.py"]


def test_a_clean_archive_holds_plain_files_of_one_time_and_mode(tmp_path: Path) -> None:
    member = zipfile.ZipInfo("run.py", (2026, 1, 2, 3, 4, 6))
    member.external_attr = (stat.S_IFREG | 0o4777) << 16
    member.create_system = 3

    archive = build(tmp_path, zip_with(member))

    with zipfile.ZipFile(archive.path) as made:
        modes = {info.filename: info.external_attr >> 16 for info in made.infolist()}
        # A program stays one; nobody becomes root by it.
        assert modes == {"dag.py": stat.S_IFREG | 0o644, "run.py": stat.S_IFREG | 0o755}
        assert {info.date_time for info in made.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_one_folder_around_everything_is_taken_off_and_said(tmp_path: Path) -> None:
    archive = build(
        tmp_path, zip_of({"dags/": b"", "dags/a.py": DAG, "dags/sql/q.sql": b"select 1"})
    )

    assert paths(archive) == ["a.py", "sql/q.sql"]
    assert "Used the folder dags as the dags folder." in archive.notes


def test_a_python_package_keeps_its_folder(tmp_path: Path) -> None:
    archive = build(tmp_path, zip_of({"etl/__init__.py": b"", "etl/load.py": DAG}))

    assert paths(archive) == ["etl/__init__.py", "etl/load.py"]


def test_junk_is_left_out_with_a_note(tmp_path: Path) -> None:
    files = {
        "a.py": DAG,
        "__MACOSX/._a.py": b"\0",
        ".DS_Store": b"\0",
        "__pycache__/a.pyc": b"\0",
        ".git/HEAD": b"x",
        ".ipynb_checkpoints/a-checkpoint.py": DAG,
        ".idea/workspace.xml": b"x",
        "lib/.mypy_cache/3.12/a.json": b"x",
    }

    archive = build(tmp_path, zip_of(files))

    assert paths(archive) == ["a.py"]
    assert archive.notes == (
        "Skipped, because Airflow does not use it: .DS_Store, .git, .idea, .ipynb_checkpoints, "
        ".mypy_cache, __MACOSX, __pycache__.",
    )


def test_junk_beside_the_folder_does_not_keep_the_folder(tmp_path: Path) -> None:
    archive = build(tmp_path, zip_of({"dags/a.py": DAG, "__MACOSX/dags/._a.py": b"\0"}))

    assert paths(archive) == ["a.py"]


@pytest.mark.parametrize(
    "name",
    ["../evil.py", "a/../../evil.py", "/etc/cron.d/evil.py", "C:/evil.py", "dags/../../evil.py"],
)
def test_it_refuses_a_name_that_leaves_the_folder(tmp_path: Path, name: str) -> None:
    assert "points outside the archive" in refusal(tmp_path, zip_of({"dag.py": DAG, name: DAG}))


def test_it_refuses_a_backslash(tmp_path: Path) -> None:
    assert "backslash" in refusal(tmp_path, zip_of({"dag.py": DAG, "..\\evil.py": DAG}))


@pytest.mark.parametrize("name", ["a\nb.py", "a\x1b[31m.py", "a\u202egnp.py", "a\x7f.py"])
def test_it_refuses_a_name_with_hidden_characters(tmp_path: Path, name: str) -> None:
    message = refusal(tmp_path, zip_of({"dag.py": DAG, name: DAG}))

    assert "invisible characters" in message
    assert message.isprintable()


def test_it_refuses_a_name_cut_short_by_a_null_byte(tmp_path: Path) -> None:
    content = zip_of({"dag.py": DAG, "evil.pyX.txt": DAG}).replace(
        b"evil.pyX.txt", b"evil.py\0.txt"
    )

    assert "invisible characters" in refusal(tmp_path, content)


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (stat.S_IFLNK, "is a symbolic link"),
        (stat.S_IFCHR, "regular file"),
        (stat.S_IFIFO, "regular file"),
    ],
)
def test_it_refuses_links_and_devices(tmp_path: Path, kind: int, word: str) -> None:
    member = zipfile.ZipInfo("passwd")
    member.create_system = 3
    member.external_attr = (kind | 0o777) << 16

    assert f"passwd {word}" in refusal(tmp_path, zip_with(member, b"/etc/passwd")).replace(
        "is not a ", ""
    )


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_it_refuses_the_same_name_twice(tmp_path: Path) -> None:
    member = zipfile.ZipInfo("dag.py")

    assert "contains dag.py twice" in refusal(tmp_path, zip_with(member))


def test_it_refuses_names_that_differ_only_by_case(tmp_path: Path) -> None:
    message = refusal(tmp_path, zip_of({"dag.py": DAG, "Dag.py": DAG}))

    assert message == "dag.py and Dag.py differ only in case. Rename one of them."


def test_it_refuses_a_file_that_is_also_a_folder(tmp_path: Path) -> None:
    assert "etl is both a file and a folder" in refusal(
        tmp_path, zip_of({"etl": b"x", "etl/a.py": DAG})
    )


def test_it_refuses_an_encrypted_file(tmp_path: Path) -> None:
    content = bytearray(zip_of({"dag.py": DAG}))
    position = content.index(b"PK\x01\x02") + 8
    content[position : position + 2] = struct.pack("<H", 1)

    assert "dag.py is encrypted" in refusal(tmp_path, bytes(content))


def test_it_refuses_a_file_with_a_wrong_checksum(tmp_path: Path) -> None:
    content = zip_of({"dag.py": DAG}, zipfile.ZIP_STORED).replace(DAG, DAG.replace(b"dag", b"gad"))

    assert "dag.py is damaged" in refusal(tmp_path, content)


def test_it_refuses_a_cut_off_deflate_stream(tmp_path: Path) -> None:
    content = zip_of({"dag.py": DAG * 100})
    start = content.index(b"dag.py") + len(b"dag.py")

    assert "damaged" in refusal(tmp_path, content[:start] + b"\xff" * 12 + content[start + 12 :])


@pytest.mark.parametrize(
    "content", [b"Not a zip, hello there", b"PK\x03\x04" + b"\0" * 64, b"PK\x05\x06" + b"\xff" * 18]
)
def test_it_refuses_what_is_not_a_zip(tmp_path: Path, content: bytes) -> None:
    assert "not a zip archive" in refusal(tmp_path, content) or "cannot be read" in refusal(
        tmp_path, content
    )


def test_it_refuses_an_unusual_compression(tmp_path: Path) -> None:
    assert "regular zip" in refusal(tmp_path, zip_of({"dag.py": DAG}, zipfile.ZIP_LZMA))


def test_it_refuses_an_empty_file(tmp_path: Path) -> None:
    assert refusal(tmp_path, b"") == "The file is empty."


def test_it_refuses_other_kinds_of_file(tmp_path: Path) -> None:
    assert "neither a .py file nor a .zip" in refusal(tmp_path, b"x", "dags.tar")


def test_it_refuses_an_archive_without_python(tmp_path: Path) -> None:
    assert "contains no .py file" in refusal(tmp_path, zip_of({"notes.txt": b"hello"}))
    assert "contains no .py file" in refusal(tmp_path, zip_of({}))


def test_it_stops_reading_an_upload_that_is_too_large(tmp_path: Path) -> None:
    def endless():  # noqa: ANN202
        while True:
            yield b"x" * MIB

    with pytest.raises(ArchiveRefused, match="larger than 2 MiB"):
        build_archive(
            name="a.zip", chunks=endless(), folder=tmp_path, limits=Limits(max_upload_bytes=2 * MIB)
        )


def test_it_refuses_too_many_files(tmp_path: Path) -> None:
    files = {f"f{number}.py": b"" for number in range(5_001)}

    assert "5,001 files; at most 5,000 are allowed" in refusal(
        tmp_path, zip_of(files, zipfile.ZIP_STORED)
    )


def test_it_refuses_a_file_that_is_too_large(tmp_path: Path) -> None:
    content = zip_of({"dag.py": DAG, "data.bin": b"\0" * (20 * MIB + 1)})

    assert "data.bin is larger than 20 MiB" in refusal(tmp_path, content)


def test_it_refuses_a_small_bomb_by_its_ratio(tmp_path: Path) -> None:
    content = zip_of({"dag.py": DAG, "zeros.bin": b"\0" * (15 * MIB)})

    assert len(content) < 20_000
    assert "more than 100 times its size" in refusal(tmp_path, content)


def test_it_refuses_an_archive_that_unpacks_to_too_much(tmp_path: Path) -> None:
    noise = os.urandom(MIB)
    content = zip_of({"dag.py": DAG, **{f"{n}.bin": noise for n in range(3)}})

    assert "larger than 2 MiB" in refusal(
        tmp_path, content, limits=Limits(max_unpacked_bytes=2 * MIB)
    )


def test_a_header_that_lies_about_the_size_gets_no_further(tmp_path: Path) -> None:
    content = bytearray(zip_of({"dag.py": DAG, "zeros.bin": b"\0" * (30 * MIB)}))
    position = content.rindex(b"PK\x01\x02") + 24
    content[position : position + 4] = struct.pack("<I", 10)

    assert "zeros.bin is damaged" in refusal(tmp_path, bytes(content))


def test_it_refuses_long_and_deep_names(tmp_path: Path) -> None:
    assert "too long" in refusal(tmp_path, zip_of({"a" * 256 + ".py": DAG}))
    assert "too long" in refusal(tmp_path, zip_of({"/".join(["a" * 200] * 6) + ".py": DAG}))
    assert "more than 20 folders" in refusal(tmp_path, zip_of({"a/" * 30 + "x.py": DAG}))


def test_a_syntax_error_is_named_with_file_line_and_reason(tmp_path: Path) -> None:
    source = b"x = 1\n" * 11 + b"print(1\n"

    assert refusal(tmp_path, zip_of({"etl/load.py": source, "ok.py": DAG})) == (
        "etl/load.py, line 12: '(' was never closed."
    )


def test_every_file_that_does_not_compile_is_named(tmp_path: Path) -> None:
    content = zip_of({"a.py": b"def f(:\n", "b.py": b"return 1\n", "c.py": DAG})

    with pytest.raises(ArchiveRefused) as refused:
        build(tmp_path, content)

    assert [message[:12] for message in refused.value.error_messages] == [
        "a.py, line 1",
        "b.py, line 1",
    ]
    assert "'return' outside function" in refused.value.error_messages[1]


def test_null_bytes_and_wrong_encodings_are_named(tmp_path: Path) -> None:
    assert "a.py: it contains null bytes" in refusal(tmp_path, "x = 1".encode("utf-16"), "a.py")
    assert "Save it as UTF-8" in refusal(tmp_path, b"x = '\xe9'\n", "a.py")
    assert "Save it as UTF-8" in refusal(tmp_path, b"# coding: nonsense\n", "a.py")


@pytest.mark.parametrize(
    "source",
    [
        b"(" * 10_000,
        b"x = " + b"(" * 10_000 + b")" * 10_000,
        b"x = " + b"-" * 100_000 + b"1",
        b"x = " + b"1+" * 200_000 + b"1",
        b"x = a" + b".b" * 100_000,
        b"x = "
        + b"[" * 150
        + b"]" * 150
        + b"\n"
        + b"if x:\n"
        + b"".join(b" " * n + b"if x:\n" for n in range(1, 150)),
    ],
)
def test_source_that_is_nested_too_deeply_cannot_crash_the_portal(
    tmp_path: Path, source: bytes
) -> None:
    assert refusal(tmp_path, source, "deep.py").startswith("deep.py")


def test_a_huge_line_is_accepted(tmp_path: Path) -> None:
    assert paths(build(tmp_path, b"x = '" + b"y" * (5 * MIB) + b"'\n", "long.py")) == ["long.py"]


def test_source_that_takes_for_ever_is_stopped(tmp_path: Path) -> None:
    source = b"x = 1 + 2\n" * 2_000_000

    # Memory for all of it: on a quick machine that would end first.
    limits = Limits(cpu_seconds=1, wall_seconds=5, memory_bytes=8 * 1024**3)
    message = refusal(tmp_path, source, "slow.py", limits)

    assert message == (
        "Checking the code takes too long. Deploy less at once. It stopped at slow.py."
    )


def test_nothing_of_the_code_is_run(tmp_path: Path) -> None:
    witness = tmp_path / "witness"

    build(tmp_path, f"open({str(witness)!r}, 'w')\n".encode(), "a.py")

    assert not witness.exists()


@pytest.mark.parametrize(
    ("mode", "system", "kept"),
    [
        (0o755, 3, 0o755),
        (0o555, 3, 0o755),
        (0o700, 19, 0o755),
        (0o644, 3, 0o644),
        (0o655, 3, 0o644),
        (0o6755, 3, 0o755),
        (0o755, 0, 0o644),
    ],
)
def test_a_script_keeps_its_executable_bit_and_no_other(
    tmp_path: Path, mode: int, system: int, kept: int
) -> None:
    member = zipfile.ZipInfo("scripts/hello.sh")
    member.external_attr, member.create_system = (stat.S_IFREG | mode) << 16, system

    archive = build(tmp_path, zip_with(member, b"#!/bin/sh"))

    with zipfile.ZipFile(archive.path) as made:
        attributes = made.getinfo("scripts/hello.sh").external_attr
    assert oct(attributes >> 16) == oct(stat.S_IFREG | kept)
    assert [file.path for file in archive.files if file.is_program] == (
        ["scripts/hello.sh"] if kept == 0o755 else []
    )


def without_flag(name: bytes) -> bytes:
    """An archive with a file whose name has these bytes, and no word on their encoding."""
    stand_in = "x" * len(name)
    return zip_of({"dag.py": DAG, stand_in: DAG}, zipfile.ZIP_STORED).replace(
        stand_in.encode(), name
    )


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("größe.py".encode(), "größe.py"),
        ("größe.py".encode("cp437"), "größe.py"),
        ("gro\u0308ße.py".encode(), "gr\u00f6ße.py"),
        ("データ.py".encode(), "データ.py"),
    ],
)
def test_names_are_utf_8_first_then_what_the_flag_says(
    tmp_path: Path, raw: bytes, name: str
) -> None:
    assert paths(build(tmp_path, without_flag(raw))) == sorted(["dag.py", name])


def test_a_name_with_the_flag_is_utf_8(tmp_path: Path) -> None:
    content = zip_of({"größe.py": DAG, "naïve├.txt": b""})

    assert paths(build(tmp_path, content)) == ["größe.py", "naïve├.txt"]


def test_a_name_cannot_leave_the_folder_by_its_encoding(tmp_path: Path) -> None:
    assert "invisible characters" in refusal(tmp_path, without_flag("a\u202egnp.py".encode()))


@pytest.mark.parametrize("junk", ["._ok.py", "etl/._load.py", "._", ".AppleDouble/ok.py"])
def test_what_macos_writes_beside_a_file_is_left_out(tmp_path: Path, junk: str) -> None:
    archive = build(tmp_path, zip_of({"ok.py": DAG, junk: b"\0\x05\x16\x07\0"}))

    assert paths(archive) == ["ok.py"]
    assert archive.notes[0].startswith("Skipped, because Airflow does not use it: ")


def test_the_icon_of_a_folder_of_macos_is_left_out(tmp_path: Path) -> None:
    assert paths(build(tmp_path, zip_of({"ok.py": DAG, "etl/Icon\r": b""}))) == ["ok.py"]


TEMPLATE = b"class {{ name }}:\n"


@pytest.mark.parametrize(
    ("ignore", "path"),
    [
        ("template.py", "template.py"),
        ("templates/", "etl/templates/a.py"),
        ("/etl/*.py", "etl/a.py"),
        ("**/drafts/**", "x/y/drafts/z/a.py"),
        ("# all but one\n*.py\n!dag.py", "a.py"),
        ("te[mn]plate?.py  # a remark", "sub/template1.py"),
        ("etl", "etl/deep/a.py"),
        ("etl/**/a.py", "etl/a.py"),
    ],
)
def test_what_airflow_ignores_need_not_compile(tmp_path: Path, ignore: str, path: str) -> None:
    archive = build(
        tmp_path, zip_of({"dag.py": DAG, ".airflowignore": ignore.encode(), path: TEMPLATE})
    )

    assert path in paths(archive), "code may read it"


@pytest.mark.parametrize(
    ("ignore", "path"),
    [
        ("/template.py", "sub/template.py"),
        ("templates/", "templates.py"),
        ("*.py\n!a.py", "a.py"),
        ("etl/*.py", "etl/deep/a.py"),
        ("te.*", "template.py"),
        ("[", "a.py"),
        ("[]", "a.py"),
        ("[z-a].py", "a.py"),
    ],
)
def test_what_airflow_reads_must_compile(tmp_path: Path, ignore: str, path: str) -> None:
    content = zip_of({"dag.py": DAG, ".airflowignore": ignore.encode(), path: TEMPLATE})

    assert f"{path}, line 1" in refusal(tmp_path, content)


def test_an_ignore_file_counts_for_its_own_folder(tmp_path: Path) -> None:
    files = {"dag.py": DAG, "etl/.airflowignore": b"a.py", "etl/a.py": TEMPLATE}
    assert "etl/a.py" in paths(build(tmp_path, zip_of(files)))

    assert "a.py, line 1" in refusal(tmp_path, zip_of({**files, "a.py": TEMPLATE}))


@pytest.mark.parametrize("ignore", ["te.*late", "sub/", "^sub", "("])
def test_the_ignore_file_may_hold_regular_expressions(tmp_path: Path, ignore: str) -> None:
    files = {"dag.py": DAG, ".airflowignore": ignore.encode(), "sub/template.py": TEMPLATE}
    reader = Reader(ignore_syntax="regexp")

    if ignore == "(":
        with pytest.raises(ArchiveRefused, match="line 1"):
            build(tmp_path, zip_of(files), reader=reader)
    else:
        assert "sub/template.py" in paths(build(tmp_path, zip_of(files), reader=reader))


def test_it_says_when_everything_is_ignored(tmp_path: Path) -> None:
    archive = build(tmp_path, zip_of({"dag.py": DAG, ".airflowignore": b"*"}))

    assert archive.notes == ("The .airflowignore leaves no .py file that Airflow reads.",)


def test_a_packed_dag_alone_is_accepted_and_any_other_zip_is_not(tmp_path: Path) -> None:
    for folder in ("one", "two", "three"):
        (tmp_path / folder).mkdir()
    packed = zip_of({"dag.py": DAG, "lib/a.py": DAG})

    assert paths(build(tmp_path / "one", zip_of({"packed.zip": packed}))) == ["packed.zip"]
    for folder, content in (("two", zip_of({"lib/a.py": DAG})), ("three", b"no zip")):
        message = refusal(tmp_path / folder, zip_of({"packed.zip": content}))
        assert message.startswith("The archive contains no .py file, and no zip of such files")


NEWER = b"from airflow.sdk import DAG\ntype Pair[T] = tuple[T, T]\n"
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="this Python knows the syntax")
def test_the_python_of_the_runtime_decides_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    here, image = Reader(runtime="3.3.2-1"), Reader(runtime="3.3.2-1", is_portals_python=False)

    with pytest.raises(ArchiveRefused) as refused:
        build(tmp_path, NEWER, "newer.py", reader=here)
    archive = build(tmp_path / "image", NEWER, "newer.py", reader=image)

    assert str(refused.value) == (
        f"newer.py, line 2: invalid syntax. Runtime 3.3.2-1 runs on Python {HERE}."
    )
    assert archive.notes == (
        f"newer.py, line 2: invalid syntax. That is Python {HERE}, the portal's. If Airflow's own "
        "is no newer, the file becomes an import error.",
    )


def test_what_no_python_accepts_is_refused_for_an_image_too(tmp_path: Path) -> None:
    reader = Reader(runtime="3.3.2-1", is_portals_python=False)

    with pytest.raises(ArchiveRefused) as refused:
        build(tmp_path, b"print(1\n", "dag.py", reader=reader)

    assert str(refused.value) == (
        f"dag.py, line 1: '(' was never closed. It was checked with the portal's Python {HERE}."
    )


@pytest.mark.parametrize(
    "source",
    [
        b"from etl.load import f\n",
        b"if 2:\n    import etl.load\n",
        b"import os, etl\n",
        b"CLASS = 'etl.load.Nap'\n",
    ],
)
def test_a_folder_that_its_files_import_by_name_is_kept(tmp_path: Path, source: bytes) -> None:
    source = b"if 1:\n    pass\n" + source
    archive = build(tmp_path, zip_of({"etl/dag.py": DAG, "etl/load.py": source}))

    assert paths(archive) == ["etl/dag.py", "etl/load.py"]
    assert archive.notes == ("Kept the folder etl, because etl/load.py imports from it.",)


@pytest.mark.parametrize(
    "source",
    [
        b"from etl_tools import f\n",
        b"from .etl import f\n",
        b"import os.etl\n",
        b"x = 'etl.csv'\n",
        b"# from etl.load import f\n",
    ],
)
def test_a_folder_that_nothing_imports_is_taken_off(tmp_path: Path, source: bytes) -> None:
    assert paths(build(tmp_path, zip_of({"etl/a.py": source, "etl/b.py": DAG}))) == ["a.py", "b.py"]


PROJECT = {
    "proj/requirements.txt": b"pandas\n",
    "proj/packages.txt": b"# none yet\n\n",
    "proj/Dockerfile": b"# syntax\nFROM astrocrpublic.azurecr.io/runtime:3.3-1\n",
    "proj/dags/d.py": b"from include.lib import f\nfrom helper import g\n",
    "proj/dags/helper.py": DAG,
    "proj/include/lib.py": DAG,
    "proj/plugins/p.py": DAG,
    "proj/tests/test_d.py": DAG,
    "proj/.env": b"PASSWORD=x\n",
    "proj/airflow_settings.yaml": b"airflow: {}\n",
}


def tar_of(files: dict[str, bytes], **attributes: object) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in attributes.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_a_whole_project_is_taken_without_tests_and_without_secrets(tmp_path: Path) -> None:
    archive = build(tmp_path, zip_of(PROJECT))

    assert paths(archive) == [
        "Dockerfile",
        "dags/d.py",
        "dags/helper.py",
        "include/lib.py",
        "packages.txt",
        "plugins/p.py",
        "requirements.txt",
    ]
    assert archive.is_project
    assert archive.project["requirements"] == {"requirements.txt": "pandas\n"}
    assert archive.notes == (
        "Used the folder proj as the project.",
        ".env was left out: variables are set in the Deployment's configuration, where secrets are "
        "encrypted.",
        "airflow_settings.yaml was left out: its connections, variables and pools are not created.",
        "The folder tests was left out: 1 files.",
    )


def test_a_tar_gives_the_same_digest_as_a_zip(tmp_path: Path) -> None:
    (tmp_path / "tar").mkdir()
    (tmp_path / "zip").mkdir()

    tar = build(tmp_path / "tar", tar_of(PROJECT), "project.tar.gz")

    assert tar.digest == build(tmp_path / "zip", zip_of(PROJECT)).digest
    assert tar.notes[0] == "Used the folder proj as the project."


def test_a_program_keeps_its_bit_in_a_tar(tmp_path: Path) -> None:
    tar = tar_of({"run.sh": b"x", "d.py": DAG}, mode=0o4755)

    archive = build(tmp_path, tar, "x.tgz")

    assert {file.path: file.is_program for file in archive.files} == {"run.sh": True, "d.py": True}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tar_of({"a.py": b""}, type=tarfile.SYMTYPE, linkname="/etc/passwd"), "symbolic link"),
        (tar_of({"a.py": b""}, type=tarfile.LNKTYPE, linkname="b.py"), "link to another file"),
        (tar_of({"a.py": b""}, type=tarfile.FIFOTYPE), "not a regular file"),
        (tar_of({"../a.py": DAG}), "points outside"),
        (tar_of({"/a.py": DAG}), "points outside"),
        (tar_of({"a.py": DAG})[:-20], "not complete"),
        (gzip.compress(b"no tar at all"), "This is not a tar.gz archive"),
        (gzip.compress(bytes(20 * MIB)), "unpacks to more than 100 times"),
    ],
    # Not the bytes, which hold the time.
    ids=["symlink", "hard-link", "pipe", "climbs", "absolute", "cut", "no-tar", "bomb"],
)
def test_it_refuses_a_hostile_tar(tmp_path: Path, content: bytes, message: str) -> None:
    assert message in refusal(tmp_path, content, "x.tar.gz")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("Dockerfile", b"FROM apache/airflow:3.3.2\nRUN apt-get install gcc\n", "line 2: RUN apt"),
        ("Dockerfile", b"FROM python:3.12\n", "line 1: python:3.12 is no image of Airflow"),
        ("packages.txt", b"\nlibpq-dev\n", "line 2: libpq-dev is a package of Debian"),
        ("pyproject.toml", b"[project\n", "pyproject.toml: Expected"),
        ("pyproject.toml", b"[tool.uv.sources]\na = {path = 'x'}\n", "tool.uv.sources"),
        ("requirements.txt", "pandas\n".encode("utf-16"), "not encoded as UTF-8"),
    ],
)
def test_what_this_machine_cannot_do_is_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    assert message in refusal(tmp_path, zip_of({"dags/d.py": DAG, name: content}))


def test_on_a_cluster_a_dockerfile_is_left_to_ci(tmp_path: Path) -> None:
    files = {"dags/d.py": DAG, "Dockerfile": b"RUN x\n", "plugins/p.py": DAG}

    archive = build(tmp_path, zip_of(files), reader=Reader(is_local=False))

    assert archive.notes == ("Dockerfile is not used: no image is built from it.",)


def test_a_lock_of_uv_says_which_versions_it_prefers(tmp_path: Path) -> None:
    lock = """
        version = 1
        [[package]]
        name = "pandas"
        version = "2.3.1"
        source = { registry = "https://index.example.org/simple" }
        [[package]]
        name = "proj"
        version = "0.1"
        source = { virtual = "." }
    """
    project = b'[project]\nname = "proj"\ndependencies = ["pandas>=2"]\n'

    archive = build(
        tmp_path, zip_of({"dags/d.py": DAG, "pyproject.toml": project, "uv.lock": lock.encode()})
    )

    assert requirements_of(archive.project) == Requirements(
        lines=("pandas>=2",), preferred={"pandas": "2.3.1"}
    )


def test_a_script_that_only_became_executable_is_a_change() -> None:
    script = {"path": "run.sh", "size": 1, "sha256": "a"}
    before, same = Deploy(files=[script]), Deploy(files=[{**script, "is_program": False}])
    after = Deploy(files=[{**script, "is_program": True}])

    assert [one.change for one in file_changes(before=before, after=after)] == ["changed"]
    assert file_changes(before=before, after=same) == ()


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "shift_jis"])
def test_a_tar_with_names_of_another_encoding_is_refused_with_what_to_do(
    tmp_path: Path, encoding: str
) -> None:
    name = "テーブル.py" if encoding == "shift_jis" else "für.py"
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w:gz", encoding=encoding, format=tarfile.GNU_FORMAT
    ) as tar:
        for path in ("dag.py", name):
            member = tarfile.TarInfo(path)
            member.size = len(DAG)
            tar.addfile(member, io.BytesIO(DAG))

    said = refusal(tmp_path, buffer.getvalue(), "x.tar.gz")

    assert "is not UTF-8" in said
    assert "Rename the file" in said
    assert "\udcfc" not in said


def test_a_tar_with_names_in_utf_8_is_taken(tmp_path: Path) -> None:
    archive = build(tmp_path, tar_of({"für.py": DAG, "テーブル.py": DAG}), "x.tar.gz")

    assert paths(archive) == ["für.py", "テーブル.py"]


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_fifty_thousand_files_are_refused_soon(tmp_path: Path, kind: str) -> None:
    # Not the same bytes, which a tar packs so well that it passes for a bomb.
    content = [os.urandom(24) for _ in range(50_000)]
    files = {f"data/{number // 500}/{number}.txt": content[number] for number in range(50_000)}
    packed = zip_of(files, zipfile.ZIP_STORED) if kind == "zip" else tar_of(files)
    began = time.monotonic()

    said = refusal(tmp_path, packed, f"many.{kind}")

    assert "50,000 files; at most 5,000 are allowed" in said
    assert time.monotonic() - began < 20


def test_archives_inside_an_archive_are_kept_as_files_and_never_unpacked(tmp_path: Path) -> None:
    bomb = zip_of({"zeros": bytes(15 * MIB)})
    for _ in range(5):
        bomb = zip_of({"inner.zip": bomb})
    packed_dag = zip_of({"inner_dag.py": DAG})
    inner = {"dag.py": DAG, "data/bomb.zip": bomb, "packed.zip": packed_dag, "a.zip": b"PK no"}

    archive = build(tmp_path, zip_of(inner))

    assert paths(archive) == ["a.zip", "dag.py", "data/bomb.zip", "packed.zip"]
    assert archive.size_bytes < 200_000
    with zipfile.ZipFile(archive.path) as made:
        assert made.read("data/bomb.zip") == bomb
