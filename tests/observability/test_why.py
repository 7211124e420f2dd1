"""Why a task waits: the one reason, and the page that says it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
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
from apps.observability.why import answers
from apps.observability.why.facts import MOST_UPSTREAM, PATH, Facts, TaskName, facts_in
from apps.observability.why.known import known_of
from apps.observability.why.reasons import checks_of, reason_for
from apps.observability.why.shapes import Known, KnownQueue, Refusal
from tests.core.pages import check_page
from tests.dataplane import waiting_dags
from tests.observability.incidents import NOW, component, notice, observe

ClientOf = Callable[[User], Client]
TESTS = Path(__file__).parents[1]
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
NO_NODE = Refusal(message="0/3 nodes are available.", is_quota=False)
NO_QUOTA = Refusal(message="exceeded quota", is_quota=True)
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
    "before-start-date": [({"state": "absent", "logical_at": 400, "starts_at": 500}, CELERY)],
    "max-active-runs": [
        ({**UNREADY, "run_state": "queued", "max_active_runs": 2, "active_runs": 2}, CELERY)
    ],
    "run-over": [({**UNREADY, "run_state": "failed"}, CELERY)],
    "depends-on-past": [
        ({**UNREADY, "depends_on_past": True, "previous_state": "failed"}, CELERY),
        (
            {
                **UNREADY,
                "depends_on_past": True,
                "previous_state": "success",
                "past": ("b (none)",),
            },
            CELERY,
        ),
    ],
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
    "workers-crash": [
        ({}, having(workers_ready=0, state="crashing")),
        ({}, having(workers_ready=0, state="crashing", refusal=NO_NODE)),
        ({}, having(workers_ready=0, state="failed", detail="No image.", refusal=NO_QUOTA)),
    ],
    "scaling-up": [
        (FULL, having(workers_wanted=2)),
        (FULL, CELERY),
    ],
    "no-workers": [({}, having(workers_ready=0, workers_wanted=0))],
    "scaling-stuck": [(FULL, having(note="KEDA cannot count tasks and keeps 1 workers."))],
    "quota": [
        (FULL, having(refusal=NO_QUOTA)),
        ({}, having(workers_ready=0, refusal=NO_QUOTA, state="failed", detail="exceeded quota")),
        ({"queued_seconds": 400}, Known(executor="kubernetes", refusal=NO_QUOTA)),
    ],
    "pod-pending": [
        (FULL, having(refusal=NO_NODE)),
        ({}, having(workers_ready=0, refusal=NO_NODE, state="failed", detail="Unschedulable")),
        ({}, Known(executor="kubernetes", refusal=NO_NODE)),
    ],
    "broker-away": [
        ({"is_broker_reached": False}, CELERY),
        ({"is_broker_reached": False, "queued_seconds": 400, **FULL}, having(workers_ready=0)),
    ],
    "execution-api-away": [
        ({"is_broker_reached": True, "taken": 1, "taken_seconds": 31}, CELERY),
        ({"taken": 3, "taken_seconds": 500, "queued_seconds": 500}, CELERY),
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


def test_a_task_that_a_worker_took_just_now_is_not_said_to_be_lost() -> None:
    taken = replace(CALM, is_broker_reached=True, taken=1, taken_seconds=29)

    assert reason_for(taken, CELERY).key == "nothing"


def test_each_reason_made_on_purpose_is_one_of_these() -> None:
    made = {*waiting_dags.REASONS.values(), "paused", "task-limit", *waiting_dags.ELSEWHERE}

    assert made == CASES.keys()
    for key, name in waiting_dags.ELSEWHERE.items():
        assert f'"{key}"' in (TESTS / name).read_text(), (key, name)


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
        {"instance": 1, "task": {}, "jobs": []},
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
            "past": {"a": 1},
            "jobs": [["SchedulerJob", 1, None], 3, [1]],
            "broker": {"is_reached": "no", "taken": -3, "taken_seconds": "long"},
        }
    )

    assert facts is not None
    assert len(facts.state) <= 250
    assert "\x1b" not in facts.state
    assert "\u202e" not in facts.state
    assert (facts.pool_used, facts.pool_total, facts.queued_seconds) == (0, None, None)
    assert (facts.is_broker_reached, facts.taken, facts.taken_seconds) == (None, 0, None)
    assert len(facts.upstream) == MOST_UPSTREAM
    assert reason_for(facts, CELERY).key == "started"


NO_ROOM = "0/3 nodes are available: 3 Insufficient memory."
QUOTA = 'pods "worker-default-6c9f-x2x5k" is forbidden: exceeded quota: deployment'
POD, REPLICAS = "Pod/worker-default-6c9f-x2x5k", "ReplicaSet/worker-default-6c9f"


def known_with(deployment: Deployment, *notices: dict[str, Any]) -> Known:
    queue = {"name": "default", "workers_ready": 1, "workers_wanted": 2, "tasks_queued": None}
    observe(
        deployment,
        queues=[{**queue, "tasks_running": None}],
        components=component("worker default", state="starting", ready=1, wanted=2),
        notices=list(notices),
    )
    return known_of(deployment, now=NOW)


def test_the_portal_joins_what_it_knows(deployment: Deployment) -> None:
    known = known_with(deployment, notice("FailedScheduling", NO_ROOM, object=POD))

    assert known.queues[0].workers_wanted == 2
    assert known.queues[0].refusal == Refusal(message=NO_ROOM, is_quota=False)
    assert reason_for(replace(CALM, **FULL), known).message == NO_ROOM


@pytest.mark.parametrize(
    "told",
    [
        {"object": "Pod/triggerer-7c9f-x2x5k"},
        {"object": "Pod/worker-default-2-7c9f-x2x5k"},
        {"object": "Pod/worker-gpu-7c9f-x2x5k"},
        {"object": POD, "is_over": True},
    ],
)
def test_a_pod_of_something_else_holds_up_no_task_of_the_queue(
    deployment: Deployment, told: dict[str, Any]
) -> None:
    known = known_with(deployment, notice("FailedScheduling", NO_ROOM, **told))

    assert known.queues[0].refusal is None
    assert reason_for(replace(CALM, **FULL), known).key == "scaling-up"


def test_the_last_refusal_of_a_cluster_is_the_one_that_holds(deployment: Deployment) -> None:
    earlier = {"last_at": (NOW - timedelta(minutes=2)).isoformat()}
    quota = notice("FailedCreate", QUOTA, object=REPLICAS)
    pending = notice("FailedScheduling", NO_ROOM, object=POD)
    full = replace(CALM, **FULL)

    then_pending = known_with(deployment, {**quota, **earlier}, pending)
    then_quota = known_with(deployment, quota, {**pending, **earlier})

    assert reason_for(full, then_pending).key == "pod-pending"
    assert reason_for(full, then_quota).message == QUOTA


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


class WithQuotas(FakePlane):
    """One whose namespace has a full quota, or whose cluster does not answer."""

    message: str | None = "team has no room for the pod of one more task: pods 64 of 64."

    def full_quota(self, *, ref: str) -> str:
        if self.message is None:
            raise Unreachable("The cluster does not answer.")
        return self.message


@pytest.mark.parametrize(
    ("state", "message", "said"),
    [
        ("queued", WithQuotas.message, "A quota of the namespace is used up"),
        ("queued", "", "Nothing is wrong"),
        ("queued", None, "Nothing is wrong"),
        ("scheduled", WithQuotas.message, "The pool tiny has no room"),
    ],
)
def test_a_task_that_gets_a_pod_of_its_own_may_wait_for_a_quota(
    alice: User,
    deployment: Deployment,
    plane: type[FakePlane],
    client_of: ClientOf,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    message: str | None,
    said: str,
) -> None:
    monkeypatch.setattr(WithQuotas, "message", message)
    monkeypatch.setattr(answers, "plane_for", lambda cluster: WithQuotas())
    executor = "kubernetes"
    monkeypatch.setattr(answers, "known_of", lambda *_, **__: Known(executor=executor))
    answer(plane, ASKED, {**SAID, "instance": {**SAID["instance"], "state": state}})

    text = client_of(alice).get(HERE).content.decode()

    check_page(text)
    assert said in text
    assert ("pods 64 of 64" in text) == said.startswith("A quota")


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


def test_a_task_whose_start_date_lies_after_the_run_is_said_to_start_later(
    bob: User, deployment: Deployment, plane: type[FakePlane], client_of: ClientOf
) -> None:
    task = {"start_date": 4_070_908_800.0}
    answer(plane, ASKED, {**SAID, "instance": None, "task": task, "logical_at": 1_767_398_400})

    page = client_of(bob).get(HERE).content.decode()

    check_page(page)
    assert "The run lies before the start date of the task" in page
    assert "The run is of 2026-01-03 00:00 UTC, the start date is 2099-01-01 00:00 UTC." in page
    assert "Checked and fine" not in page


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
