"""How much memory a container leaves: read from control groups, laid out as files and real ones."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.dataplane.local.control import cgroups
from tests.control_groups import limited_group

MB = 2**20
V1_UNLIMITED = 9223372036854771712
LIMIT_MB, TAKEN_MB, FILE_MB = 400, 100, 150
# It joins the group, takes memory, leaves a file in the page cache and says what it finds left.
PROGRAM = f"""
import os, sys
from pathlib import Path
Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
from apps.dataplane.local.control.capacity import available_memory_mb
taken = b"x" * ({TAKEN_MB} * 2**20)
with open(sys.argv[2], "wb") as file:
    for _ in range({FILE_MB}):
        file.write(os.urandom(2**20))
    file.flush()
    os.fsync(file.fileno())
for _ in range(2):
    Path(sys.argv[2]).read_bytes()[:1]
print(available_memory_mb())
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "cgroup").mkdir()
    return tmp_path / "cgroup"


def available_mb(root: Path, own: str) -> int | None:
    (root.parent / "own").write_text(own)
    found = cgroups.available_bytes(root=root, own=root.parent / "own")
    return None if found is None else found // MB


def lay(group: Path, *, limit: str | int, used: int, inactive: int = 0, active: int = 0) -> None:
    """Write the files of a group of version 2; amounts are in MB."""
    group.mkdir(parents=True, exist_ok=True)
    (group / "memory.max").write_text(f"{limit if isinstance(limit, str) else limit * MB}\n")
    (group / "memory.current").write_text(f"{used * MB}\n")
    (group / "memory.stat").write_text(
        f"anon 5\nfile 7\ninactive_file {inactive * MB}\nactive_file {active * MB}\n"
    )


def lay_v1(group: Path, *, limit: int, used: int, inactive: int = 0, active: int = 0) -> None:
    """Write the files of a group of version 1; amounts but the limit are in MB."""
    group.mkdir(parents=True, exist_ok=True)
    (group / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (group / "memory.usage_in_bytes").write_text(f"{used * MB}\n")
    (group / "memory.stat").write_text(
        f"inactive_file 1\nactive_file 1\n"
        f"total_inactive_file {inactive * MB}\ntotal_active_file {active * MB}\n"
    )


def test_the_tightest_limit_is_the_one_that_holds(root: Path) -> None:
    lay(root, limit="max", used=900)
    lay(root / "slice", limit=800, used=10)
    lay(root / "slice" / "unit", limit=900, used=10)
    own = root.parent / "own"

    own.write_text("0::/slice/unit\n")
    assert cgroups.limit_bytes(root=root, own=own) == 800 * MB
    own.write_text("0::/\n")
    assert cgroups.limit_bytes(root=root, own=own) is None


def test_files_kept_at_hand_count_as_free_whether_used_lately_or_not(root: Path) -> None:
    lay(root, limit=1000, used=900, inactive=300, active=400)

    assert available_mb(root, "0::/\n") == 800


def test_a_group_of_its_own_is_found_by_its_path(root: Path) -> None:
    lay(root / "system.slice/portal.service", limit=500, used=100)

    assert available_mb(root, "0::/system.slice/portal.service\n") == 400


def test_the_limit_of_a_group_above_holds_too(root: Path) -> None:
    lay(root / "pod", limit=600, used=500)
    lay(root / "pod/container", limit=800, used=100)

    assert available_mb(root, "0::/pod/container\n") == 100


def test_a_group_above_its_limit_leaves_nothing(root: Path) -> None:
    lay(root, limit=500, used=700, inactive=100)

    assert available_mb(root, "0::/\n") == 0


def test_a_group_without_a_limit_is_left_to_the_machine(root: Path) -> None:
    lay(root, limit="max", used=100)

    assert available_mb(root, "0::/\n") is None


def test_a_path_of_the_host_that_the_container_cannot_see_means_the_mounted_group(
    root: Path,
) -> None:
    lay_v1(root / "memory", limit=1000 * MB, used=900, inactive=100, active=200)
    lay(root, limit=100, used=50)

    assert available_mb(root, "4:memory:/docker/abc\n0::/../other\n") == 50
    (root / "memory.max").unlink()
    assert available_mb(root, "4:memory:/docker/abc\n0::/../other\n") == 400


def test_version_1_is_read_beside_other_controllers(root: Path) -> None:
    lay_v1(root / "memory", limit=V1_UNLIMITED, used=9000)
    lay_v1(root / "memory/portal", limit=1000 * MB, used=900, inactive=100, active=200)

    assert available_mb(root, "5:cpu:/\n4:memory,hugetlb:/portal\n0::/\n") == 400


@pytest.mark.parametrize("own", ["", "0::/\n", "4:memory:/portal\n"])
def test_a_machine_without_groups_of_memory_has_no_limit(root: Path, own: str) -> None:
    assert available_mb(root, own) is None


def test_what_cannot_be_read_is_no_limit(root: Path) -> None:
    lay(root, limit=500, used=100)
    (root / "memory.current").write_text("nonsense")

    assert available_mb(root, "0::/\n") is None
    assert cgroups.available_bytes(root=root / "none", own=root / "none") is None


@pytest.fixture
def group() -> Iterator[Path]:
    with limited_group(LIMIT_MB) as made:
        yield made


@pytest.mark.slow
def test_in_a_real_group_its_limit_counts_and_the_page_cache_does_not(
    group: Path, tmp_path: Path
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(group), str(tmp_path / "file")],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )

    assert LIMIT_MB - TAKEN_MB - 60 < int(ran.stdout) <= LIMIT_MB - TAKEN_MB
