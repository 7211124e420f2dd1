"""Which tests `make check` runs for which change."""

import subprocess
from pathlib import Path

import pytest

from tests import changed
from tests.changed import changed_files, paths_to_test


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ([], ["tests/architecture"]),
        (["apps/deploys/deliveries/services.py"], ["tests/architecture", "tests/deploys"]),
        (["templates/sso/_one.html"], ["tests/architecture", "tests/sso"]),
        (["docs/clusters.md", "README.md"], ["tests/architecture", "tests/docs"]),
        (["apps/airflow_access/roles.py"], ["tests/architecture", "tests/observability"]),
        (
            ["tests/deploys/test_archives.py"],
            ["tests/architecture", "tests/deploys/test_archives.py"],
        ),
        (
            ["tests/deploys/test_archives.py", "apps/deploys/x.py"],
            ["tests/architecture", "tests/deploys"],
        ),
        (["tests/deploys/test_that_is_gone.py"], ["tests/architecture"]),
        (["tests/sso/scim.py"], ["tests/architecture", "tests/sso"]),
    ],
)
def test_a_change_asks_for_the_tests_of_its_room(files: list[str], wanted: list[str]) -> None:
    assert paths_to_test(files) == wanted


@pytest.mark.parametrize(
    "file",
    [
        "apps/access/queries.py",
        "apps/core/web/forms.py",
        "astro_portal/settings.py",
        "requirements.lock",
        "templates/components/table.html",
        "templates/404.html",
        "tests/conftest.py",
        "apps/of_tomorrow/models.py",
        "Makefile",
    ],
)
def test_what_all_stand_on_asks_for_all(file: str) -> None:
    assert paths_to_test(["apps/deploys/deliveries/services.py", file]) is None


def test_it_finds_what_is_changed_and_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changed, "PROJECT", tmp_path)
    assert changed_files() is None, "no repository"

    def git(*arguments: str) -> None:
        author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", *author, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-b", "main")
    (tmp_path / "committed").write_text("1")
    git("add", ".")
    git("commit", "-m", "First")
    assert changed_files() == []

    (tmp_path / "committed").write_text("2")
    (tmp_path / "new").write_text("")
    assert changed_files() == ["committed", "new"]

    git("update-ref", "refs/remotes/origin/main", "HEAD")
    git("commit", "-am", "Second")
    assert changed_files() == ["committed", "new"], "not yet in main"
