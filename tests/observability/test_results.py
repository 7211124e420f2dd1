"""What an Airflow lists of single ends, read with distrust and kept once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.deployments.models import Deployment, Phase
from apps.observability.collecting import asking
from apps.observability.collecting.asking import Target
from apps.observability.history.models import Collection
from apps.observability.results import reading
from apps.observability.results.models import RunResult
from apps.observability.results.reading import read_results
from apps.observability.results.storage import forget_results, write_results

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
SINCE = NOW - timedelta(minutes=5)
AT = NOW.timestamp()


def row(run: str = "one", end: float = AT - 10, **changes: Any) -> list[Any]:
    fields = {"dag": "orders", "run": run, "task": "", "index": -1, "state": "failed"}
    return [*{**fields, **changes}.values(), end - 30, end]


def said(*rows: Any, **changes: Any) -> dict[str, Any]:
    return {"ended": list(rows), "running": [], "has_more": False, **changes}


def test_a_list_is_read_and_gone_on_with():
    read = read_results(
        said(row(), row("two", task="load", index=3), running=[["orders", "x", "", AT - 90]]),
        since=SINCE,
        clock=NOW,
    )

    assert read is not None
    first, second = read.ended
    assert (first.dag_id, first.run_id, first.task_id, first.is_failed) == (
        "orders",
        "one",
        "",
        True,
    )
    assert (second.task_id, second.map_index) == ("load", 3)
    assert first.ended_at - first.started_at == timedelta(seconds=30)
    assert read.running == (("orders", "x", "", int(AT - 90)),)
    assert (read.listed_until, read.next_from) == (NOW, NOW - reading.AGAIN)


@pytest.mark.parametrize("rubbish", [None, True, -1, float("nan"), "x", [], {}, 10**400])
def test_rubbish_is_left_out(rubbish: Any):
    assert read_results(rubbish, since=SINCE, clock=NOW) is None
    rows = [rubbish, [rubbish] * 7, row(state=rubbish), row(dag=rubbish), row()[:6] + [rubbish]]

    read = read_results(said(*rows, row(), running=rubbish), since=SINCE, clock=NOW)

    assert read is not None
    assert {one.run_id for one in read.ended} == {"one"}


def test_ends_of_another_time_are_left_out_and_names_are_cut():
    rows = [row("old", AT - 3600), row("new", AT + 3600), row("x\x00\x1b[31m" + "y" * 900)]

    read = read_results(said(*rows), since=SINCE, clock=NOW)

    assert read is not None
    assert [len(one.run_id) for one in read.ended] == [250]


def test_a_list_that_was_cut_goes_on_where_it_ends_and_never_stands_still():
    cut = read_results(said(row(end=AT - 60), has_more=True), since=SINCE, clock=NOW)
    stuck = read_results(said(has_more=True), since=SINCE, clock=NOW)

    assert cut is not None
    assert cut.next_from == cut.listed_until == NOW - timedelta(seconds=60)
    assert stuck is not None
    assert stuck.next_from == SINCE + timedelta(seconds=1)


@pytest.mark.django_db
def test_an_end_is_kept_once_and_again_when_the_run_was_cleared(deployment: Deployment):
    Collection.objects.create(deployment=deployment, next_at=NOW)
    first = read_results(said(row(), row("two")), since=SINCE, clock=NOW)
    second = read_results(said(row(), row(end=AT - 5)), since=SINCE, clock=NOW)
    assert first is not None
    assert second is not None

    with CaptureQueriesContext(connection) as captured:
        for _ in range(2):
            write_results(deployment_id=deployment.pk, results=first)
    write_results(deployment_id=deployment.pk, results=second)

    assert len(captured) <= 4
    assert RunResult.objects.count() == 3
    known = Collection.objects.get()
    assert (known.listed_until, known.list_from) == (NOW, NOW - reading.AGAIN)


@pytest.mark.django_db
def test_results_are_forgotten_by_age_and_with_their_deployment(
    deployment: Deployment, make_deployment: Callable[..., Deployment]
):
    gone = make_deployment(phase=Phase.DELETED)
    now = timezone.now()
    for number, (of, days) in enumerate([(deployment, 1), (deployment, 9), (gone, 1)]):
        RunResult.objects.create(
            deployment=of,
            dag_id="orders",
            run_id="one",
            is_failed=True,
            ended_at=now - timedelta(days=days),
            digest=number,
        )

    assert forget_results(now=now) == 2
    assert RunResult.objects.get().digest == 0


def test_an_airflow_that_does_not_list_leaves_the_rest_as_it_was():
    target = Target(
        deployment_id=1, cluster_id=1, plane=None, spec=None, seen=None, since=7, list_from=SINCE  # type: ignore[arg-type]
    )  # fmt: skip

    assert asking._path(target) == f"/auth/portal/history?since=7&results={SINCE.timestamp()}"
    assert asking._results(target, {"clock": int(AT)}, NOW) is None
    listed = asking._results(target, {"clock": int(AT) - 300, "results": said()}, NOW)
    assert listed is not None
    assert listed.listed_until == NOW - timedelta(seconds=300), "by the clock of that Airflow"
