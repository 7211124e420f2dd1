"""Which records of an OSV file concern a runtime."""

import json
from pathlib import Path
from typing import Any

import pytest

from apps.dataplane.project_checks.locks import versions
from apps.releases.vulnerabilities import is_affected, known_in
from apps.runtimes.catalogue import built_in

RUNTIME = built_in()[0]
PINNED = versions(RUNTIME.lock_path.read_text())["jinja2"]


def record(**affected: Any) -> dict[str, Any]:
    package = {"ecosystem": "PyPI", "name": "Jinja2"}
    return {"id": "PYSEC-1", "summary": "<b>", "affected": [{"package": package, **affected}]}


def in_range(*events: dict[str, str], kind: str = "ECOSYSTEM") -> dict[str, Any]:
    return record(ranges=[{"type": kind, "events": list(events)}])


@pytest.mark.parametrize(
    ("found", "is_bad"),
    [
        (record(versions=["2.0"]), True),
        (record(versions=["2.0.1"]), False),
        (in_range({"introduced": "0"}), True),
        (in_range({"introduced": "0"}, {"fixed": "2.0"}), False),
        (in_range({"introduced": "0"}, {"fixed": "2.1"}), True),
        (in_range({"introduced": "2.1"}), False),
        (in_range({"introduced": "0"}, {"last_affected": "2.0"}), True),
        (in_range({"introduced": "0"}, {"last_affected": "1.9"}), False),
        (in_range({"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "2.0"}), True),
        (in_range({"introduced": "0"}, kind="GIT"), False),
        (in_range({"introduced": "no version"}), False),
        ({"id": "x"}, False),
    ],
)
def test_versions_and_ranges_are_read_as_the_schema_says(
    found: dict[str, Any], is_bad: bool
) -> None:
    assert is_affected(found, "jinja2", "2.0") is is_bad


@pytest.mark.parametrize("is_list", [True, False])
def test_a_file_is_a_list_or_one_record_a_line(
    is_list: bool, tmp_path: Path, settings: Any
) -> None:
    other = {"id": "GO-1", "affected": [{"package": {"ecosystem": "Go", "name": "jinja2"}}]}
    gone = record(versions=[PINNED]) | {"withdrawn": "2026-01-01T00:00:00Z"}
    rows = [record(versions=[PINNED]), record(versions=["0.1"]), other, gone]
    path = tmp_path / "osv.json"
    path.write_text(json.dumps(rows) if is_list else "\n".join(map(json.dumps, rows)))
    settings.OSV_FILE = str(path)

    [found] = known_in(RUNTIME) or ()

    assert (found.id, found.package, found.version) == ("PYSEC-1", "jinja2", PINNED)


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"affected": [{"package": 7}]}]', None])
def test_no_file_and_a_broken_one_are_not_the_same_as_no_vulnerability(
    text: str | None, tmp_path: Path, settings: Any
) -> None:
    path = tmp_path / "osv.json"
    settings.OSV_FILE = str(path)
    if text is not None:
        path.write_text(text)

    assert known_in(RUNTIME) == (() if text == "" else None)
    settings.OSV_FILE = ""
    assert known_in(RUNTIME) is None
