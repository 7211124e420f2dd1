"""Incidents, history, scaling, DAGs and changes by programs."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.core.public_ids import public_id
from apps.dags.models import DagSummary
from apps.dags.summaries import refresh_summaries
from apps.dataplane.status import AirflowResponse
from apps.deployments.editing.services import update_config
from apps.deployments.models import Operation, Revision
from apps.observability.incidents.models import Incident
from tests.dags.conftest import _sign_in_key as _sign_in_key  # a fixture
from tests.dags.conftest import airflow as airflow  # a fixture
from tests.dags.conftest import open_secrets
from tests.dags.stand_in import a_run
from tests.observability.example_scaling import put_recording
from tests.observability.incidents import make_incident, observe
from tests.observability.test_analytics_pages import put_history
from tests.observability.test_why import ASKED, SAID, answer
from tests.observability.test_why import PATH as WHY


@pytest.fixture
def path(deployment) -> str:
    return f"/deployments/{public_id('deployment', deployment.pk)}"


def test_incidents_are_listed_filtered_and_answered(alice, bob, deployment, path, program_of):
    incident, program = make_incident(deployment), program_of(alice)
    make_incident(deployment, kind="quota", closed_at=timezone.now())
    here = f"{path}/incidents/{incident.pk}"

    assert program.get("/incidents").json()["totalCount"] == 2
    (listed,) = program.get("/incidents", state="open", severity="warning").json()["incidents"]
    assert (listed["number"], listed["kind"]) == (incident.pk, "import-errors")
    wrong = program.get("/incidents", state="opne")
    assert (wrong.status_code, wrong.json()["fieldErrors"][0]["field"]) == (400, "state")
    done = program.post(f"{here}/respond", {"act": "acknowledge", "note": "On it"}).json()
    assert done["acknowledgedBy"]["username"] == alice.email
    assert done["events"][0]["note"] == "On it"
    silenced = program.post(f"{here}/respond", {"act": "silence-hour"}).json()
    assert silenced["isSilenced"]
    assert program.post(f"{here}/respond", {"act": "close"}).status_code == 400
    assert program_of(bob).get(here).status_code == 200
    assert program_of(bob, name="2").post(f"{here}/respond", {"act": "silence"}).status_code == 403
    Incident.objects.filter(pk=incident.pk).update(closed_at=timezone.now())
    assert program.post(f"{here}/respond", {"act": "acknowledge"}).status_code == 409


def test_lists_over_all_deployments_cost_as_many_queries_however_long_they_are(
    alice, deployment, make_deployment, program_of, django_assert_max_num_queries
):
    program = program_of(alice)
    for _ in range(4):
        one = make_deployment()
        make_incident(one)
        DagSummary.objects.create(
            deployment=one,
            dag_id="a",
            name="a",
            state="failed",
            is_paused=False,
            has_import_error=0,
        )
    program.get("/incidents")

    for path in ("/incidents", "/dags"):
        with django_assert_max_num_queries(7):
            assert program.get(path).json()["totalCount"] == 4


def test_what_was_measured_comes_as_lines_of_numbers_with_gaps(alice, deployment, path, program_of):
    put_history(deployment)
    program = program_of(alice)

    body = program.get(f"{path}/history", range="1h").json()

    found = {one["key"]: one for one in body["series"]}
    tasks = next(one for key, one in found.items() if "task" in key)
    assert tasks["stepSeconds"] > 0
    assert tasks["begin"].endswith("Z")
    values = [value for one in body["series"] for line in one["lines"] for value in line["values"]]
    assert None in values
    assert any(value for value in values)
    assert "tone" not in str(body)
    for wrong in ({"range": "2y"}, {"startDate": "x"}, {"startDate": "2026-01-02"}):
        assert program.get(f"{path}/history", **wrong).status_code == 400
    past = {"startDate": "2026-01-02T00:00:00Z", "endDate": "2026-01-03T00:00:00Z"}
    assert program.get(f"{path}/history", **past).status_code == 200


def test_a_queue_tells_why_it_scaled_and_what_would_have_served_it_best(
    alice, deployment, path, program_of
):
    put_recording(deployment, now=timezone.now())
    program, queue = program_of(alice), f"{path}/worker-queues/default"

    decisions = program.get(f"{queue}/decisions", range="1h", limit=5).json()
    advice = program.get(f"{queue}/recommendation", range="1h").json()

    assert decisions["totalCount"] > 5
    assert decisions["decisions"][0]["title"]
    assert advice["reason"]
    assert advice["was"]["workerHours"] > 0
    assert advice["presentSettings"].keys() == advice["recommendedSettings"].keys()
    assert program.get(f"{queue}/history", range="1h").json()["series"]
    assert program.get(f"{path}/worker-queues/none/recommendation").status_code == 404


def test_dags_of_all_deployments_are_one_list_and_runs_come_from_airflow(
    alice, charlie, deployment, path, airflow, program_of
):
    refresh_summaries(deployment=deployment)
    airflow.runs = [a_run() for _ in range(30)]
    program = program_of(alice)

    (dag,) = program.get("/dags", search="orders").json()["dags"]
    runs = program.get(f"{path}/dags/{dag['dagId']}/runs", state="failed").json()

    assert (dag["dagId"], dag["deploymentName"]) == ("orders_daily", deployment.name)
    assert program.get("/dags", state="paused").json()["dags"] == []
    assert program.get("/dags", state="lost").status_code == 400
    assert (len(runs["dagRuns"]), runs["totalCount"], runs["limit"]) == (25, 30, 25)
    airflow.answer = AirflowResponse(status=404, data={})
    assert program.get(f"{path}/dags/unknown/runs").status_code == 404
    airflow.answer = AirflowResponse(status=500, data={})
    assert program.get(f"{path}/dags/orders_daily/runs").status_code == 503
    elsewhere = program_of(charlie, at=charlie.organizationgrant_set.get().content_object)
    assert elsewhere.get("/dags").status_code == 404


def test_a_program_reads_which_tasks_wait_and_why(alice, deployment, path, program_of, plane):
    open_secrets(deployment)
    asked = {"dagId": "orders", "runId": "manual__1", "taskId": "load"}
    row = ["orders", "manual__1", "load", -1, "queued", "gpu", 400]
    told = {**SAID, "instance": {**SAID["instance"], "state": "queued", "queue": "gpu"}}
    program = program_of(alice)
    answer(plane, WHY, {"waiting": [row]})
    answer(plane, ASKED, told)

    (waiting,) = program.get(f"{path}/waiting-tasks").json()["waitingTasks"]
    found = program.get(f"{path}/waiting-tasks/reason", **asked).json()

    assert (waiting["taskId"], waiting["mapIndex"], waiting["waitingSeconds"]) == ("load", -1, 400)
    assert (found["reason"], found["state"]) == ("queue-missing", "queued")
    assert "The DAG is not paused" in found["checks"]
    answer(plane, ASKED, {**SAID, "instance": None})
    assert program.get(f"{path}/waiting-tasks/reason", **asked).status_code == 404
    answer(plane, ASKED, {})
    assert program.get(f"{path}/waiting-tasks/reason", **asked).status_code == 503
    for wrong in ({"dagId": ""}, {"taskId": "x" * 300}, {"mapIndex": -2}, {"mapIndex": "x"}):
        response = program.get(f"{path}/waiting-tasks/reason", **{**asked, **wrong})
        assert response.status_code == 400, wrong


def test_revisions_and_operations_are_read_and_a_revision_is_restored(
    alice, bob, deployment, path, program_of
):
    before = deployment.wanted.configuration
    changed = type(before).from_json({**before.to_json(), "description": "Changed"})
    update_config(actor=alice, deployment=deployment, configuration=changed, base_revision_number=1)
    program = program_of(alice)

    listed = program.get(f"{path}/revisions").json()["revisions"]
    first = program.get(f"{path}/revisions/1").json()
    stale = program.post(f"{path}/revisions/1/restore", {"baseRevisionNumber": 1})
    done = program.post(f"{path}/revisions/1/restore", {"reason": "It was better"})

    assert [(one["number"], one["isInForce"]) for one in listed] == [(2, True), (1, False)]
    for direction, numbers in (("asc", [1, 2, 3]), ("desc", [3, 2, 1])):
        found = program.get(f"{path}/revisions", sorts=f"number:{direction}").json()["revisions"]
        assert [one["number"] for one in found] == numbers
    assert "executor:" in first["yaml"]
    assert stale.status_code == 409
    assert (done.json()["revisionNumber"], Revision.objects.count()) == (3, 3)
    newest = program.get(f"{path}/operations").json()["operations"][0]
    assert newest["number"] == done.json()["number"]
    assert program.get(f"{path}/operations/{newest['number']}").json()["steps"] == []
    assert program.get(f"{path}/operations/999999999999").status_code == 404
    assert program_of(bob).post(f"{path}/revisions/1/restore").status_code == 403


def test_what_failed_is_retried_and_what_did_not_is_not(alice, deployment, path, program_of):
    program = program_of(alice)
    assert program.post(f"{path}/retry").status_code == 409
    Revision.objects.filter(pk=deployment.wanted_id).update(state="failed", failure="No space")

    done = program.post(f"{path}/retry")

    assert (done.status_code, done.json()["kind"]) == (200, "retry")
    assert Operation.objects.filter(kind="retry").exists()


def test_drift_is_read_and_reverted(alice, deployment, path, program_of):
    program, now = program_of(alice), timezone.now() - timedelta(seconds=5)
    assert program.get(f"{path}/drift").json()["objects"] == []
    assert program.post(f"{path}/drift/revert").status_code == 409
    Revision.objects.filter(pk=deployment.wanted_id).update(state="applied")
    found = {
        "object": "Deployment/scheduler",
        "fields": ["spec.replicas", "spec.env"],
        "values": {"spec.replicas": ["1", "0"]},
        "authors": {"spec.replicas": ["kubectl", now.isoformat()]},
    }
    observe(deployment, now, is_drifted=True, drift=[found])

    (drifted,) = program.get(f"{path}/drift").json()["objects"]

    assert drifted["fields"] == [
        {"path": "spec.replicas", "wanted": "1", "actual": "0", "changedBy": "kubectl"},
        {"path": "spec.env"},
    ]
    assert program.post(f"{path}/drift/revert").json()["kind"] == "put-back"
