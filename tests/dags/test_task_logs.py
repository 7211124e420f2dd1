from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.dags.airflow.api import UNREADABLE
from apps.dags.airflow.log_lines import Span, plain, spans_of
from apps.dags.airflow.task_logs import LINES_SHOWN
from apps.deployments.models import Deployment, Revision
from apps.deployments.secrets import sealed
from tests.core.pages import check_page
from tests.dags.stand_in import RUN_ID, Airflow, a_task

ClientOf = Callable[[User], Client]
TASK = f"/d/etl-prod-7f3c/dags/orders_daily/runs/{quote(RUN_ID)}/tasks/load/"
AT = "2026-11-28T07:19:45.123Z"


def event(text: str, level: str = "info", **more: Any) -> dict[str, Any]:
    return {"timestamp": AT, "event": text, "level": level, **more}


def get(client: Client, **asked: str) -> Any:
    response = client.get(TASK, asked)
    assert response.status_code == 200
    check_page(response.content.decode())
    return response


def test_a_log_shows_lines_levels_and_what_was_logged_beside(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    airflow.log = [
        event("Loaded", rows=12, logger="task", loc="x.py:3"),
        event("Slow", "warning"),
        event("Broken", "error"),
    ]

    page = get(client_of(alice)).content.decode()

    assert "Loaded rows=12" in page
    assert "x.py:3" not in page
    assert '<li data-tone="warn">' in page
    assert '<li data-tone="bad">' in page


def test_groups_are_folded_unless_something_is_wrong_in_them(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    airflow.log = [
        {"event": "::group::Log message source details"},
        {"event": "/logs/1.log"},
        {"event": "::endgroup::"},
        event("between"),
        event("::group::Post task"),
        event("bad inside", "error"),
        event("::endgroup::"),
        event("after"),
    ]

    parts = get(client_of(alice)).context["log"].parts

    assert [getattr(one, "title", "") for one in parts] == [
        "Log message source details",
        "",
        "Post task",
        "",
    ]
    assert [one.is_open for one in parts if hasattr(one, "title")] == [False, True]


def test_an_exception_is_written_as_python_does(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    frames = [{"filename": "/dags/orders.py", "lineno": 14, "name": "load"}]
    detail = [{"exc_type": "KeyError", "exc_value": "'day'", "frames": frames}]
    airflow.log = [event("Task failed with exception", "error", error_detail=detail)]

    page = get(client_of(alice)).content.decode()

    assert "File &quot;/dags/orders.py&quot;, line 14, in load" in page
    assert "KeyError: &#x27;day&#x27;" in page


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("plain", (Span("plain"),)),
        ("\x1b[31mred\x1b[0m rest", (Span("red", "bad"), Span(" rest"))),
        ("\x1b[1;32mok\x1b[22m!", (Span("ok", "good", True), Span("!", "good"))),
        ("\x1b[38;5;200mpink", (Span("pink"),)),
        ("\x1b[2J\x1b]0;title\x07seen", (Span("seen"),)),
        ("\x1b[999999999999m?", (Span("?"),)),
        ("a\x00b\x1bc", (Span("a\\x00b\\x1bc"),)),
        ("\u202ereversed", (Span("\\u202ereversed"),)),
        ("", ()),
    ],
)
def test_colors_are_styles_and_everything_else_is_text(text: str, spans: tuple[Span, ...]) -> None:
    assert spans_of(text) == spans


def test_a_line_of_three_megabytes_is_cut_on_the_page_and_whole_in_the_download(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    airflow.log = [event("start"), event("x" * 3_000_000), event("end")]
    client = client_of(alice)

    page = get(client).content.decode()

    assert len(page) < 100_000
    assert "more characters" in page
    text = b"".join(client.get(f"{TASK}log/download/?try=1")).decode()
    assert len(text) > 3_000_000
    assert text.endswith("end\n")


def test_raw_bytes_and_hostile_lines_are_text(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    airflow.log = [
        event("<script>alert(1)</script>\ud800\udfff\x00\x07"),
        "a plain string",
        None,
        {"event": None},
        {"no": "event"},
    ]

    page = get(client_of(alice)).content.decode()

    assert "<script>alert" not in page
    assert "a plain string" in page
    assert "\\x00\\x07" in page


def test_values_of_secret_variables_are_masked(
    alice: User, deployment: Deployment, airflow: Airflow, client_of: ClientOf
) -> None:
    secret = sealed.new_secret_value(workspace=deployment.workspace, value="hunter2-hunter2")
    secret.deployment = deployment
    secret.save()
    variable = {"key": "ORDERS_PASSWORD", "value": "", "secret_id": str(secret.pk)}
    revision = Revision.objects.get(deployment=deployment)
    revision.config = revision.config | {"variables": [variable]}
    revision.save(update_fields=["config"])
    airflow.log = [event("password is hunter2-hunter2.")]
    client = client_of(alice)

    page = get(client).content.decode()

    assert "password is ••••••." in page
    assert "hunter2" not in b"".join(client.get(f"{TASK}log/download/?try=1")).decode()


def test_a_search_keeps_lines_and_drops_groups(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    airflow.log = [event("::group::Rows"), event("Row one"), event("row TWO"), event("other")]
    client = client_of(alice)

    log = get(client, q="row t").context["log"]

    assert [one.spans[0].text for one in log.parts] == ["row TWO"]
    assert "No matching lines" in get(client, q="absent").content.decode()
    assert get(client, level="error").context["log"].parts == ()


def test_only_the_end_of_a_long_log_is_on_the_page(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    airflow.log = [event(f"line {number}") for number in range(LINES_SHOWN + 500)]

    response = get(client_of(alice))

    parts = response.context["log"].parts
    assert len(parts) == LINES_SHOWN
    assert parts[-1].spans[0].text == f"line {LINES_SHOWN + 499}"
    page = response.content.decode()
    assert "Shown: the last " in page
    earlier = get(client_of(alice), end=str(response.context["log"].begin)).context["log"]
    assert [line.spans[0].text for line in earlier.parts] == [f"line {n}" for n in range(500)]


def test_a_log_is_followed_until_its_try_is_over(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    client = client_of(alice)
    airflow.tasks = [a_task(state="running", end_date=None, duration=None)]
    airflow.log, airflow.is_over = [event("first")], False
    cursor = get(client).context["log"].end
    assert "data-hx-trigger" not in get(client, begin="0").content.decode(), "a part does not move"
    airflow.log += [event("second"), event("unwanted")]

    more = client.get(f"{TASK}log/tail/", {"try": "1", "cursor": cursor, "q": "SECOND"})

    page = more.content.decode()
    assert ("second" in page, "first" in page, "unwanted" in page) == (True, False, False)
    airflow.is_over = True
    done = client.get(f"{TASK}log/tail/", {"try": "1", "cursor": more.context["cursor"]})
    assert done.headers["HX-Redirect"] == f"{unquote(TASK)}?try=1"


def test_a_reader_who_is_far_behind_begins_at_the_end_again(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    client = client_of(alice)
    airflow.log, airflow.is_over = [event("x" * 16_000) for _ in range(150)], False

    for asked in ({"try": "1", "cursor": "0"}, {"try": "1", "cursor": "-1"}, {"cursor": "0"}):
        answer = client.get(f"{TASK}log/tail/", asked)

        assert answer.content == b""
        assert answer.headers["HX-Redirect"] == f"{unquote(TASK)}?try=1"


def test_a_long_log_is_paged_both_ways_and_shown_without_a_gap(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    airflow.log = [event(f"line {number} " + "y" * 5_000) for number in range(210)]
    client = client_of(alice)

    def seen(**asked: str) -> tuple[Any, list[int]]:
        log = client.get(TASK, asked).context["log"]
        return log, [int(line.spans[0].text.split()[1]) for line in log.parts]

    log, back = seen()
    while log.begin > 0:
        log, more = seen(end=str(log.begin))
        back = more + back
    log, forth = seen(begin="0")
    while not log.is_last:
        log, more = seen(begin=str(log.end))
        forth += more
    assert back == forth == list(range(210))
    page = get(client, begin="0").content.decode()
    assert "Shown: the first " in page
    found = get(client, q="LINE 117").context["log"]
    assert ([one.spans[0].text[:8] for one in found.parts], found.begin) == (["line 117"], 0)


@pytest.mark.parametrize(
    "lie",
    [
        {"text": "x", "begin": 0, "end": 0, "size": 10, "is_over": True},
        {"text": "x", "begin": 5, "end": 10, "size": 10, "is_over": True},
        {"text": "x", "begin": 0, "end": 11, "size": 10, "is_over": True},
        {"text": ["x"], "begin": 0, "end": 10, "size": 10, "is_over": True},
        {"text": "x", "begin": False, "end": 10, "size": 10, "is_over": True},
        {"text": "x", "begin": 0, "end": 10, "size": 2**70, "is_over": True},
        {},
        ["text"],
    ],
)
def test_an_airflow_that_lies_about_places_is_not_followed(
    lie: Any, alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    airflow.answers["/auth/portal/log"] = lie

    answer = client_of(alice).get(f"{TASK}log/download/?try=1")

    assert (answer.status_code, answer.content.decode()) == (503, UNREADABLE)


def test_a_download_that_fails_on_its_way_says_so_in_its_last_line(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    airflow.log = [event("x" * 5_000_000), event("y" * 5_000_000)]
    response = client_of(alice).get(f"{TASK}log/download/?try=1")

    airflow.answers["/auth/portal/log"] = {}
    text = b"".join(response).decode()

    assert text.splitlines()[0].endswith("xxx")
    assert text.splitlines()[-1] == f"The download ends here: {UNREADABLE}"


def test_an_older_plugin_leaves_the_whole_log_without_parts(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    airflow.log = [event("one"), event("two", "error")]
    airflow.answers["/auth/portal/log"] = None
    client = client_of(alice)

    assert [one.spans[0].text for one in get(client).context["log"].parts] == ["one", "two"]
    assert len(get(client, level="error").context["log"].parts) == 1
    assert b"".join(client.get(f"{TASK}log/download/?try=1")).count(b"\n") == 2


def test_a_task_that_never_ran_has_no_log_yet(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    airflow.tasks = [a_task(state=None, try_number=0, start_date=None)]

    page = get(client_of(alice)).content.decode()

    assert "No log yet" in page
    assert not [path for _, path, _ in airflow.said if "/log" in path]


def test_downloads_are_plain_text(alice: User, airflow: Airflow, client_of: ClientOf) -> None:
    airflow.log = [event("\x1b[31mred\x1b[0m\nsecond line")]

    response = client_of(alice).get(f"{TASK}log/download/?try=1")

    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="orders_daily-load-1.log"'
    text = b"".join(response).decode()
    assert text == "2026-11-28T07:19:45+0000 red\nsecond line\n"
    assert plain("\x1b[1mx") == "x"
