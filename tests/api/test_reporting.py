"""What programs read of usage and objectives, and how they set objectives."""

from datetime import UTC, datetime
from decimal import Decimal

from apps.core.public_ids import public_id
from apps.objectives.models import Objective
from apps.organizations.models import Workspace
from apps.usage.models import UsageDay
from tests.objectives.examples import make_objective

DAY = datetime(2026, 11, 3, tzinfo=UTC)


def used(deployment, day=DAY, **fields) -> None:
    UsageDay.objects.create(deployment=deployment, day=day.date(), through=day, **fields)


def test_usage_is_listed_by_month_with_what_it_cost(alice, deployment, program_of, settings):
    settings.WORKER_HOUR_PRICE, settings.CURRENCY = Decimal("0.25"), "NOK"
    used(deployment, runs_succeeded=3, worker_seconds=36_000)
    used(deployment, DAY.replace(month=10), tasks_failed=1)
    program = program_of(alice)

    both, october = program.get("/usage").json(), program.get("/usage", month="2026-10").json()

    assert [one["month"] for one in both["usage"]] == ["2026-11", "2026-10"]
    first = both["usage"][0]
    assert first["deploymentId"] == public_id("deployment", deployment.pk)
    assert (first["runsSucceeded"], first["workerHours"], first["cost"]) == (3, 10.0, 2.5)
    assert both["dataThrough"].startswith("2026-11-03")
    assert (october["totalCount"], october["usage"][0]["tasksFailed"]) == (1, 1)
    assert program.get("/usage", month="1999-01").json()["usage"] == []
    settings.WORKER_HOUR_PRICE = None
    assert "cost" not in program.get("/usage").json()["usage"][0]


def test_usage_is_not_for_everybody(alice, bob, deployment, program_of):
    used(deployment, runs_failed=1)

    assert program_of(bob).get("/usage").status_code == 403
    assert program_of(alice).get("/usage", month="2026-13").status_code == 400


def test_an_objective_is_set_listed_and_removed(alice, workspace, deployment, program_of):
    program = program_of(alice)
    path = f"/workspaces/{public_id('workspace', workspace.pk)}/objectives"
    body = {
        "deploymentId": public_id("deployment", deployment.pk),
        "dagId": "orders",
        "targetPercent": 99.5,
        "limitSeconds": 60,
    }
    make_objective(deployment, "bills", days={0: (1, 1)})

    made = program.post(path, body).json()
    changed = program.post(path, {**body, "limitSeconds": None}).json()

    assert made["id"] == changed["id"]
    assert (made["limitSeconds"], made["state"], made["goodRuns"]) == (60, "unknown", 0)
    assert "limitSeconds" not in changed
    listed = program.get("/objectives").json()
    assert [one["dagId"] for one in listed["objectives"]] == ["bills", "orders"]
    assert listed["objectives"][0]["budgetLeftPercent"] == -4900
    spent = program.get("/objectives", states="spent").json()
    assert spent["totalCount"] == 1
    assert program.delete(f"{path}/{made['id']}").status_code == 204
    assert program.delete(f"{path}/{made['id']}").status_code == 404
    assert Objective.objects.count() == 1


def test_what_is_wrong_with_an_objective_is_said_and_others_are_not_found(
    alice, organization, workspace, deployment, program_of
):
    program = program_of(alice)
    path = f"/workspaces/{public_id('workspace', workspace.pk)}/objectives"
    good = {
        "deploymentId": public_id("deployment", deployment.pk),
        "dagId": "orders",
        "targetPercent": 99,
    }
    for wrong in ({"targetPercent": 100}, {"dagId": "a/b"}, {"limitSeconds": 0}):
        assert program.post(path, {**good, **wrong}).status_code == 400
    other = Workspace.objects.create(organization=organization, name="Other", slug="other")
    elsewhere = f"/workspaces/{public_id('workspace', other.pk)}/objectives"
    kept = make_objective(deployment)

    assert program.post(elsewhere, good).status_code == 404
    gone = program.delete(f"{elsewhere}/{public_id('objective', kept.pk)}")
    assert gone.status_code == 404
    assert Objective.objects.filter(pk=kept.pk).exists()


def test_objectives_are_for_those_who_see_the_deployment(bob, charlie, deployment, program_of):
    make_objective(deployment)

    assert program_of(bob).get("/objectives").json()["totalCount"] == 1
