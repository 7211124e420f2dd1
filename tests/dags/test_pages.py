from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.dataplane.errors import Unreachable
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.status import AirflowResponse
from apps.deployments.models import Deployment, Health
from tests.core.pages import check_page
from tests.dags.stand_in import RUN_ID, Airflow, a_run, a_task

ClientOf = Callable[[User], Client]
DAG = "/d/etl-prod-7f3c/dags/orders_daily/"
RUN = f"{DAG}runs/{quote(RUN_ID)}/"
TASK = f"{RUN}tasks/load/"
PAGES = [DAG, f"{DAG}code/", RUN, TASK]


@pytest.mark.parametrize("url", PAGES)
def test_pages_are_sound_for_alice_and_bob_and_hidden_from_charlie(
    alice: User, bob: User, charlie: User, airflow: Airflow, client_of: ClientOf, url: str
) -> None:
    for person in (alice, bob):
        response = client_of(person).get(url)
        assert response.status_code == 200
        check_page(response.content.decode())
        assert "orders_daily" in response.content.decode()

    assert client_of(charlie).get(url).status_code == 404


def test_bob_reads_which_role_the_actions_need(
    bob: User, airflow: Airflow, client_of: ClientOf
) -> None:
    for url in (DAG, RUN, TASK):
        page = client_of(bob).get(url).content.decode()
        assert "Needs the role Deployment Author" in page
        assert "/act/" not in page


def test_the_page_of_a_dag_shows_runs_schedule_and_warnings(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    airflow.warnings = ["Dag 'orders_daily' references non-existent pools: ['x']"]
    airflow.runs = [a_run(state="running", end_date=None, duration=None, note="by hand")]

    page = client_of(alice).get(DAG).content.decode()

    for text in ("0 0 * * *", "At 00:00", "Running", "non-existent pools", "by hand", "orders.py"):
        assert text in page


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({}, "limit=25&offset=0&order_by=-run_after"),
        ({"state": "failed"}, "limit=25&offset=0&order_by=-run_after&state=failed"),
        ({"state": "x"}, "limit=25&offset=0&order_by=-run_after"),
        ({"page": "3"}, "limit=25&offset=50&order_by=-run_after"),
    ],
)
def test_runs_are_filtered_and_paged_by_airflow(
    alice: User, airflow: Airflow, client_of: ClientOf, asked: dict[str, str], sent: str
) -> None:
    airflow.runs = [a_run() for _ in range(80)]

    response = client_of(alice).get(DAG, asked)

    paths = [path for _, path, _ in airflow.said]
    assert f"/api/v2/dags/orders_daily/dagRuns?{sent}" in paths
    assert response.context["page"].paginator.count == 80
    assert len(paths) == 3


def test_ten_thousand_tasks_are_paged_by_airflow(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    airflow.tasks = [a_task(map_index=number) for number in range(10_000)]

    response = client_of(alice).get(RUN, {"page": "200", "q": "lo|ad%", "state": "success"})

    assert len(response.context["rows"]) == 50
    assert len(response.content) <= 60_000
    assert response.context["page"].paginator.count == 10_000
    [asked] = [path for _, path, _ in airflow.said if "/taskInstances?" in path]
    assert "offset=9950" in asked
    assert asked.endswith("state=success&task_display_name_pattern=load")


def test_code_is_text_with_line_numbers(alice: User, airflow: Airflow, client_of: ClientOf) -> None:
    airflow.code = 'x = "<script>"\n\x00\x1b[31m\ny = 2\n'

    page = client_of(alice).get(f"{DAG}code/").content.decode()

    check_page(page)
    assert 'id="L3"' in page
    assert "&lt;script&gt;" in page
    assert "\x00" not in page


def test_a_run_shows_its_configuration_as_text(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    airflow.runs = [a_run(conf={"day": "<b>"}, note="<i>")]

    page = client_of(alice).get(RUN).content.decode()

    check_page(page)
    assert "{\n  &quot;day&quot;: &quot;&lt;b&gt;&quot;\n}" in page


def test_a_run_refreshes_itself_until_it_has_ended(
    alice: User, airflow: Airflow, client_of: ClientOf, plane: type[FakePlane]
) -> None:
    client, fragment = client_of(alice), {"HX-Request": "true"}
    airflow.runs = [a_run(state="running")]
    page = client.get(RUN).content.decode()
    card = client.get(f"{RUN}?state=failed", headers=fragment)
    again = client.get(
        f"{RUN}?state=failed", headers={**fragment, "HX-PTag": card.headers["HX-PTag"]}
    )
    paused = client.get(f"{RUN}?live=off").content.decode()
    airflow.runs = [a_run(state="success")]
    ended = client.get(RUN, headers=fragment).content.decode()
    plane.store.respond = lambda *_: AirflowResponse(status=500, data=None)
    silent = client.get(RUN, headers=fragment)

    assert 'data-hx-trigger="every 5s"' in page
    assert "<html" not in card.content.decode()
    assert '?state=failed" data-hx-trigger' in card.content.decode()
    assert again.status_code == 304
    assert "data-hx-trigger" not in paused
    assert 'id="run"' in ended
    assert "data-hx-trigger" not in ended
    assert silent.status_code == 503
    assert "<" not in silent.content.decode()


@pytest.mark.parametrize(
    "dag_id", ["..", "...", "a%2Fb", "a b", "x" * 251, "%2e%2e", "a%3Fb", "a%23"]
)
def test_an_id_that_could_name_another_address_is_never_sent(
    alice: User, airflow: Airflow, client_of: ClientOf, dag_id: str
) -> None:
    response = client_of(alice).get(f"/d/etl-prod-7f3c/dags/{dag_id}/code/")

    assert response.status_code == 404
    assert airflow.said == []


def test_a_dag_that_airflow_does_not_know_is_not_found(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    response = client_of(alice).get("/d/etl-prod-7f3c/dags/gone/")

    assert response.status_code == 404
    page = response.content.decode()
    check_page(page)
    assert "Airflow does not know this DAG, run or task." in page
    assert "Show all DAGs of etl-prod" in page


LIES = [
    AirflowResponse(status=500, data={"detail": "boom"}),
    AirflowResponse(status=401, data=None),
    AirflowResponse(status=200, data=None),
    AirflowResponse(status=200, data=[]),
    AirflowResponse(status=200, data={}),
    AirflowResponse(status=200, data={"dag_runs": {}, "task_instances": 3, "content": "x"}),
    AirflowResponse(
        status=200,
        data={
            "dag_runs": [None, {"dag_run_id": [], "run_after": "x", "state": {"a": 1}}],
            "task_instances": [3, {"try_number": -5, "map_index": "x", "duration": "long"}],
            "total_entries": -(10**30),
            "content": [None, 3, {"event": 5, "timestamp": 9, "level": []}],
            "tags": "x",
            "owners": {"a": 1},
            "run_after": 10**30,
        },
    ),
]


@pytest.mark.parametrize("url", PAGES)
@pytest.mark.parametrize("lie", LIES)
def test_an_airflow_that_lies_never_breaks_a_page(
    alice: User, airflow: Airflow, client_of: ClientOf, url: str, lie: AirflowResponse
) -> None:
    airflow.answer = lie

    response = client_of(alice).get(url)

    assert response.status_code == 200
    check_page(response.content.decode())


@pytest.mark.parametrize("url", PAGES)
def test_an_airflow_that_is_away_is_said_with_what_to_do(
    alice: User,
    deployment: Deployment,
    airflow: Airflow,
    plane: type[FakePlane],
    client_of: ClientOf,
    url: str,
) -> None:
    silence = Unreachable("The API server of this Deployment does not answer.")
    plane.store.fail("airflow", silence, times=None)

    page = client_of(alice).get(url).content.decode()

    check_page(page)
    assert "Airflow does not answer" in page
    assert "The API server of this Deployment does not answer. Try again in a moment." in page
    Deployment.objects.update(health=Health.STOPPED)
    assert "Airflow is stopped." in client_of(alice).get(url).content.decode()


def test_breadcrumbs_lead_back(alice: User, airflow: Airflow, client_of: ClientOf) -> None:
    labels = [one["label"] for one in client_of(alice).get(TASK).context["crumbs"]]

    assert labels == [
        "Nordhavn Logistics",
        "Warehouse",
        "etl-prod",
        "DAGs",
        "orders_daily",
        RUN_ID,
        "load",
    ]


def test_a_link_opens_the_same_place_in_airflow(
    alice: User, airflow: Airflow, client_of: ClientOf
) -> None:
    page: Any = client_of(alice).get(DAG)

    address = page.context["airflow_url"]
    assert address == "/airflow/etl-prod-7f3c/?next=%2Fetl-prod-7f3c%2Fdags%2Forders_daily"
