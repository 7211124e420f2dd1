import base64

import pytest

from apps.dataplane.errors import Temporary, Unreachable
from apps.dataplane.kubernetes.api.errors import NotFound
from apps.dataplane.kubernetes.observe.logs import read_page
from tests.dataplane.kubernetes_driver.objects import pod


class LogsOfPods:
    """Stands in for the API: the kubelet's lines of each pod, with times in whole seconds."""

    def __init__(self, **lines: list[str]) -> None:
        self.lines = lines
        self.errors: dict[str, Exception] = {}

    def text(self, path: str, *, query: dict[str, str]) -> str:
        name = path.split("/")[-2]
        if name in self.errors:
            raise self.errors[name]
        if "previous" in query:
            raise NotFound("None.", status=404)
        lines = self.lines[name]
        if "sinceTime" in query:
            since = query["sinceTime"].removesuffix("Z")
            return "\n".join(line for line in lines if line[:19] >= since)
        return "\n".join(lines[-int(query["tailLines"]) :])


def page(api: LogsOfPods, cursor: str = "", **more: object):  # noqa: ANN201
    pods = [pod(name) for name in api.lines]
    wanted = {"contains": "", "limit": 100, **more}
    return read_page(api, namespace="n", pods=pods, cursor=cursor, **wanted)  # type: ignore[arg-type]


def line(second: int, text: str, fraction: str = "1") -> str:
    return f"2026-11-22T12:00:{second:02}.{fraction}Z {text}"


def test_lines_of_several_pods_are_merged_by_time() -> None:
    api = LogsOfPods(a=[line(1, "one"), line(3, "three")], b=[line(2, "two")])

    assert [found.text for found in page(api).lines] == ["one", "two", "three"]


def test_a_cursor_goes_on_without_repeating_or_missing_a_line() -> None:
    api = LogsOfPods(a=[line(1, "one"), line(1, "one again")])
    first = page(api)
    api.lines["a"] += [line(1, "and again"), line(1, "later", "2"), line(2, "two")]

    second = page(api, first.cursor)
    third = page(api, second.cursor)

    assert [found.text for found in second.lines] == ["and again", "later", "two"]
    assert third.lines == ()
    assert third.cursor == second.cursor


def test_a_long_backlog_is_read_in_pieces() -> None:
    api = LogsOfPods(a=[line(1, "zero")])
    cursor = page(api).cursor
    api.lines["a"] += [line(2 + n, str(n)) for n in range(10)]
    texts = []
    for _ in range(4):
        found = page(api, cursor, limit=3)
        cursor = found.cursor
        texts += [one.text for one in found.lines]

    assert texts == [str(n) for n in range(10)]


def test_contains_ignores_case_and_still_moves_on() -> None:
    api = LogsOfPods(a=[line(1, "An ERROR"), line(2, "fine")])

    found = page(api, contains="error")

    assert [one.text for one in found.lines] == ["An ERROR"]
    assert page(api, found.cursor).lines == ()


@pytest.mark.parametrize(
    "cursor",
    ["x", "AAAA", base64.urlsafe_b64encode(b'{"a": 1}').decode(), "a" * 30_000],
)
def test_a_cursor_of_somebody_else_reads_from_the_end(cursor: str) -> None:
    assert len(page(LogsOfPods(a=[line(1, "one")]), cursor).lines) == 1


def test_a_pod_that_has_no_log_yet_is_left_out() -> None:
    api = LogsOfPods(a=[line(1, "one")], b=[])
    api.errors["b"] = NotFound("No log.", status=404)

    assert len(page(api).lines) == 1


def test_nodes_that_do_not_answer_are_said_only_if_nobody_else_does() -> None:
    api = LogsOfPods(a=[line(1, "one")], b=[])
    api.errors["b"] = Temporary("500")

    assert len(page(api).lines) == 1

    api.errors["a"] = Temporary("500")

    with pytest.raises(Temporary, match="nodes"):
        page(api)


def test_a_cluster_that_does_not_answer_is_unreachable() -> None:
    api = LogsOfPods(a=[])
    api.errors["a"] = Unreachable("Gone.")

    with pytest.raises(Unreachable):
        page(api)
