"""Why a task waits: the one reason, and the page that says it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.dags.airflow.api import AirflowSilent
from apps.dataplane.errors import Unreachable
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.status import AirflowResponse
from apps.deployments.models import Deployment
from apps.deployments.secrets.sealed import new_airflow_secrets
from apps.observability.why.facts import MOST_UPSTREAM, PATH, Facts, TaskName, facts_in
from apps.observability.why.known import known_of
from apps.observability.why.reasons import Known, KnownQueue, checks_of, reason_for
from tests.core.pages import check_page
from tests.dataplane import waiting_dags
from tests.observability.incidents import NOW, component, notice, observe

ClientOf = Callable[[User], Client]
NAME = TaskName(dag_id="orders", run_id="manual__1", task_id="load")
HERE = f"/d/etl-prod-7f3c/why/?{NAME.as_query}"
ASKED = f"{PATH}?{NAME.as_query}"
JOBS = {"SchedulerJob": 4, "TriggererJob": 4}
CALM = Facts(
    state="queued",
    queue="default",
    pool="default_pool",
    pool_total=128,
    run_state="running",
    queued_seconds=20,
    scheduled_seconds=20,
    jobs=JOBS,
    parallelism=32,
    schedulers=1,
    max_active_tasks=16,
    max_active_runs=16,
    active_runs=1,
)
QUEUE = KnownQueue(
    name="default", min_workers=1, max_workers=2, concurrency=4, workers_ready=1, workers_wanted=1
)
CELERY = Known(executor="celery", queues=(QUEUE,))
FULL = {"queue_running": 4, "queue_queued": 3}
READY, UNREADY = {"state": "scheduled"}, {"state": "none"}


@pytest.fixture
def deployment(make_deployment: Callable[..., Deployment], settings: Any) -> Deployment:
    """One whose Airflow can be asked: it has its secrets."""
    settings.AIRFLOW_SIGN_IN_PUBLIC_KEY = "not asked for here"
    made = make_deployment(name="etl-prod", ref="etl-prod-7f3c")
    made.airflow_secrets = new_airflow_secrets(deployment_id=made.pk)
    made.save(update_fields=["airflow_secrets"])
    return made


def having(**changes: Any) -> Known:
    return replace(CELERY, queues=(replace(QUEUE, **changes),))


CASES: dict[str, list[tuple[dict[str, Any], Known]]] = {
    "started": [({"state": "running"}, CELERY), ({"state": "success"}, CELERY)],
    "nothing": [({}, CELERY), (READY, CELERY), ({}, Known(executor="local"))],
    "unknown": [({"queued_seconds": 200}, CELERY)],
    "taken-by-none": [
        ({"queued_seconds": 400}, CELERY),
        ({"queued_seconds": 400}, Known(executor="local")),
    ],
    "scheduler-away": [
        ({**READY, "jobs": {"SchedulerJob": 70}}, CELERY),
        ({**UNREADY, "jobs": {}, "is_paused": True}, CELERY),
    ],
    "paused": [({**READY, "is_paused": True}, CELERY)],
    "starts-later": [
        ({**UNREADY, "run_state": "queued", "run_starts_in_seconds": 90}, CELERY),
    ],
    "before-start-date": [({**UNREADY, "logical_at": 400, "starts_at": 500}, CELERY)],
    "max-active-runs": [
        ({**UNREADY, "run_state": "queued", "max_active_runs": 2, "active_runs": 2}, CELERY)
    ],
    "run-over": [({**UNREADY, "run_state": "failed"}, CELERY)],
    "depends-on-past": [({**UNREADY, "depends_on_past": True, "previous_state": "failed"}, CELERY)],
    "upstream": [({**UNREADY, "upstream": ("a (running)",), "upstream_count": 9}, CELERY)],
    "max-active-tasks": [({**READY, "run_active": 16}, CELERY)],
    "task-limit": [
        ({**READY, "max_active_tis_per_dag": 2, "task_active": 2}, CELERY),
        ({**READY, "max_active_tis_per_dagrun": 1, "task_active_in_run": 1}, CELERY),
    ],
    "pool-missing": [({**READY, "pool_total": None}, CELERY)],
    "pool-full": [({**READY, "pool_used": 128}, CELERY)],
    "pool-too-small": [({**READY, "pool_total": 2, "pool_slots": 3}, CELERY)],
    "parallelism": [({**READY, "running": 30, "queued": 2}, CELERY)],
    "executor-slots": [({"running": 32}, Known(executor="local"))],
    "queue-missing": [({"queue": "gpu"}, CELERY)],
    "workers-at-max": [
        ({"queue_running": 8}, having(workers_ready=2)),
        ({}, having(workers_ready=0, min_workers=0, max_workers=0)),
    ],
    "workers-crash": [({}, having(workers_ready=0, state="crashing"))],
    "scaling-up": [
        (FULL, having(workers_wanted=2)),
        (FULL, CELERY),
    ],
    "no-workers": [({}, having(workers_ready=0, workers_wanted=0))],
    "scaling-stuck": [(FULL, having(note="KEDA cannot count tasks and keeps 1 workers."))],
    "quota": [(FULL, replace(CELERY, quota="exceeded quota"))],
    "pod-pending": [
        (FULL, replace(CELERY, unschedulable="0/3 nodes are available.")),
        ({}, Known(executor="kubernetes", unschedulable="0/3 nodes are available.")),
    ],
    "deferred": [({"state": "deferred"}, CELERY)],
    "triggerer-away": [({"state": "deferred", "jobs": {"SchedulerJob": 1}}, CELERY)],
    "retry": [({"state": "up_for_retry", "ended_seconds": 10, "retry_delay": 300}, CELERY)],
    "reschedule": [({"state": "up_for_reschedule", "reschedule_in_seconds": 60}, CELERY)],
}
EACH = [(key, changes, known) for key, cases in CASES.items() for changes, known in cases]


@pytest.mark.parametrize(("key", "changes", "known"), EACH)
def test_each_reason_names_itself(key: str, changes: dict[str, Any], known: Known) -> None:
    reason = reason_for(replace(CALM, **changes), known)

    assert reason.key == key
    assert reason.title
    assert reason.message.endswith((".", ")")) or key in ("quota", "workers-crash")


def test_what_has_room_is_said_and_what_has_none_is_not() -> None:
    full = replace(CALM, state="scheduled", pool_used=128, run_active=16)

    assert any(line.startswith("Pool default_pool") for line in checks_of(CALM, CELERY))
    assert not any(line.startswith("Pool") for line in checks_of(full, CELERY))
    assert not any(line.startswith("Tasks of this run") for line in checks_of(full, CELERY))


def test_a_pool_without_a_limit_is_never_full() -> None:
    endless = replace(CALM, state="scheduled", pool_total=-1, pool_used=10_000)

    assert reason_for(endless, CELERY).key == "nothing"


def test_room_in_the_running_workers_is_not_waiting_for_more() -> None:
    assert reason_for(replace(CALM, queue_running=3), having(workers_wanted=2)).key == "nothing"


def test_each_reason_made_on_purpose_is_one_of_these() -> None:
    made = {*waiting_dags.REASONS.values(), "paused", "task-limit", *waiting_dags.ELSEWHERE}

    assert made <= CASES.keys()
    assert CASES.keys() - made == waiting_dags.NOT_MADE


SAID: dict[str, Any] = {
    "instance": {"state": "scheduled", "queue": "default", "pool": "tiny", "pool_slots": 1}
    | {"pool_total": 1, "pool_used": 1, "pool_waiting": 6, "pool_ahead": 1}
    | {"run_state": "running", "scheduled_seconds": 1860},
    "task": {"depends_on_past": False},
    "upstream": [],
    "upstream_count": 0,
    "jobs": [["SchedulerJob", 1, 3]],
    "parallelism": 32,
}


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"instance": None},
        {"instance": [], "task": {}, "jobs": []},
        {"instance": {}, "task": None, "jobs": []},
        {"instance": {}, "task": {}, "jobs": {}},
    ],
)
def test_an_answer_of_another_shape_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(AirflowSilent):
        facts_in(said)


def test_a_lying_answer_is_bounded() -> None:
    facts = facts_in(
        {
            "instance": {
                "state": "\x1b[31mqueued\u202e" + "x" * 9_000,
                "pool_used": -(10**30),
                "pool_total": True,
                "max_active_tasks": "many",
                "queued_seconds": float("nan"),
            },
            "task": {"start_date": 10**40},
            "upstream": ["u" * 9_000] * 99,
            "jobs": [["SchedulerJob", 1, None], 3, [1]],
        }
    )

    assert facts is not None
    assert len(facts.state) <= 250
    assert "\x1b" not in facts.state
    assert "\u202e" not in facts.state
    assert (facts.pool_used, facts.pool_total, facts.queued_seconds) == (0, None, None)
    assert len(facts.upstream) == MOST_UPSTREAM
    assert reason_for(facts, CELERY).key == "started"


def test_the_portal_joins_what_it_knows(deployment: Deployment) -> None:
    queue = {"name": "default", "workers_ready": 1, "workers_wanted": 2, "tasks_queued": None}
    words = "0/3 nodes are available: 3 Insufficient memory."
    observe(
        deployment,
        queues=[{**queue, "tasks_running": None}],
        components=component("worker default", state="starting", ready=1, wanted=2),
        notices=[notice("FailedScheduling", words)],
    )

    known = known_of(deployment, now=NOW)

    assert known.queues[0].workers_wanted == 2
    assert known.unschedulable == words
    assert reason_for(replace(CALM, **FULL), known).message == words


def test_the_page_gives_the_reason_with_its_numbers_and_a_link(
    alice: User, deployment: Deployment, plane: type[FakePlane], client_of: ClientOf
) -> None:
    answer(
        plane, ASKED, {**SAID, "instance": {**SAID["instance"], "state": "queued", "queue": "gpu"}}
    )

    text = client_of(alice).get(HERE).content.decode()

    check_page(text)
    assert "The worker queue gpu does not exist" in text
    assert "/d/etl-prod-7f3c/configure/" in text


def test_the_page_counts_the_line_for_a_pool(
    bob: User, deployment: Deployment, plane: type[FakePlane], client_of: ClientOf
) -> None:
    answer(plane, ASKED, SAID)

    text = client_of(bob).get(HERE).content.decode()

    assert "The pool tiny has no room" in text
    assert "number 2 of 6 in line" in text
    assert "/configure/" not in text.partition('id="why"')[2]


def test_without_a_task_it_lists_those_that_wait(
    bob: User, deployment: Deployment, plane: type[FakePlane], client_of: ClientOf
) -> None:
    row = ["orders<b>", "manual__1", "load", 3, "queued", "default", 400]
    answer(plane, PATH, {"waiting": [row, "x", [1], [*row[:3], None, "none", None, None]]})

    text = client_of(bob).get("/d/etl-prod-7f3c/why/").content.decode()

    check_page(text)
    assert "load[3]" in text
    assert "orders&lt;b&gt;" in text
    assert "dag_id=orders%3Cb%3E&amp;run_id=manual__1&amp;task_id=load&amp;map_index=3" in text


def test_none_that_waits_is_said(
    bob: User, deployment: Deployment, plane: type[FakePlane], client_of: ClientOf
) -> None:
    answer(plane, PATH, {"waiting": []})

    assert "No task waits" in client_of(bob).get("/d/etl-prod-7f3c/why/").content.decode()


@pytest.mark.parametrize("page", [HERE, "/d/etl-prod-7f3c/why/"])
def test_an_airflow_that_does_not_answer_is_said(
    page: str, bob: User, deployment: Deployment, plane: type[FakePlane], client_of: ClientOf
) -> None:
    client = client_of(bob)
    assert "started by an older version of the portal" in client.get(page).content.decode()

    plane.store.fail("airflow", Unreachable("Its API server does not answer."))

    response = client.get(page)
    assert response.status_code == 200
    check_page(response.content.decode())
    assert "Its API server does not answer." in response.content.decode()


def test_a_task_that_is_gone_is_said(
    bob: User, deployment: Deployment, plane: type[FakePlane], client_of: ClientOf
) -> None:
    answer(plane, ASKED, {**SAID, "instance": None})

    page = client_of(bob).get(HERE).content.decode()

    assert "There is no such task" in page
    assert "before the start date of a task" in page


def test_strange_questions_list_what_waits(
    bob: User, deployment: Deployment, plane: type[FakePlane], client_of: ClientOf
) -> None:
    answer(plane, PATH, {"waiting": []})

    for query in ("?dag_id=x", "?dag_id=x&run_id=y", "?map_index=9999999999999"):
        response = client_of(bob).get(f"/d/etl-prod-7f3c/why/{query}")
        assert "No task waits" in response.content.decode()


def test_strangers_find_nothing(charlie: User, deployment: Deployment, client_of: ClientOf) -> None:
    assert client_of(charlie).get(HERE).status_code == 404


def test_the_notice_of_waiting_tasks_leads_here(
    bob: User, deployment: Deployment, client_of: ClientOf
) -> None:
    observe(deployment, warnings=["3 tasks wait for the queue gpu, which does not exist."])

    assert "/d/etl-prod-7f3c/why/" in client_of(bob).get("/d/etl-prod-7f3c/").content.decode()


def answer(plane: type[FakePlane], path: str, data: dict[str, Any]) -> None:
    plane.store.responses["GET", path] = AirflowResponse(status=200, data=data)
