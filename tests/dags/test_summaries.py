from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.dags import tasks
from apps.dags.airflow.api import OLD_AIRFLOW
from apps.dags.models import DagReport, DagSummary
from apps.dags.summaries import (
    MOST_DAGS,
    deployments_to_ask,
    forget_deleted,
    is_due,
    refresh_summaries,
)
from apps.dags.tasks import refresh
from apps.dataplane.errors import Unreachable
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.status import AirflowResponse
from apps.deployments.models import Deployment, Health, Phase
from tests.dags.stand_in import Airflow, row


def test_a_look_keeps_what_lists_show(deployment: Deployment, airflow: Airflow) -> None:
    refresh_summaries(deployment=deployment)

    [kept] = DagSummary.objects.all()
    assert (kept.dag_id, kept.state, kept.schedule) == ("orders_daily", "succeeded", "0 0 * * *")
    assert (kept.owners, kept.tags) == (["Data platform"], ["orders"])
    assert [run[0] for run in kept.runs] == ["failed", "success"], "the latest is last"
    assert kept.last_run_at is not None
    report = DagReport.objects.get()
    assert (report.count, report.problem) == (1, "")
    assert report.seen_at is not None


def test_a_look_costs_the_same_for_few_and_for_many(
    deployment: Deployment, airflow: Airflow
) -> None:
    refresh_summaries(deployment=deployment)
    airflow.rows = [row(f"a{number}") for number in range(3)]
    few = _cost(deployment)
    airflow.rows = [row(f"b{number}") for number in range(400)]

    many = _cost(deployment)

    assert many == few
    assert many <= 9
    assert DagSummary.objects.count() == 400


def test_whether_a_dag_catches_up_is_kept_and_an_older_airflow_says_nothing(
    deployment: Deployment, airflow: Airflow
) -> None:
    airflow.rows = [
        row("all", catches_up=True),
        row("last", catches_up=False),
        row("hostile", catches_up="<b>"),
        row("silent", catches_up=None),
        row("older")[:-1],
        [*row("newer"), 1],
    ]

    refresh_summaries(deployment=deployment)

    kept = dict(DagSummary.objects.values_list("dag_id", "catches_up"))
    assert kept == {"all": True, "last": False, "hostile": None, "silent": None, "older": None}


def _cost(deployment: Deployment) -> int:
    with CaptureQueriesContext(connection) as queries:
        refresh_summaries(deployment=deployment)
    return len(queries)


def test_only_what_changed_is_written_and_what_is_gone_is_removed(
    deployment: Deployment, airflow: Airflow
) -> None:
    airflow.rows = [row("kept"), row("changed"), row("gone")]
    refresh_summaries(deployment=deployment)
    before = dict(DagSummary.objects.values_list("dag_id", "pk"))
    airflow.rows = [row("kept"), row("changed", is_paused=True), row("new")]

    with CaptureQueriesContext(connection) as queries:
        refresh_summaries(deployment=deployment)

    after = dict(DagSummary.objects.values_list("dag_id", "state"))
    assert after == {"kept": "succeeded", "changed": "paused", "new": "succeeded"}
    assert DagSummary.objects.get(dag_id="kept").pk == before["kept"]
    [insert] = [one["sql"] for one in queries if one["sql"].startswith('INSERT INTO "dags_dags')]
    assert "'changed'" in insert
    assert "'kept'" not in insert


def test_an_unchanged_answer_carries_no_dags(
    deployment: Deployment, airflow: Airflow, plane: type[FakePlane]
) -> None:
    refresh_summaries(deployment=deployment)
    first = DagReport.objects.get().seen_at
    asked = []

    def respond(method: str, path: str, json: Any) -> AirflowResponse:
        asked.append(path)
        return AirflowResponse(status=200, data={"digest": "d1"})

    plane.store.respond = respond
    refresh_summaries(deployment=deployment)

    assert asked == ["/auth/portal/dags?known=d1"]
    assert DagSummary.objects.count() == 1
    seen_at = DagReport.objects.get().seen_at
    assert first is not None
    assert seen_at is not None
    assert seen_at > first


@pytest.mark.parametrize(
    "answer",
    [
        AirflowResponse(status=500, data=None),
        AirflowResponse(status=200, data=None),
        AirflowResponse(status=200, data=["x"]),
        AirflowResponse(status=200, data={"dags": "many"}),
        AirflowResponse(status=404, data={"detail": "Not Found"}),
        AirflowResponse(status=200, data={"digest": "x", "dags": [], "has_runs": False}),
    ],
)
def test_what_cannot_be_read_is_said_and_the_last_rows_stay(
    deployment: Deployment, airflow: Airflow, answer: AirflowResponse
) -> None:
    refresh_summaries(deployment=deployment)
    airflow.answer = answer

    refresh_summaries(deployment=deployment)

    report = DagReport.objects.get()
    assert report.problem
    assert (report.problem == OLD_AIRFLOW) == (answer.status == 404)
    assert report.seen_at is not None
    assert DagSummary.objects.count() == 1


def test_an_airflow_that_is_away_is_said(
    deployment: Deployment, airflow: Airflow, plane: type[FakePlane]
) -> None:
    plane.store.fail("airflow", Unreachable("The API server does not answer."))

    refresh_summaries(deployment=deployment)

    assert DagReport.objects.get().problem == "The API server does not answer."


def test_rows_of_rubbish_are_left_out_and_hostile_text_is_cleaned(
    deployment: Deployment, airflow: Airflow
) -> None:
    airflow.rows = [
        None,
        [],
        ["x"] * 11,
        [None] * 11,
        row("../etc/passwd"),
        row("twice"),
        row("twice", name="Second"),
        row(
            "hostile",
            name="\x1b[31mred\x00\u202e",
            description="x" * 9_000,
            owners=["a" * 9_000] * 99 + [3],
            tags={"not": "a list"},
            next_run="0001-01-01T00:00:00",
            runs=[["running", 10**18, 1], ["failed", 1_795_000_000, -5], "x", ["a"]] * 20,
            is_paused="yes",
        ),
    ]

    refresh_summaries(deployment=deployment)

    kept = {one.dag_id: one for one in DagSummary.objects.all()}
    assert set(kept) == {"x", "twice", "hostile"}
    hostile = kept["hostile"]
    assert hostile.name == "red"
    assert len(hostile.description) == 300
    assert [len(owner) for owner in hostile.owners] == [100]
    assert (hostile.tags, hostile.next_run_at) == ([], None)
    assert all(run == ["failed", 1_795_000_000, None] for run in hostile.runs)


def test_more_dags_than_are_kept_are_counted(deployment: Deployment, airflow: Airflow) -> None:
    airflow.rows = [row(f"dag_{number}") for number in range(MOST_DAGS + 5)]

    refresh_summaries(deployment=deployment)

    assert DagSummary.objects.count() == MOST_DAGS
    assert DagReport.objects.get().count == MOST_DAGS + 5


def test_only_airflows_that_are_up_are_asked(deployment: Deployment) -> None:
    assert list(deployments_to_ask()) == [deployment]

    for changes in ({"health": Health.UNHEALTHY}, {"phase": Phase.DELETING}, {"applied": None}):
        before = {name: getattr(deployment, name) for name in changes}
        Deployment.objects.update(**changes)
        assert list(deployments_to_ask()) == []
        Deployment.objects.update(**before)


def test_nothing_is_kept_of_a_deleted_deployment(deployment: Deployment, airflow: Airflow) -> None:
    refresh_summaries(deployment=deployment)
    Deployment.objects.update(phase=Phase.DELETED)

    forget_deleted()

    assert not DagSummary.objects.exists()
    assert not DagReport.objects.exists()


def test_whoever_looks_makes_the_portal_ask_once_in_a_while(
    deployment: Deployment, airflow: Airflow
) -> None:
    assert is_due(deployment)
    assert not is_due(deployment), "a second page that is open asks no second time"


def test_a_job_for_a_deployment_that_is_gone_does_nothing(deployment: Deployment) -> None:
    refresh(deployment.pk + 1)

    assert not DagReport.objects.exists()


def test_the_sweep_sends_a_job_for_each_airflow_that_is_up(
    deployment: Deployment, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(tasks, "send", sent.extend)

    tasks.sweep()

    assert sent == [(refresh, [deployment.pk], "reconcile.0")]
