import gzip
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import User
from apps.dags.models import DagReport, DagSummary
from apps.dags.summaries import refresh_summaries
from apps.dataplane.errors import Unreachable
from apps.dataplane.fake.plane import FakePlane
from apps.deployments.models import Deployment, Phase
from tests.conftest import make_user, put_role, role
from tests.core.pages import check_page
from tests.dags.stand_in import Airflow, row

ClientOf = Callable[[User], Client]
LISTS = ["/d/etl-prod-7f3c/dags/", "/w/warehouse/dags/", "/o/nordhavn/dags/"]


def names(response: Any) -> list[str]:
    return [one["dag"].dag_id for one in response.context["rows"]]


@pytest.mark.parametrize("url", LISTS)
def test_a_list_shows_dags_with_their_runs(
    alice: User, deployment: Deployment, airflow: Airflow, client_of: ClientOf, url: str
) -> None:
    refresh_summaries(deployment=deployment)

    response = client_of(alice).get(url)

    page = response.content.decode()
    check_page(page)
    assert names(response) == ["orders_daily"]
    assert "Last 2 runs: 1 succeeded, 1 failed. Latest on the right." in page
    assert "Last run succeeded" in page
    assert "Data platform" in page


def test_bob_sees_and_may_not_switch_and_charlie_learns_nothing(
    bob: User, charlie: User, deployment: Deployment, airflow: Airflow, client_of: ClientOf
) -> None:
    refresh_summaries(deployment=deployment)

    for url in LISTS:
        response = client_of(bob).get(url)
        assert names(response) == ["orders_daily"]
        assert 'role="switch"' not in response.content.decode()
        assert client_of(charlie).get(url).status_code == 404


def test_a_list_holds_only_deployments_whose_airflow_the_person_may_see(
    deployment: Deployment,
    other: Deployment,
    airflow: Airflow,
    organization: Any,
    workspace: Any,
    client_of: ClientOf,
) -> None:
    for one in (deployment, other):
        refresh_summaries(deployment=one)
    dora = make_user("Dora")
    put_role(dora, role("organization", "member"), organization)
    put_role(dora, role("workspace", "accessor"), workspace)
    put_role(dora, role("deployment", "viewer"), other)

    for url in LISTS[1:]:
        response = client_of(dora).get(url)
        assert [one["dag"].deployment_id for one in response.context["rows"]] == [other.pk]
        assert "etl-prod" not in response.content.decode()


def test_dags_of_deleted_deployments_are_not_listed(
    alice: User, deployment: Deployment, airflow: Airflow, client_of: ClientOf
) -> None:
    refresh_summaries(deployment=deployment)
    Deployment.objects.update(phase=Phase.DELETED)

    assert names(client_of(alice).get("/o/nordhavn/dags/")) == []


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["broken", "failing", "fine", "resting"]),
        ({"sort": "-name"}, ["resting", "fine", "failing", "broken"]),
        ({"state": "failed"}, ["failing"]),
        ({"state": "nonsense"}, ["broken", "failing", "fine", "resting"]),
        ({"q": "FIN"}, ["fine"]),
        ({"q": "invoices"}, ["failing"]),
        ({"tag": "hourly"}, ["fine"]),
        ({"owner": "Ana"}, ["resting"]),
        ({"deployment": "nowhere"}, []),
        ({"page": "999"}, ["broken", "failing", "fine", "resting"]),
        ({"page": "x"}, ["broken", "failing", "fine", "resting"]),
    ],
)
def test_a_list_is_narrowed_and_sorted_by_its_address(
    alice: User,
    deployment: Deployment,
    airflow: Airflow,
    client_of: ClientOf,
    asked: dict[str, str],
    found: list[str],
) -> None:
    failed = [["failed", 1_795_000_000, 3]]
    airflow.rows = [
        row("fine", tags=["hourly"]),
        row("failing", runs=failed, description="Invoices of partners"),
        row("resting", is_paused=True, owners=["Ana"]),
        row("broken", has_import_errors=True),
    ]
    refresh_summaries(deployment=deployment)

    response = client_of(alice).get("/w/warehouse/dags/", asked)

    assert names(response) == found
    if not found:
        assert "No matching DAGs" in response.content.decode()


def test_counts_by_state_stay_while_one_is_chosen(
    alice: User, deployment: Deployment, airflow: Airflow, client_of: ClientOf
) -> None:
    airflow.rows = [row("a"), row("b"), row("c", is_paused=True)]
    refresh_summaries(deployment=deployment)

    tally = client_of(alice).get(LISTS[0], {"state": "paused"}).context["tally"]

    assert [(one["label"], one["count"], one["is_current"]) for one in tally] == [
        ("All", 3, False),
        ("Last run succeeded", 2, False),
        ("Paused", 1, True),
    ]


@pytest.mark.parametrize("url", LISTS)
def test_a_thousand_dags_cost_what_a_few_do(
    alice: User, deployment: Deployment, airflow: Airflow, client_of: ClientOf, url: str
) -> None:
    client = client_of(alice)
    airflow.rows = [row("one")]
    refresh_summaries(deployment=deployment)
    client.get(url)
    few = _cost(client, url)
    airflow.rows = [row(f"dag_{number:04}") for number in range(1_000)]
    refresh_summaries(deployment=deployment)

    many = _cost(client, url)

    assert many == few
    assert many <= 14
    response = client.get(url, {"page": "2", "sort": "name"})
    assert names(response)[0] == "dag_0050"
    assert len(names(response)) == 50
    assert len(client.get(url, headers={"accept-encoding": "gzip"}).content) <= 20_000


def _cost(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    return len(queries)


def test_before_the_first_look_the_list_waits_for_it(
    alice: User, deployment: Deployment, airflow: Airflow, client_of: ClientOf
) -> None:
    page = client_of(alice).get(LISTS[0]).content.decode()

    check_page(page)
    assert "No DAGs yet" in page
    assert "every 3s" in page


def test_an_airflow_that_is_away_leaves_its_last_dags_and_a_sentence(
    alice: User,
    deployment: Deployment,
    airflow: Airflow,
    plane: type[FakePlane],
    client_of: ClientOf,
) -> None:
    refresh_summaries(deployment=deployment)
    plane.store.fail("airflow", Unreachable("The API server of this Deployment does not answer."))
    refresh_summaries(deployment=deployment)

    response = client_of(alice).get(LISTS[1])

    assert names(response) == ["orders_daily"]
    page = response.content.decode()
    check_page(page)
    assert "DAGs of etl-prod are not up to date" in page
    assert "The API server of this Deployment does not answer." in page


def test_rows_that_are_old_say_so(
    alice: User, deployment: Deployment, airflow: Airflow, client_of: ClientOf
) -> None:
    refresh_summaries(deployment=deployment)
    assert "not up to date" not in client_of(alice).get(LISTS[1]).content.decode()
    DagReport.objects.update(seen_at=timezone.now() - timedelta(minutes=6))

    page = client_of(alice).get(LISTS[1]).content.decode()

    assert "DAGs of etl-prod are not up to date" in page
    assert "Its Airflow is not healthy, so the portal does not ask it." in page


def test_a_poll_of_an_unchanged_list_has_no_body(
    alice: User, deployment: Deployment, airflow: Airflow, client_of: ClientOf
) -> None:
    refresh_summaries(deployment=deployment)
    client = client_of(alice)
    first = client.get(LISTS[1], headers={"HX-Request": "true"})

    again = client.get(
        LISTS[1], headers={"HX-Request": "true", "HX-PTag": first.headers["HX-PTag"]}
    )

    assert again.status_code == 304


def test_hostile_names_are_text(
    alice: User, deployment: Deployment, client_of: ClientOf, airflow: Airflow
) -> None:
    evil = "<script>alert(1)</script>"
    airflow.rows = [row("x", name=evil, description=evil, owners=[evil], tags=[evil])]
    refresh_summaries(deployment=deployment)

    page = client_of(alice).get(LISTS[0]).content.decode()

    check_page(page)
    assert evil not in page


def test_what_is_left_out_is_said(
    alice: User, deployment: Deployment, client_of: ClientOf, airflow: Airflow
) -> None:
    refresh_summaries(deployment=deployment)
    DagReport.objects.update(count=7_200)

    page = client_of(alice).get(LISTS[1]).content.decode()

    assert "etl-prod has 7200 DAGs; the first 5000 are listed here." in page


def test_a_report_of_no_dags_says_so(
    alice: User, deployment: Deployment, client_of: ClientOf, airflow: Airflow
) -> None:
    airflow.rows = []
    refresh_summaries(deployment=deployment)

    page = client_of(alice).get(LISTS[0]).content.decode()

    assert DagReport.objects.get().count == 0
    assert not DagSummary.objects.exists()
    assert "within two minutes of a deploy" in page


def test_a_page_of_fifty_dags_with_fourteen_runs_each_is_small(
    alice: User, deployment: Deployment, airflow: Airflow, client_of: ClientOf
) -> None:
    chance = random.Random(5)
    runs = [
        [chance.choice(["success", "failed"]), 1_795_000_000, chance.random() * 3600]
        for _ in range(14 * 50)
    ]
    airflow.rows = [
        row(dag_id=f"orders_{chance.randbytes(6).hex()}", runs=runs[n * 14 : n * 14 + 14])
        for n in range(50)
    ]
    refresh_summaries(deployment=deployment)

    page = client_of(alice).get("/o/nordhavn/dags/").content

    assert page.count(b'role="switch"') == 50
    assert len(page) <= 120_000
    assert len(gzip.compress(page)) <= 15_000
