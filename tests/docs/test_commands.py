"""Every command that a document shows can be run: it exists, with these options and these files.

Commands of this project are parsed by what would run them, and RUN_BY says which test runs them.
Those of other programs are checked as far as they name things of ours. A program that nothing here
knows fails: add how it is checked.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.urls import resolve

from astro_portal.portal_programs import worker_queues
from tests.docs.documents import PROJECT, Command, documents, inline_code, name_of, shell_commands

BIN = Path(sys.executable).parent
MAKEFILE = (PROJECT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.MULTILINE))
VARIABLES = set(re.findall(r"^([A-Z_]+) \?=", MAKEFILE, re.MULTILINE))
ASSIGNMENT = re.compile(r"([A-Z_]+)=.*")
COMMANDS = [command for path in documents() for command in shell_commands(path)]
INLINE = [
    Command(name_of(path), text.replace("…", "ada@example.org"))
    for path in documents()
    for text in inline_code(path)
    if re.match(r"(\.venv/bin/|make |manage\.py |python (-m|manage\.py) |pytest )", text)
]


# Where what a document shows is really run, and the words there that do it.
RUN_BY = {
    "make run": ("tests/local/test_machine_launcher.py", '.launch("run")'),
    "make stop": ("tests/local/test_machine_launcher.py", 'say("stop")'),
    "make status": ("tests/local/test_machine_launcher.py", 'say("status")'),
    "make check": ("tests/stages.py", "run_check(found"),
    "make test": ("tests/stages.py", "run_tests(found"),
    "make ci": (".ci/run", "make ci"),
    "make test-cluster": ("tests/stages.py", "tests.cluster"),
    "make bench": ("Makefile", "-m bench"),  # measures, and is started by hand
    "make docs": ("tests/docs/test_commands.py", '"docs", "sbom"'),
    "make sbom": ("tests/docs/test_commands.py", '"docs", "sbom"'),
    "make kubernetes": ("tests/stages.py", "tests.kubernetes.assets"),
    "make test-kubernetes": ("Makefile", "pytest tests/kubernetes"),  # for minutes, by hand
    "make linters": ("Makefile", "tests.deploy_manifests.linters"),  # fetches, by hand
    "manage.py signin_link": ("tests/accounts/test_sign_in_links.py", 'call_command("signin_link"'),
    "manage.py verify_audit": ("tests/audit/test_chain.py", 'call_command("verify_audit"'),
    "manage.py rotate_encryption_key": (
        "tests/deployments/test_keys.py",
        'call_command("rotate_encryption_key"',
    ),
    "manage.py registry_key": (
        "tests/registry/test_registry_tokens.py",
        'call_command("registry_key"',
    ),
    "manage.py watch": ("deploy/watch.yaml", "watch"),
    "manage.py collect": ("deploy/collect.yaml", "collect"),
    "manage.py live": ("deploy/live.yaml", "live"),
}

# A page says that it does not work.
REFUSED = {"manage.py flush"}


def make(words: list[str]) -> None:
    for word in words:
        assigned = ASSIGNMENT.fullmatch(word)
        assert word in TARGETS or (assigned and assigned[1] in VARIABLES), word


def manage(words: list[str]) -> None:
    name, *options = words
    apps = get_commands()
    assert name in apps, name
    parser = load_command_class(str(apps[name]), name).create_parser("manage.py", name)
    parser.parse_args(options)


def python(words: list[str]) -> None:
    if not words:
        return
    if words[0] == "-m":
        assert any(
            (PROJECT / f"{words[1].replace('.', '/')}{end}").exists()
            for end in (".py", "/__main__.py")
        ), words[1]
    elif words[0].startswith("runtime/"):
        # A program for the Python of an Airflow, which is not the one of these tests.
        assert (PROJECT / words[0]).is_file(), words[0]
    else:
        assert words[0] == "manage.py"
        manage(words[1:])


def files_exist(words: list[str]) -> None:
    """Check what looks like a path of this project; the value of an option may be made by it."""
    written = {after for before, after in zip(words, words[1:], strict=False) if "output" in before}
    for word in words:
        if re.search(r"\.(py|txt|toml|lock|yaml|in)$|/", word) and not word.startswith("-"):
            is_there = (PROJECT / word).exists() or any(PROJECT.glob(f"**/{word}"))
            assert is_there or word in written or "example" in word or word == ".", word


def pytest_(words: list[str]) -> None:
    files_exist([word for word in words if word.startswith("tests")])
    assert set(words) >= {"-m"} or "slow" not in words


def celery(words: list[str]) -> None:
    assert words[:3] == ["--app", "astro_portal", "worker"]
    named = words[words.index("--queues") + 1].split(",")
    assert set(named) == set(worker_queues())


def kubectl(words: list[str]) -> None:
    manifests = "\n".join(path.read_text() for path in (PROJECT / "deploy").glob("*.yaml"))
    if "-n" in words:
        assert f"namespace: {words[words.index('-n') + 1]}" in manifests
    if "exec" in words:
        target = words[words.index("exec") + 1]
        assert f"name: {target.removeprefix('deploy/')}" in manifests
        python(words[words.index("python") + 1 :])
    if "delete" in words:
        kind, name = words[words.index("delete") + 1 :][:2]
        assert re.search(rf"kind: {kind}\b.*?name: {name}\b", manifests, re.DOTALL | re.IGNORECASE)


def curl(words: list[str]) -> None:
    resolve(words[-1].removeprefix("$PORTAL_URL"))


def uv(words: list[str]) -> None:
    assert words[:2] == ["pip", "compile"]
    parsed = subprocess.run([BIN / "uv", *words, "--help"], capture_output=True, check=False)
    assert parsed.returncode == 0, parsed.stderr
    files_exist(words)


def git(words: list[str]) -> None:
    assert words[0] in {"commit", "tag", "diff", "rebase"}
    files_exist([word for word in words if word.startswith("tests")])


def mypy(words: list[str]) -> None:
    files_exist(words)


def is_known(words: list[str]) -> None:
    """Take a program of others that says nothing about this project."""


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "make": make,
    "python": python,
    "manage.py": manage,
    "pytest": pytest_,
    "ruff": is_known,
    "mypy": mypy,
    "djade": is_known,
    "uv": uv,
    "celery": celery,
    "kubectl": kubectl,
    "podman": files_exist,
    "curl": curl,
    "astro": is_known,
    "export": is_known,
    "git": git,
    "zip": is_known,
    "dig": is_known,
    "cd": is_known,
}


def check(line: str) -> None:
    for part in re.split(r"\s+&&\s+|\s+\|\s+", line):
        words = shlex.split(part)
        while words and ASSIGNMENT.fullmatch(words[0]):
            words = words[1:]
        program = Path(words[0]).name
        assert program in CHECKS, f"How is {program} checked? Say so in CHECKS."
        if words[0].startswith(".venv/"):
            assert (BIN / program).exists(), f"{program} is not installed with the others"
        CHECKS[program](words[1:])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: f"{one.document}: {one.line[:60]}")
def test_a_command_of_a_document_can_be_run(command: Command) -> None:
    check(command.line)


@pytest.mark.parametrize("command", INLINE, ids=lambda one: f"{one.document}: {one.line[:60]}")
def test_a_command_in_a_sentence_can_be_run(command: Command) -> None:
    check(re.sub(r"<[^>]*>", "x", command.line))


@pytest.mark.parametrize(
    "line",
    [
        "make nothing",
        "make test WRONG=1",
        ".venv/bin/python manage.py nothing",
        ".venv/bin/python manage.py signin_link --mail ada@example.org",
        ".venv/bin/python -m tests.nothing",
        ".venv/bin/pytest tests/nothing",
        "kubectl -n elsewhere delete job migrate",
        "kubectl -n astro-portal-system delete job nothing",
        "podman build --file deploy/Nothing .",
        "unheard-of --of",
    ],
)
def test_a_wrong_command_is_found(line: str) -> None:
    with pytest.raises((AssertionError, Exception)) as found:
        check(line)

    assert not isinstance(found.value, (KeyError, IndexError))


def test_what_is_shown_of_the_project_is_run_somewhere() -> None:
    text = "\n".join(command.line for command in [*COMMANDS, *INLINE])
    shown = set(re.findall(r"(?:make|manage\.py) [a-z][a-z_-]*", text))

    assert shown - REFUSED - RUN_BY.keys() == set()
    for name, (file, words) in RUN_BY.items():
        assert words in (PROJECT / file).read_text(), name


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 25
    assert len(INLINE) > 25


def run(*words: str | Path, timeout: int = 120) -> str:
    # As from a terminal: a make inside `make check` also says which folder it enters.
    terminal = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        words,
        cwd=PROJECT,
        env=terminal,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_make_alone_lists_the_commands() -> None:
    shown = run("make")

    assert {line.split()[1] for line in shown.splitlines()} == TARGETS


@pytest.mark.slow
def test_what_a_release_is_made_of_can_be_made() -> None:
    """With the programs that are installed: `--assume-old` keeps make from installing others."""
    stamp = ".venv/.installed-dev"

    run("make", f"--assume-old={stamp}", f"BIN={BIN}", "docs", "sbom")

    assert (PROJECT / "build" / "docs" / "index.html").exists()
    loaded = re.compile(r"<(?:script|img|iframe)[^>]* src=\"(https?:[^\"]*)")
    pages = (PROJECT / "build" / "docs").rglob("*.html")
    assert [found for page in pages for found in loaded.findall(page.read_text())] == []
    locked = (PROJECT / "requirements.lock").read_text()
    bill = (PROJECT / "build" / "sbom.json").read_text()
    names = re.findall(r"^([a-z0-9-]+)==", locked, re.MULTILINE)
    assert [name for name in names if f'"name": "{name}"' not in bill] == []
