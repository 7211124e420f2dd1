"""What the local plane decides without a process: pure functions and files."""

import hashlib
import io
import os
import stat
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.local.airflow import code, runtimes
from apps.dataplane.local.airflow.environment import Place, core_environment, worker_environment
from apps.dataplane.local.airflow.logs import log_files, parse_logs
from apps.dataplane.local.airflow.programs import (
    Surroundings,
    component_of,
    core_programs,
    worker_name,
    worker_programs,
)
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.control import capacity
from apps.dataplane.local.control.apply import check_spec
from apps.dataplane.local.control.autoscaler import workers_wanted
from apps.dataplane.local.control.history_cleanup import HistoryCleanup, log_file
from apps.dataplane.local.control.restarts import count_restarts
from apps.dataplane.local.edge.routes import add_route, remove_route
from apps.dataplane.local.home import Home
from apps.dataplane.local.layout import (
    Folder,
    State,
    Wanted,
    WantedQueue,
    first_state,
    read_state,
    read_wanted,
    save_state,
    save_wanted,
)
from apps.dataplane.production import ProductionSpec
from apps.dataplane.spec import CodeSpec, VariableSpec
from apps.dataplane.status import LogPage
from tests.dataplane.specs import DEFAULT_QUEUE, make_code, make_spec

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    home = Home(tmp_path / "home")
    for path in (home.path, home.run, home.deployments):
        path.mkdir()
    folder = Folder(home, "tidy-comet")
    folder.path.mkdir()
    folder.process_logs.mkdir()
    return folder


@pytest.fixture
def place(folder: Folder) -> Place:
    return Place(
        folder=folder,
        state=State(api_port=23456, broker_number=7, database_password="p/w"),
        config=LocalConfig(
            database_url="postgresql://portal:secret@127.0.0.1:5555/portal",
            broker_url="redis://:valkeypw@127.0.0.1:6666",
            edge_url="http://localhost:8081",
        ),
        env_folder=Path("/env"),
    )


@pytest.mark.parametrize(
    ("task_count", "expected"), [(0, 0), (1, 1), (2, 1), (3, 2), (6, 3), (7, 4), (100, 4)]
)
def test_workers_wanted_is_tasks_by_concurrency_rounded_up_between_the_bounds(
    task_count: int, expected: int
):
    queue = WantedQueue(name="default", concurrency=2, min_workers=0, max_workers=4, programs=[])

    assert workers_wanted(queue, task_count=task_count) == expected


def test_workers_wanted_never_goes_below_the_minimum():
    queue = WantedQueue(name="default", concurrency=4, min_workers=2, max_workers=4, programs=[])

    assert workers_wanted(queue, task_count=0) == 2


def test_core_components_reach_the_database_and_the_api_behind_its_prefix(place: Place):
    environment = core_environment(spec=make_spec(), place=place)

    assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == (
        "postgresql+psycopg2://airflow_tidy_comet:p%2Fw@127.0.0.1:5555/airflow_tidy_comet"
    )
    assert environment["AIRFLOW__API__BASE_URL"] == "http://localhost:8081/tidy-comet"
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == (
        "http://127.0.0.1:23456/tidy-comet/execution/"
    )
    assert environment["AIRFLOW__CELERY__BROKER_URL"].endswith("/7")
    assert environment["AIRFLOW__API__EXPOSE_CONFIG"] == "False"


def test_workers_get_no_secret_of_airflow(place: Place):
    spec = make_spec()

    environment = worker_environment(spec=spec, place=place)

    values = " ".join(environment.values())
    for secret in (spec.secrets.fernet_key, spec.secrets.jwt_secret, spec.secrets.api_secret_key):
        assert secret not in values
    assert "5555" not in values


def test_variables_replace_defaults(place: Place):
    variables = tuple(
        VariableSpec(key=key, value=value, is_secret=False)
        for key, value in {
            "AIRFLOW__CORE__PARALLELISM": "7",
            "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "3",
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "7200",
            "GREETING": 'a "b" %c\nd',
        }.items()
    )

    environment = core_environment(spec=make_spec(variables=variables), place=place)

    assert environment["AIRFLOW__CORE__PARALLELISM"] == "7"
    assert environment["AIRFLOW__WORKERS__EXECUTION_API_RETRIES"] == "3"
    assert environment["AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT"] == "7200"
    assert environment["AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME"] == "7200"
    assert environment["GREETING"] == 'a "b" %c\nd'


def make_surroundings(place: Place, **changes: object) -> Surroundings:
    spec = make_spec(**changes)
    return Surroundings(
        folder=place.folder,
        python=Path("/env/bin/python"),
        core=core_environment(spec=spec, place=place),
        worker=worker_environment(spec=spec, place=place),
    )


def test_more_workers_keep_the_names_and_another_concurrency_changes_them(place: Place):
    def names(**changes: int) -> list[str]:
        queue = DEFAULT_QUEUE.__class__(**{**vars(DEFAULT_QUEUE), **changes})
        around = make_surroundings(place, queues=(queue,))
        return [
            program.name
            for program in worker_programs(spec=make_spec(), queue=queue, around=around)
        ]

    assert names(max_workers=5)[:3] == names(max_workers=3)
    assert not set(names(concurrency=9)) & set(names())


def test_a_stop_signal_reaches_a_worker_alone_and_not_its_tasks(place: Place):
    around = make_surroundings(place)

    programs = worker_programs(spec=make_spec(), queue=DEFAULT_QUEUE, around=around)

    assert all(not program.stops_whole_group for program in programs)
    assert all(program.stop_wait_seconds == 86_400 for program in programs)


def test_the_scheduler_of_the_local_executor_may_finish_its_tasks(place: Place):
    spec = make_spec(executor="local", queues=())

    programs = core_programs(spec=spec, around=make_surroundings(place, executor="local"))

    scheduler = next(program for program in programs if program.name.endswith("--scheduler"))
    assert not scheduler.stops_whole_group
    assert scheduler.stop_wait_seconds == 600


def test_programs_of_another_deployment_are_not_taken_for_ours():
    assert component_of("a", "a--scheduler") == "scheduler"
    assert component_of("a", "a-b--scheduler") == ""
    assert component_of("a", "a--worker-big-queue-0123abcd-12") == "worker-big-queue-0123abcd-12"
    assert component_of("a", "keeper") == ""
    assert worker_name("worker-big-queue-0123abcd-12").queue == "big-queue"


@pytest.mark.parametrize(
    "changes", [{"executor": "kubernetes"}, {"queues": ()}, {"ref": "two--dashes"}]
)
def test_it_says_what_it_cannot_run(changes: dict[str, object]):
    ref = str(changes.pop("ref", "tidy-comet"))

    with pytest.raises(Permanent):
        check_spec(make_spec(ref, **changes))


def test_too_little_memory_is_said_with_numbers(folder: Folder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(capacity, "available_memory_mb", lambda: 600)

    with pytest.raises(Permanent, match="1200 MB") as raised:
        capacity.check_room(folder.home, make_spec())

    assert "600 MB" in raised.value.message


def test_code_is_delivered_once_and_a_rollback_only_moves_the_pointer(
    folder: Folder, tmp_path: Path
):
    one = make_code(tmp_path, {"dag.py": "one", "include/sql/a.sql": "select 1"})
    two = make_code(tmp_path, {"dag.py": "two"})

    code.deliver(folder, one)
    code.deliver(folder, two)
    Path(one.archive_path).unlink()
    code.deliver(folder, one)

    assert code.current_digest(folder) == one.digest
    assert (folder.code / one.digest / "dag.py").read_text() == "one"
    assert (folder.code / two.digest / "dag.py").read_text() == "two"
    assert stat.S_IMODE((folder.code / one.digest / "dag.py").stat().st_mode) == 0o444


def test_without_a_deploy_the_examples_are_current(folder: Folder):
    code.deliver(folder, None)

    assert (folder.code / "current").read_text() == "examples\n"
    assert code.current_digest(folder) == ""


@pytest.mark.parametrize("name", ["../evil.py", "/etc/evil", "a/../../evil.py", "a\\..\\evil.py"])
def test_an_archive_that_leaves_its_folder_is_refused(folder: Folder, tmp_path: Path, name: str):
    with pytest.raises(Permanent):
        code.deliver(folder, make_code(tmp_path, {name: "x"}))

    assert not list(folder.code.iterdir())


def test_a_link_in_an_archive_is_refused():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")

    with zipfile.ZipFile(buffer) as archive, pytest.raises(Permanent):
        code.check_archive(archive)


def test_an_archive_that_was_changed_is_refused(folder: Folder, tmp_path: Path):
    original = make_code(tmp_path, {"dag.py": "one"})
    changed = CodeSpec(digest="0" * 64, archive_path=original.archive_path)

    with pytest.raises(Permanent):
        code.deliver(folder, changed)


def test_old_code_goes_but_never_what_a_run_uses(folder: Folder, tmp_path: Path):
    codes = [make_code(tmp_path, {"dag.py": str(number)}) for number in range(13)]
    for age, one in enumerate(codes):
        code.deliver(folder, one)
        os.utime(folder.code / one.digest, (1000 + age, 1000 + age))

    code.prune(folder, in_use={codes[0].digest})

    left = {path.name for path in folder.code.iterdir() if path.is_dir()}
    archives = {path.stem for path in (folder.code / ".archives").iterdir()}
    assert archives == {one.digest for one in codes}, "a run may be started again"
    assert codes[0].digest in left
    assert codes[1].digest not in left
    assert left >= {one.digest for one in codes[3:]}


def test_old_code_goes_as_a_whole_whenever_its_removal_ends(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    codes = [make_code(tmp_path, {"dag.py": str(number)}) for number in range(11)]
    for age, one in enumerate(codes):
        code.deliver(folder, one)
        os.utime(folder.code / one.digest, (1000 + age, 1000 + age))
    monkeypatch.setattr(code.shutil, "rmtree", lambda *_, **__: None)

    with pytest.raises(Temporary):
        code.prune(folder, in_use=set())

    assert not (folder.code / codes[0].digest).exists()


def test_an_archive_goes_when_no_run_has_its_version(folder: Folder, tmp_path: Path):
    codes = [make_code(tmp_path, {"dag.py": str(number)}) for number in range(13)]
    for age, one in enumerate(codes):
        code.deliver(folder, one)
        os.utime(folder.code / one.digest, (1000 + age, 1000 + age))

    code.prune(folder, in_use=set(), of_runs={codes[0].digest})

    archives = {path.stem for path in (folder.code / ".archives").iterdir()}
    assert archives == {codes[0].digest, *(one.digest for one in codes[3:])}
    assert not (folder.code / codes[0].digest).exists()


def test_a_program_keeps_its_bit_and_nothing_else_of_its_mode(folder: Folder, tmp_path: Path):
    path = tmp_path / "programs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, mode in (("run.sh", 0o755), ("root.sh", 0o6755), ("dag.py", 0o666)):
            member = zipfile.ZipInfo(name)
            member.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(member, "#!/bin/sh")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()

    code.deliver(folder, CodeSpec(digest=digest, archive_path=str(path)))

    unpacked = folder.code / digest
    modes = {one.name: oct(stat.S_IMODE(one.stat().st_mode)) for one in unpacked.iterdir()}
    assert modes == {"run.sh": "0o555", "root.sh": "0o555", "dag.py": "0o444"}


def test_a_log_is_followed_across_a_rotation(folder: Folder):
    path = folder.process_logs / "scheduler.log"
    path.write_text("one\ntwo\n")
    first = log_files.read_page(folder, component="scheduler", cursor="", contains="", limit=10)
    with path.open("a") as stream:
        stream.write("three\n")
    path.rename(path.with_name("scheduler.log.1"))
    path.write_text("four\nhalf a li")

    second = log_files.read_page(
        folder, component="scheduler", cursor=first.cursor, contains="", limit=10
    )
    third = log_files.read_page(
        folder, component="scheduler", cursor=second.cursor, contains="", limit=10
    )

    assert [line.text for line in first.lines] == ["one", "two"]
    assert [line.text for line in second.lines] == ["three", "four"]
    assert third.lines == ()


def test_a_log_line_is_clean_and_carries_its_time(folder: Folder):
    path = folder.process_logs / "scheduler.log"
    path.write_bytes(b"2026-11-22T17:11:07.5Z [\x1b[32minfo\x1b[0m] a\x00\xe2\x80\xaeb\xff\n")

    (line,) = log_files.read_page(
        folder, component="scheduler", cursor="", contains="INFO", limit=10
    ).lines

    assert line.text == "2026-11-22T17:11:07.5Z [info] ab\ufffd"
    assert line.at.isoformat() == "2026-11-22T17:11:07.500000+00:00"


def test_a_long_log_is_cut_at_its_beginning(folder: Folder):
    path = folder.process_logs / "scheduler.log"
    path.write_text("".join(f"line {number}\n" for number in range(5000)))

    page = log_files.read_page(folder, component="scheduler", cursor="", contains="", limit=3)

    assert [line.text for line in page.lines] == ["line 4997", "line 4998", "line 4999"]
    assert page.is_truncated


def written(path: Path, text: str, *, hours_ago: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (NOON - hours_ago * 3600,) * 2)
    return path


def test_old_logs_go_and_nothing_else(folder: Folder, tmp_path: Path):
    day = "dag_id=etl/run_id=r1/task_id=t"
    kept = [
        written(folder.task_logs / day / "attempt=2.log", "x", hours_ago=29 * 24),
        written(folder.parse_logs / "latest" / "new.py.log", "x", hours_ago=23),
        written(folder.process_logs / "scheduler.log", "x", hours_ago=9999),
        written(tmp_path / "elsewhere" / "old.log", "x", hours_ago=9999),
    ]
    gone = [
        written(folder.task_logs / day / "attempt=1.log", "x", hours_ago=31 * 24),
        written(folder.parse_logs / "2026-11-20" / "old.py.log", "x", hours_ago=25),
    ]
    large = written(folder.parse_logs / "latest" / "big.py.log", "x" * 11 * 2**20, hours_ago=0)
    (folder.task_logs / "link").symlink_to(kept[-1].parent)
    (folder.task_logs / "file").symlink_to(kept[-1])
    os.utime(gone[1].parent, (NOON - 999_999,) * 2)

    log_files.remove_old(folder, now=NOON, task_log_days=30, parse_log_hours=24)
    os.utime(gone[1].parent, (NOON - 999_999,) * 2)
    log_files.remove_old(folder, now=NOON, task_log_days=30, parse_log_hours=24)

    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in gone)
    assert not gone[1].parent.exists()
    assert large.stat().st_size == 0


def test_old_logs_are_removed_although_others_go_at_the_same_time(folder, monkeypatch):
    """A task that makes and removes files in the folder of logs must not keep the rest for ever."""
    old = written(folder.task_logs / "dag" / "attempt=1.log", "x", hours_ago=31 * 24)
    walk = os.walk

    def with_one_that_goes(top, **how):
        for path, folders, names in walk(top, **how):
            yield path, folders, ["gone.log", *names]

    monkeypatch.setattr(log_files.os, "walk", with_one_that_goes)

    log_files.remove_old(folder, now=NOON, task_log_days=30, parse_log_hours=24)

    assert not old.exists()


PARSED = (
    '{"timestamp":"2026-11-28T07:19:01Z","level":"warning","event":"slow","logger":"x",'
    '"filename":"dagbag.py","lineno":460,"seconds":3}\n'
)


def _parsed(folder: Folder, path: str, text: str = PARSED) -> Path:
    return written(folder.parse_logs / path, text, hours_ago=1)


def _parse_log(folder: Folder, file: str, **asked: Any) -> LogPage:
    wanted = {"cursor": "", "contains": "", "limit": 10, **asked}
    return parse_logs.read_page(folder, file=file, **wanted)


def test_the_newest_log_of_a_dag_file_is_read_as_text(folder: Folder):
    _parsed(folder, "2026-11-27/code/team/etl.py.log", "of yesterday\n")
    log = _parsed(folder, "2026-11-28/code/team/etl.py.log", f"{PARSED}no JSON\n[1]\n")
    _parsed(folder, "2026-11-27/code/gone.py.log", "x\n")

    page = _parse_log(folder, "team/etl.py")
    log.write_text(log.read_text() + PARSED)
    later = _parse_log(folder, "team/etl.py", cursor=page.cursor)

    assert parse_logs.dag_files(folder) == ("gone.py", "team/etl.py")
    assert [line.text for line in page.lines] == [
        "2026-11-28T07:19:01Z [warning  ] slow seconds=3",
        "no JSON",
        "[1]",
    ]
    assert page.lines[0].at == datetime(2026, 11, 28, 7, 19, 1, tzinfo=UTC)
    assert len(later.lines) == 1


@pytest.mark.parametrize(
    "line", ['{"event": ' + "[" * 100_000, '{"event": 1, "level": []}', '{"timestamp": {}}', "{"]
)
def test_any_line_of_a_parse_log_is_shown(folder: Folder, line: str):
    _parsed(folder, "2026-11-28/code/a.py.log", f"{line}\n{PARSED}")

    assert len(_parse_log(folder, "a.py", limit=5_000).lines) == 2


def test_no_parse_log_is_read_elsewhere(folder: Folder, tmp_path: Path):
    secret = written(tmp_path / "keys" / "secret.log", "s3cret\n", hours_ago=1)
    day = folder.parse_logs / "2026-11-28"
    _parsed(folder, "2026-11-28/code/fine.py.log")
    (day / "code" / "link.py.log").symlink_to(secret)
    (day / "code" / "folder").symlink_to(secret.parent)
    (day / "linked").symlink_to(secret.parent)
    (folder.parse_logs / "2026-11-29").symlink_to(secret.parent.parent)
    (folder.parse_logs / "latest").symlink_to(secret.parent.parent)
    os.mkfifo(day / "code" / "pipe.py.log")
    os.close(os.open(os.fsencode(day / "code") + b"/\xff.py.log", os.O_CREAT))
    _parsed(folder, "2026-11-28/code/a\u202eb\n.py.log")

    assert parse_logs.dag_files(folder) == ("fine.py",)
    for file in ("link.py", "folder/secret", "secret", "pipe.py", "../../../keys/secret", "", "."):
        with pytest.raises(Permanent, match="has no log"):
            _parse_log(folder, file)


def test_a_log_that_becomes_a_link_meanwhile_is_not_followed(folder: Folder, tmp_path: Path):
    secret = written(tmp_path / "secret.log", "s3cret\n", hours_ago=1)
    link = tmp_path / "link.log"
    link.symlink_to(secret)

    page = log_files.read_files([link], name="x", cursor="", contains="", limit=10)

    assert page.lines == ()


def test_dag_files_are_listed_up_to_a_limit(folder: Folder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parse_logs, "MOST_FILES", 2)
    for name in "abc":
        _parsed(folder, f"2026-11-28/code/{name}.py.log")

    assert parse_logs.dag_files(folder) == ("a.py", "b.py")


@pytest.fixture
def runtime_python(tmp_path: Path) -> str:
    """A Python that writes what it is started with, and whatever it is told to."""
    program = tmp_path / "env" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$@"; env; exit ${EXIT_STATUS:-0}\n')
    program.chmod(0o755)
    return str(program)


def _cleaned(place: Place, wanted: Wanted, *, days_ago: float = 2, **state: str) -> HistoryCleanup:
    """Do a round for a Deployment that was cleaned before, and wait for what it began."""
    folder = place.folder
    save_state(folder, replace(place.state, **state))
    written(log_file(folder), "of last time", hours_ago=24 * days_ago)
    cleanup = HistoryCleanup(place.config)
    cleanup.step(folder, wanted, now=NOON)
    if cleanup.process:
        cleanup.process.wait(10)
    return cleanup


def test_old_runs_are_removed_once_a_day(place: Place, folder: Folder, runtime_python: str):
    wanted = Wanted(core=["tidy-comet--scheduler"], python=runtime_python)

    cleanup = _cleaned(place, wanted)

    lines = log_file(folder).read_text().splitlines()
    assert lines[0] == str(place.config.runtime_folder / "pods" / "clean_database.py")
    assert "PORTAL_HISTORY_DAYS=365" in lines
    url = "postgresql+psycopg2://airflow_tidy_comet:p%2Fw@127.0.0.1:5555/airflow_tidy_comet"
    assert f"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN={url}" in lines
    assert any(line.startswith(f"PATH={Path(runtime_python).parent}:") for line in lines)
    assert not [line for line in lines if "valkeypw" in line or "secret@" in line]
    cleanup.step(folder, wanted, now=NOON + 60)
    assert cleanup.process is None


@pytest.mark.parametrize("why", ["today", "never", "migration", "stopped", "other Airflow"])
def test_old_runs_stay_while_they_may_not_be_removed(
    place: Place, folder: Folder, runtime_python: str, why: str
):
    core = [] if why == "stopped" else ["tidy-comet--scheduler"]
    wanted = Wanted(core=core, python="" if why == "other Airflow" else runtime_python)
    if why == "never":
        place = replace(place, config=replace(place.config, history_days=0))

    cleanup = _cleaned(
        place,
        wanted,
        days_ago=0.5 if why == "today" else 2,
        migrating_to="3.3.2" if why == "migration" else "",
    )

    assert cleanup.process is None
    assert log_file(folder).read_text() == "of last time"


def test_nothing_is_removed_of_a_new_deployment(place: Place, folder: Folder, runtime_python: str):
    save_state(folder, place.state)
    cleanup = HistoryCleanup(place.config)

    cleanup.step(folder, Wanted(core=["x"], python=runtime_python), now=NOON)

    assert cleanup.process is None
    assert log_file(folder).read_text() == ""


def test_a_removal_that_hangs_is_ended_and_one_that_fails_is_logged(
    place: Place, folder: Folder, runtime_python: str, caplog: pytest.LogCaptureFixture
):
    Path(runtime_python).write_text("#!/bin/sh\nsleep 60\n")
    wanted = Wanted(core=["x"], python=runtime_python)
    save_state(folder, place.state)
    written(log_file(folder), "", hours_ago=48)
    cleanup = HistoryCleanup(place.config)
    cleanup.step(folder, wanted, now=NOON)
    process = cleanup.process
    assert process

    cleanup.step(folder, wanted, now=NOON + 3599)
    assert process.poll() is None
    cleanup.step(folder, wanted, now=NOON + 3601)
    process.wait(10)
    cleanup.step(folder, wanted, now=NOON + 3602)

    assert cleanup.process is None
    assert f"old runs were not removed, see {log_file(folder)}" in caplog.text


def test_an_airflow_writes_the_output_of_dag_files_where_it_is_removed(
    place: Place, folder: Folder
):
    environment = core_environment(spec=make_spec(), place=place)

    name = "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY"
    assert environment[name] == str(folder.parse_logs)


def test_a_search_looks_further_back_than_the_lines_it_shows(folder: Folder):
    path = folder.process_logs / "scheduler.log"
    path.write_text("the needle\n" + "".join(f"straw {number}\n" for number in range(3000)))

    page = log_files.read_page(folder, component="scheduler", cursor="", contains="NEEDLE", limit=5)
    many = log_files.read_page(folder, component="scheduler", cursor="", contains="straw", limit=5)

    assert [line.text for line in page.lines] == ["the needle"]
    assert not page.is_truncated
    assert [line.text for line in many.lines][-1] == "straw 2999"
    assert len(many.lines) == 5
    assert many.is_truncated


SUPERVISORD_LOG = """\
2026-11-20 09:00:00,123 INFO spawned: 'a--scheduler' with pid 10
2026-11-20 09:00:01,123 WARN exited: a--scheduler (exit status 1; not expected)
2026-11-20 09:00:02,123 INFO spawned: 'a--scheduler' with pid 11
2026-11-22 10:00:00,123 INFO stopped: a--scheduler (exit status 0)
2026-11-22 10:00:01,123 INFO spawned: 'a--scheduler' with pid 12
2026-11-22 10:05:00,123 WARN exited: a--scheduler (terminated by SIGKILL; not expected)
2026-11-22 10:05:01,123 INFO spawned: 'a--scheduler' with pid 13
2026-11-22 10:06:00,123 WARN exited: b--scheduler (terminated by SIGKILL; not expected)
2026-11-22 10:06:01,123 INFO spawned: 'b--scheduler' with pid 14
2026-11-22 10:06:02,123 WARN exited: a--worker-big-0123abcd-1 (exit status 0; expected)
2026-11-22 10:06:03,123 INFO spawned: 'a--worker-big-0123abcd-1' with pid 15
2026-11-22 10:07:00,123 WARN exited: a--triggerer (exit status 1; not expected)
2026-11-22 10:07:00,124 INFO gave up: a--triggerer entered FATAL state, too many start retries
"""


def test_only_what_ended_by_itself_and_came_back_is_a_restart(folder: Folder):
    folder.home.logs.mkdir()
    (folder.home.logs / "supervisord.log").write_text(SUPERVISORD_LOG)

    restarts = count_restarts(
        Folder(folder.home, "a"), since=datetime(2026, 11, 21, 11, tzinfo=UTC)
    )

    assert {name: restarts[name] for name in ("scheduler", "triggerer", "worker big")} == {
        "scheduler": 1,
        "triggerer": 0,
        "worker big": 1,
    }


def test_without_a_log_nothing_was_restarted(folder: Folder):
    assert not count_restarts(folder, since=datetime.now(UTC))


def test_an_installer_is_told_no_secret_of_the_portal(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
):
    secrets = ("PORTAL_ENCRYPTION_KEYS", "PORTAL_SECRET_KEY", "PORTAL_AIRFLOW_SIGN_IN_KEY")
    for name in (*secrets, "EMAIL_URL", "DATABASE_URL", "UV_INDEX_URL", "https_proxy"):
        monkeypatch.setenv(name, "told")

    installer = runtimes.installer_environment(folder.home)
    uv = runtimes.uv_environment()

    assert not {*secrets, "EMAIL_URL"} & installer.keys()
    assert installer["DATABASE_URL"] == uv["UV_INDEX_URL"] == uv["https_proxy"] == "told"
    assert not [name for name in uv if name.startswith("PORTAL_") or name.endswith("E_URL")]


def test_a_state_of_another_version_is_read(folder: Folder):
    save_state(folder, State(api_port=1, broker_number=2, database_password="x"))
    folder.state.write_text(folder.state.read_text().replace("{", '{"from_the_future": 1, ', 1))

    assert read_state(folder).broker_number == 2


def test_ports_and_broker_numbers_are_not_given_twice(folder: Folder):
    other = Folder(folder.home, "other")

    one = first_state(folder, password="a", portal_number=2)
    two = first_state(other, password="b", portal_number=2)

    assert one.api_port != two.api_port
    assert {one.broker_number, two.broker_number} == {1, 3}
    assert stat.S_IMODE(folder.state.stat().st_mode) == 0o600


def test_a_damaged_state_is_a_sentence(folder: Folder):
    save_state(folder, State(api_port=1, broker_number=1, database_password="x"))
    folder.state.write_text("{")

    with pytest.raises(Permanent, match="damaged"):
        read_state(folder)


@pytest.mark.parametrize("text", ["{", "[]", '{"core": []}', '{"core": [], "queues": [{"a": 1}]}'])
def test_a_damaged_list_of_what_should_run_is_a_sentence(folder: Folder, text: str):
    save_wanted(folder, Wanted())
    folder.scaling.write_text(text)

    with pytest.raises(Permanent, match="damaged"):
        read_wanted(folder)


@pytest.mark.parametrize(
    ("url", "number"),
    [("redis://h:1", 0), ("redis://h:1/0", 0), ("redis://h:1/7", 7), ("redis://h:1/x", 0)],
)
def test_the_broker_number_of_the_portal_itself_is_known(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, url: str, number: int
):
    monkeypatch.setenv("REDIS_URL", url)
    monkeypatch.setenv("DATABASE_URL", "postgresql://portal@127.0.0.1/portal")
    monkeypatch.setenv("PORTAL_AIRFLOW_URL", "http://localhost:8081")

    config = LocalConfig.from_environment(folder.home)

    assert config.portal_number == number
    assert config.broker(3) == "redis://h:1/3"


def test_the_page_cache_of_a_container_counts_as_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, text in {
        "memory.max": str(1000 * 2**20),
        "memory.current": str(900 * 2**20),
        "memory.stat": f"anon 5\ninactive_file {700 * 2**20}\n",
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(capacity, "CGROUP", tmp_path)
    monkeypatch.setattr(capacity, "OWN_CGROUP", tmp_path / "none")

    assert capacity.available_memory_mb() == 800


def test_routes_come_and_go(folder: Folder):
    add_route(folder.home, "one", 20001)
    add_route(folder.home, "two", 20002)
    remove_route(folder.home, "one")

    assert folder.home.edge_routes.read_text() == '{"two": 20002}'


def test_proxies_and_metrics_of_the_settings_are_there_and_those_of_people_win(
    place: Place,
) -> None:
    settings = ProductionSpec(
        https_proxy="http://proxy.test:3128",
        no_proxy=".corp.test",
        statsd_address="statsd.test:9125",
        ca_bundle="the company's",
    )
    mine = VariableSpec(key="https_proxy", value="http://mine.test:1", is_secret=False)

    environment = worker_environment(
        spec=make_spec(settings=settings, variables=(mine,)), place=place
    )

    assert environment["HTTPS_PROXY"] == "http://proxy.test:3128"
    assert environment["https_proxy"] == "http://mine.test:1"
    assert {"127.0.0.1", ".corp.test"} <= set(environment["NO_PROXY"].split(","))
    assert environment["AIRFLOW__METRICS__STATSD_HOST"] == "statsd.test"
    assert environment["SSL_CERT_FILE"] == str(place.folder.ca_bundle)
    assert "AIRFLOW__METRICS__STATSD_ON" not in worker_environment(spec=make_spec(), place=place)


def test_a_collector_takes_metrics_in_place_of_statsd_and_traces_beside_them(place: Place) -> None:
    statsd = ProductionSpec(statsd_address="statsd.test:9125")
    both = replace(
        statsd,
        otel_metrics="http://otel.test:4318/v1/metrics",
        otel_traces="https://otel.test/otlp/v1/traces",
    )

    environment = worker_environment(spec=make_spec(settings=both), place=place)
    without = worker_environment(spec=make_spec(settings=statsd), place=place)

    assert environment["AIRFLOW__METRICS__OTEL_ON"] == "True"
    assert environment["AIRFLOW__METRICS__OTEL_PORT"] == "4318"
    assert environment["AIRFLOW__TRACES__OTEL_PORT"] == "443"
    assert environment["AIRFLOW__TRACES__OTEL_SSL_ACTIVE"] == "True"
    assert environment["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] == both.otel_traces
    assert "AIRFLOW__METRICS__STATSD_ON" not in environment
    assert "OTEL_SERVICE_NAME" not in without
