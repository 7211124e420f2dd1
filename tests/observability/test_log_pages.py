from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import signing
from django.test import Client

from apps.accounts.models import User
from apps.dataplane.errors import Unreachable
from apps.dataplane.fake.plane import FakeAirflow, FakePlane
from apps.dataplane.spec import (
    AirflowSecrets,
    DeploymentSpec,
    RuntimeSpec,
    SignInSpec,
    WorkerQueue,
)
from apps.dataplane.status import LogLine
from apps.deployments.models import Deployment
from apps.observability.component_logs import choices
from apps.observability.component_logs.choices import Choice
from apps.observability.component_logs.lines import ShownLine, shown_lines, visible
from apps.observability.component_logs.reading import in_order

ClientOf = Callable[[User], Client]
URL = "/d/etl-prod-7f3c/logs/"


@pytest.fixture
def running(deployment: Deployment, plane: type[FakePlane]) -> type[FakePlane]:
    put_on_plane(deployment)
    return plane


def put_on_plane(deployment: Deployment) -> None:
    """Let the fake data plane have the Deployment, with one queue."""
    queue = WorkerQueue(name="default", concurrency=4, min_workers=0, max_workers=2)
    spec = DeploymentSpec(
        ref=deployment.ref,
        name=deployment.name,
        revision=1,
        runtime=RuntimeSpec(version="x", airflow_version="x", image="", lock_path=""),
        executor="celery",
        queues=(queue,),
        variables=(),
        code=None,
        secrets=AirflowSecrets(fernet_key="", jwt_secret="", api_secret_key=""),
        sign_in=SignInSpec(portal_url="", issuer="", audience="", public_key_pem=""),
    )
    FakePlane.store.airflows[deployment.ref] = FakeAirflow(wanted=spec, applied=spec)


def write(plane: type[FakePlane], *lines: str, component: str = "scheduler") -> None:
    plane.store.log_lines.setdefault(("etl-prod-7f3c", component), []).extend(lines)


def test_the_page_shows_the_scheduler_first(
    alice: User, running: type[FakePlane], client_of: ClientOf
) -> None:
    write(running, "Loaded 3 DAGs")
    write(running, "worker ready", component="worker default")

    page = client_of(alice).get(URL).content.decode()

    assert "Loaded 3 DAGs" in page
    assert "worker ready" not in page
    assert '<option value="worker default">' in page


def test_bob_may_read_and_charlie_learns_nothing(
    bob: User, charlie: User, running: type[FakePlane], client_of: ClientOf
) -> None:
    for path in ("", "tail/", "download/"):
        assert client_of(bob).get(URL + path).status_code == 200
        assert client_of(charlie).get(URL + path).status_code == 404


def test_lines_are_kept_by_component_text_and_level(
    alice: User, running: type[FakePlane], client_of: ClientOf
) -> None:
    write(
        running,
        "2026-11-22T14:00:00Z [info     ] started a",
        "2026-11-22T14:00:01Z [warning  ] slow a",
        "2026-11-22T14:00:02Z [error    ] broken a",
        "2026-11-22T14:00:03Z [error    ] broken b",
        component="triggerer",
    )

    asked = {"component": "triggerer", "q": "A", "level": "error"}
    lines = client_of(alice).get(URL, asked).context["log"].lines

    assert [line.text for line in lines] == ["2026-11-22T14:00:02Z [error    ] broken a"]


def test_no_match_offers_all_lines(
    alice: User, running: type[FakePlane], client_of: ClientOf
) -> None:
    write(running, "hello")

    page = client_of(alice).get(URL, {"q": "absent", "follow": "off"}).content.decode()

    assert "No matching lines" in page
    assert "Show all lines" in page


def test_an_unknown_component_is_not_found_and_an_unknown_level_ignored(
    alice: User, running: type[FakePlane], client_of: ClientOf
) -> None:
    write(running, "hello")

    assert client_of(alice).get(URL, {"component": "../etc"}).status_code == 404
    assert "hello" in client_of(alice).get(URL, {"level": "nonsense"}).content.decode()


def test_a_tail_continues_where_the_page_ended(
    alice: User, running: type[FakePlane], client_of: ClientOf
) -> None:
    client = client_of(alice)
    write(running, "one")
    cursor = client.get(URL).context["log"].cursor
    write(running, "two")

    response = client.get(f"{URL}tail/", {"cursor": cursor})
    again = client.get(f"{URL}tail/", {"cursor": response.context["log"].cursor})

    assert [line.text for line in response.context["log"].lines] == ["two"]
    assert again.context["log"].lines == ()
    assert 'id="log-cursor"' in again.content.decode()
    assert "data-hx-swap-oob" in again.content.decode()


@pytest.mark.parametrize("make", [lambda: "[" * 5000, lambda: signing.dumps([1, "x", "5"])])
def test_a_cursor_made_by_somebody_else_is_ignored(
    alice: User, running: type[FakePlane], client_of: ClientOf, make: Callable[[], str]
) -> None:
    write(running, "one")

    response = client_of(alice).get(f"{URL}tail/", {"cursor": make()})

    assert [line.text for line in response.context["log"].lines] == ["one"]


def test_a_paused_page_does_not_poll(
    alice: User, running: type[FakePlane], client_of: ClientOf
) -> None:
    write(running, "one")

    following = client_of(alice).get(URL).content.decode()
    paused = client_of(alice).get(URL, {"follow": "off"}).content.decode()

    assert "/logs/tail/" in following
    assert "/logs/tail/" not in paused


def test_hostile_lines_are_shown_as_text(
    alice: User, running: type[FakePlane], client_of: ClientOf
) -> None:
    write(running, "<script>alert(1)</script>", "\x1b[31mred\x1b[0m \x07bell", "a\u202egnp.exe")

    page = client_of(alice).get(URL).content.decode()

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\x1b" not in page
    assert "red \\x07bell" in page
    assert "a\\u202egnp.exe" in page


def test_a_hostile_search_is_shown_as_text(
    alice: User, running: type[FakePlane], client_of: ClientOf
) -> None:
    page = client_of(alice).get(URL, {"q": '"><script>x'}).content.decode()

    assert "<script>x" not in page


def test_a_silent_data_plane_is_said_and_a_tail_keeps_trying(
    alice: User, running: type[FakePlane], client_of: ClientOf
) -> None:
    running.store.fail("logs", Unreachable("The machine does not answer."), times=None)

    page = client_of(alice).get(URL)
    tail = client_of(alice).get(f"{URL}tail/")

    assert page.status_code == 200
    assert "The machine does not answer." in page.content.decode()
    assert tail.status_code == 503


def test_a_deployment_that_never_started_has_no_logs_yet(
    alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    assert "No logs yet" in client_of(alice).get(URL).content.decode()


def test_a_log_can_be_downloaded_as_text(
    alice: User, running: type[FakePlane], client_of: ClientOf
) -> None:
    write(running, "one", "two \x1b[31mred\x1b[0m", component="worker default")

    response = client_of(alice).get(f"{URL}download/", {"component": "worker default"})

    assert response.content == b"one\ntwo red\n"
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["Content-Disposition"] == (
        'attachment; filename="etl-prod-7f3c-worker-default.log"'
    )


def test_older_lines_are_announced(
    alice: User, running: type[FakePlane], client_of: ClientOf
) -> None:
    write(running, *(f"line {number}" for number in range(700)))

    response = client_of(alice).get(URL)

    assert len(response.context["log"].lines) == 500
    assert "Showing the last 500 lines" in response.content.decode()


FILE = "team/etl.py"


class ClusterPlane(FakePlane):
    """A plane that cannot read what DAG files print, as that of a cluster."""

    dag_files = None  # type: ignore[assignment]


@pytest.fixture
def parsed(running: type[FakePlane]) -> type[FakePlane]:
    lines = ["2026-11-28T07:00:00Z [info     ] parsed", "2026-11-28T07:00:01Z [warning  ] slow"]
    running.store.parse_lines["etl-prod-7f3c", FILE] = lines
    running.store.parse_lines["other-0001", "secret.py"] = ["not yours"]
    return running


def test_what_a_dag_file_prints_has_a_log_of_its_own(
    alice: User, parsed: type[FakePlane], client_of: ClientOf
) -> None:
    write(parsed, "the component itself", component="dag-processor")
    client = client_of(alice)

    component = client.get(URL, {"component": "dag-processor"}).content.decode()
    page = client.get(URL, {"component": "dag-processor", "file": FILE, "level": "warning"})
    text = client.get(f"{URL}download/", {"component": "dag-processor", "file": FILE})

    assert "the component itself" in component
    assert f'<option value="{FILE}">' in component
    assert "secret.py" not in component
    assert [line.text for line in page.context["log"].lines] == [
        "2026-11-28T07:00:01Z [warning  ] slow"
    ]
    assert f'<h2 id="log-title">{FILE}</h2>' in page.content.decode()
    assert b"parsed" in text.content
    assert 'filename="etl-prod-7f3c-team-etl.py.log"' in text["Content-Disposition"]


def test_the_tail_of_a_dag_file_is_no_tail_of_another_log(
    alice: User, parsed: type[FakePlane], client_of: ClientOf
) -> None:
    client, asked = client_of(alice), {"component": "dag-processor", "file": FILE}
    cursor = client.get(URL, asked).context["log"].cursor
    parsed.store.parse_lines["etl-prod-7f3c", FILE].append("later")
    write(parsed, "the component itself", component="dag-processor")

    here = client.get(f"{URL}tail/", {**asked, "cursor": cursor})
    elsewhere = client.get(f"{URL}tail/", {"component": "dag-processor", "cursor": cursor})

    assert [line.text for line in here.context["log"].lines] == ["later"]
    assert [line.text for line in elsewhere.context["log"].lines] == ["the component itself"]


@pytest.mark.parametrize(
    "file", ["secret.py", "../other-0001/secret.py", "/etc/passwd", "team/etl.py\n", "x" * 9000]
)
def test_a_dag_file_that_has_no_log_is_not_found(
    alice: User, parsed: type[FakePlane], client_of: ClientOf, file: str
) -> None:
    for path in ("", "tail/", "download/"):
        asked = {"component": "dag-processor", "file": file}
        assert client_of(alice).get(URL + path, asked).status_code == 404


def test_another_component_forgets_the_dag_file(
    alice: User, parsed: type[FakePlane], client_of: ClientOf
) -> None:
    write(parsed, "of the scheduler")

    page = client_of(alice).get(URL, {"component": "scheduler", "file": FILE}).content.decode()

    assert "of the scheduler" in page
    assert "log-file" not in page


def test_hostile_names_of_dag_files_are_shown_as_text(
    alice: User, parsed: type[FakePlane], client_of: ClientOf
) -> None:
    name = '"><script>alert(1)</script>.py'
    parsed.store.parse_lines["etl-prod-7f3c", name] = ["x"]

    response = client_of(alice).get(URL, {"component": "dag-processor", "file": name})

    assert response.status_code == 200
    assert "<script>alert" not in response.content.decode()


def test_a_cluster_says_where_the_logs_of_dag_files_are(
    alice: User, running: type[FakePlane], client_of: ClientOf, settings: Any
) -> None:
    place = f"{__name__}.{ClusterPlane.__name__}"
    settings.DATA_PLANES = {"local": place, "kubernetes": place}

    shown = client_of(alice).get(URL, {"component": "dag-processor"}).content.decode()
    scheduler = client_of(alice).get(URL).content.decode()

    assert "The portal cannot read it there." in shown
    assert "exec deploy/dag-processor -c dag-processor -- find /opt/portal/parse-logs" in shown
    assert "cannot read it there" not in scheduler


def lines_of(*texts: str, at: datetime | None = None) -> list[Any]:
    return shown_lines(LogLine(at=at, component="x", text=text) for text in texts)


@pytest.mark.parametrize(
    ("text", "tone"),
    [
        ("[2026-11-22T14:00:00.000+0000] {jobs.py:1} INFO - all errors: 0", ""),
        ("[2026-11-22T14:00:00.000+0000] {jobs.py:1} WARNING - slow", "warn"),
        ("[2026-11-22T14:00:00.000+0000] {jobs.py:1} ERROR - broken", "bad"),
        ("2026-11-22T14:00:00Z [critical ] gone", "bad"),
        ("no level, no error here", ""),
        ("Traceback (most recent call last):", "bad"),
    ],
)
def test_the_tone_of_a_line_is_that_of_its_level(text: str, tone: str) -> None:
    assert lines_of(text)[0].tone == tone


def test_a_traceback_has_the_level_of_the_line_it_follows() -> None:
    lines = lines_of("ERROR boom", "Traceback (most recent call last):", '  File "x"', "INFO next")

    assert [line.tone for line in lines] == ["bad", "bad", "bad", ""]


def test_a_line_has_an_address_of_its_own_that_stays() -> None:
    first = lines_of("a", "b", "b")
    later = lines_of("zero", "a", "b", "b")

    assert len({line.id for line in first}) == 3
    assert [line.id for line in first] == [line.id for line in later[1:]]


def test_the_time_is_not_shown_twice() -> None:
    at = datetime(2026, 11, 22, 14, tzinfo=UTC) + timedelta(seconds=1)

    line = lines_of("2026-11-22T14:00:01.123456Z [info     ] hello", at=at)[0]

    assert (line.at, line.text) == (at, "[info     ] hello")


def test_a_line_without_end_is_cut_with_a_count() -> None:
    assert lines_of("x" * 10_000)[0].text.endswith("x … 6,000 more characters")


def test_tabs_stay_and_links_in_terminals_go() -> None:
    assert visible("a\tb") == "a\tb"
    assert visible("\x1b]8;;http://evil\x07click\x1b]8;;\x07") == "click"


def texts_on(client: Client, **asked: str) -> list[str]:
    return [line.text for line in client.get(URL, asked).context["log"].lines]


def at(minute: int, second: int = 0) -> datetime:
    return datetime(2026, 11, 22, 14, minute, second, tzinfo=UTC)


def dressed(*lines: tuple[datetime | None, str], source: str = "") -> list[ShownLine]:
    found = [LogLine(at=moment, component="x", text=text) for moment, text in lines]
    return shown_lines(found, source=source)


def test_all_components_are_one_log(
    alice: User, running: type[FakePlane], client_of: ClientOf
) -> None:
    write(running, "a")
    write(running, "[error] c <b>", component="worker default")
    client = client_of(alice)

    page = client.get(URL, {"component": "all"})
    found = page.context["log"].lines

    assert [(line.source, line.text) for line in found] == [
        ("scheduler", "a"),
        ("worker default", "[error] c <b>"),
    ]
    assert "<b>worker default</b> [error] c &lt;b&gt;" in page.content.decode()
    assert page.context["log"].first_error == found[1].id
    write(running, "e", component="triggerer")
    tail = client.get(f"{URL}tail/", {"component": "all", "cursor": page.context["log"].cursor})
    assert [line.source for line in tail.context["log"].lines] == ["triggerer"]
    download = client.get(f"{URL}download/", {"component": "all"}).content.decode()
    assert "triggerer: e\n" in download


def test_lines_of_components_are_in_order_of_time_and_keep_together() -> None:
    one = dressed((at(0), "a"), (None, "its rest"), (at(9), "d"), source="one")
    two = dressed((None, "before"), (at(5), "c"), source="two")
    three = dressed((at(4), "b"), source="three")

    assert [line.text for line in in_order([*one, *two, *three])] == [
        *("before", "a", "its rest", "b", "c", "d"),
    ]


def test_a_component_that_is_silent_hides_no_other(
    alice: User, running: type[FakePlane], client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(running, "hello")
    logs = running.logs

    def broken(plane: FakePlane, **asked: Any) -> Any:
        if asked["component"] != "scheduler":
            raise Unreachable("It is away.")
        return logs(plane, **asked)

    monkeypatch.setattr(running, "logs", broken)

    page = client_of(alice).get(URL, {"component": "all"}).content.decode()

    assert "hello" in page
    assert "Not read, because the data plane does not give them: " in page


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        (Choice(contains=r"took \d{3,} ms", is_pattern=True), ["b took 1200 ms"]),
        (Choice(contains="TOOK|oops", is_pattern=True, level="error"), ["[error] oops"]),
        (Choice(contains="took 1."), []),
        (Choice(begin=at(0), end=at(1)), ["a took 12 ms", "its rest"]),
        (Choice(begin=at(2)), ["[error] oops"]),
        (Choice(end=at(0)), []),
    ],
)
def test_lines_are_chosen_by_expression_and_time(
    db: None, choice: Choice, found: list[str]
) -> None:
    lines = dressed(
        (at(0), "a took 12 ms"),
        (None, "its rest"),
        (at(1), "b took 1200 ms"),
        (at(2), "[error] oops"),
    )

    assert [line.text for line in choice.keep(lines)] == found


def test_an_expression_that_is_none_or_takes_too_long_is_said(
    alice: User, running: type[FakePlane], client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(running, "a" * 3_000 + "b")
    client = client_of(alice)

    wrong = client.get(URL, {"q": "(", "pattern": "on"})
    with monkeypatch.context() as patch:
        patch.setattr(choices, "PATTERN_MILLISECONDS", 20)
        patch.setattr(choices, "_MATCHING", f"{choices._MATCHING} AND pg_sleep(5) IS NULL")
        slow = client.get(URL, {"q": "a", "pattern": "on"})

    assert wrong.status_code == slow.status_code == 422
    assert "This is no regular expression" in wrong.content.decode()
    assert "takes too long" in slow.content.decode()
    assert client.get(f"{URL}tail/", {"q": "(", "pattern": "on"}).status_code == 503
    assert texts_on(client, q="b$", pattern="on") == ["a" * 3_000 + "b"]


def test_a_log_until_a_time_is_not_followed(
    alice: User, running: type[FakePlane], client_of: ClientOf
) -> None:
    write(running, "2026-11-22T14:00:00Z a")

    page = client_of(alice).get(URL, {"to": "2026-11-22T15:00", "pattern": "on", "q": "a"})

    assert not page.context["is_following"]
    assert page.context["query"].as_url == (
        "component=scheduler&q=a&pattern=on&to=2026-11-22T15%3A00"
    )
