import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models import OuterRef, Subquery
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.access.grants.services import grant, revoke
from apps.access.models import Role
from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.deployments.models import Deployment, Health, Phase, Revision, RevisionState
from apps.observability.history.storage import Buckets, SeriesIds, write_buckets
from apps.organizations.models import Workspace
from tests.conftest import CONFIG
from tests.deployments.pages import assert_well_made, text_of

URL = "/w/warehouse/deployments/"
ClientOf = Callable[[User], Client]


@pytest.fixture
def browser(alice: User, workspace: Workspace, client_of: ClientOf) -> Client:
    return client_of(alice)


def fill_workspace(workspace: Workspace, cluster: Cluster, count: int) -> None:
    rows = [
        Deployment(
            workspace=workspace,
            cluster=cluster,
            name=f"etl-{number:04d}",
            ref=f"etl-{number:04d}-abcd",
            health=Health.UNHEALTHY if number == 77 else Health.HEALTHY,
            health_message="The scheduler is silent." if number == 77 else "Airflow is healthy.",
        )
        for number in range(count)
    ]
    Deployment.objects.bulk_create(rows)
    revisions = [
        Revision(
            deployment=row, number=1, config=CONFIG, state=RevisionState.APPLIED, summary="Created"
        )
        for row in rows
    ]
    Revision.objects.bulk_create(revisions)
    own = Revision.objects.filter(deployment=OuterRef("pk")).values("pk")[:1]
    Deployment.objects.update(wanted=Subquery(own), applied=Subquery(own))


def test_an_empty_workspace_says_what_a_deployment_is(browser: Client, cluster: Cluster) -> None:
    response = browser.get(URL)

    assert_well_made(response)
    text = text_of(response)
    assert "No Deployments yet" in text
    assert "Create your first Deployment" in text


def test_the_list_asks_the_database_four_times_however_long_it_is(
    browser: Client, workspace: Workspace, cluster: Cluster
) -> None:
    fill_workspace(workspace, cluster, 1000)
    browser.get(URL)

    with CaptureQueriesContext(connection) as queries:
        response = browser.get(URL)

    assert response.status_code == 200
    assert len(queries) <= 4, "\n\n".join(query["sql"] for query in queries)
    assert response.content.count(b'<th scope="row">') == 50


@pytest.mark.parametrize("name", ["q", "runtime", "executor"])
@pytest.mark.parametrize("text", ["%", "%s", "100%%", "'; --", "\\"])
def test_a_filter_may_hold_what_means_something_in_sql(
    browser: Client, deployment: Deployment, name: str, text: str
) -> None:
    response = browser.get(URL, {name: text})

    assert response.status_code == 200
    assert "No matching Deployments" in text_of(response)


def test_a_row_has_its_last_24_hours_where_they_are_known(
    browser: Client, deployment: Deployment, cluster: Cluster
) -> None:
    fill_workspace(deployment.workspace, cluster, 1)
    begin = int(timezone.now().timestamp()) // 3600 * 3600 - 7200
    counts = {"runs_succeeded": {begin: 9.0}, "runs_failed": {begin + 300: 1.0}}
    write_buckets(
        buckets=Buckets(deployment_id=deployment.pk, begin=begin, end=begin + 3600, values=counts),
        ids=SeriesIds(),
    )

    response = browser.get(URL)

    assert_well_made(response)
    page = response.content.decode()
    assert page.count("DAG runs by hour, the last 24 hours: 10 ended, 1 failed") == 1
    assert page.count("No figures") == 1


def test_somebody_who_may_not_create_costs_no_more(
    bob: User, client_of: ClientOf, workspace: Workspace, cluster: Cluster
) -> None:
    fill_workspace(workspace, cluster, 100)
    reader = client_of(bob)
    reader.get(URL)

    with CaptureQueriesContext(connection) as queries:
        response = reader.get(URL)

    assert "Needs the role" in text_of(response)
    assert len(queries) <= 4, "\n\n".join(query["sql"] for query in queries)


def test_what_needs_attention_comes_first(
    browser: Client, workspace: Workspace, cluster: Cluster
) -> None:
    fill_workspace(workspace, cluster, 80)

    response = browser.get(URL)

    assert_well_made(response)
    text = text_of(response)
    assert text.index("etl-0077") < text.index("etl-0000")
    assert "The scheduler is silent." in text
    assert "80 in Warehouse" in text


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?status=unhealthy", {"etl-0077"}),
        ("?q=0012", {"etl-0012"}),
        ("?q=0012&status=healthy", {"etl-0012"}),
        ("?q=0012&executor=local", set()),
        ("?q=0012&runtime=3.3.2-1", {"etl-0012"}),
        ("?q=0012&runtime=3.2.2-1", set()),
    ],
)
def test_filters_in_the_address_combine(
    browser: Client, workspace: Workspace, cluster: Cluster, query: str, expected: set[str]
) -> None:
    fill_workspace(workspace, cluster, 80)

    text = text_of(browser.get(URL + query))

    shown = {word for word in text.split() if word.startswith("etl-")}
    assert shown == expected
    assert ("No matching Deployments" in text) == (not expected)


@pytest.mark.parametrize(
    "query",
    [
        "?page=999999999999999999999",
        "?page=0",
        "?page=-1",
        "?page=two",
        "?sort=;drop",
        "?q=%25_%27",
    ],
)
def test_nonsense_in_the_address_does_no_harm(
    browser: Client, deployment: Deployment, query: str
) -> None:
    assert browser.get(URL + query).status_code == 200


@pytest.mark.parametrize("sort", ["name", "-name", "runtime", "-runtime", "changed", "-changed"])
def test_it_sorts(browser: Client, workspace: Workspace, cluster: Cluster, sort: str) -> None:
    fill_workspace(workspace, cluster, 60)

    assert browser.get(f"{URL}?sort={sort}").status_code == 200
    text = text_of(browser.get(f"{URL}?sort={sort}&page=2"))
    assert "51 to 60 of 60" in text


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("name", ["etl-1", "ETL-2", "etl-10", "etl-10b", "etl-100"]),
        ("-name", ["etl-100", "etl-10b", "etl-10", "ETL-2", "etl-1"]),
    ],
)
def test_names_sort_by_the_numbers_in_them(
    browser: Client, make_deployment: Callable[..., Deployment], sort: str, expected: list[str]
) -> None:
    for name in ("etl-100", "etl-10b", "etl-1", "ETL-2", "etl-10"):
        make_deployment(name=name, ref=f"x{name.lower()}")

    html = browser.get(f"{URL}?sort={sort}").content.decode()

    assert re.findall(r'<a class="name"[^>]*>([^<]+)</a>', html) == expected
    assert 'aria-sort="' + ("descending" if sort[0] == "-" else "ascending") in html


def test_runtimes_sort_by_their_numbers(
    browser: Client, make_deployment: Callable[..., Deployment]
) -> None:
    for version in ("3.10.0-1", "3.2.2-10", "3.2.2-9"):
        make_deployment(
            name=version, ref="x" + version.replace(".", ""), config={"runtime": version}
        )

    html = browser.get(f"{URL}?sort=runtime").content.decode()

    assert re.findall(r'<a class="name"[^>]*>([^<]+)</a>', html) == [
        "3.2.2-9",
        "3.2.2-10",
        "3.10.0-1",
    ]


def test_deleted_ones_are_gone_from_the_list(
    browser: Client, make_deployment: Callable[..., Deployment]
) -> None:
    make_deployment(name="alive")
    make_deployment(name="buried", phase=Phase.DELETED, deleted_at=timezone.now())

    text = text_of(browser.get(URL))

    assert "alive" in text
    assert "buried" not in text


def test_bob_sees_the_list_and_who_may_let_him_create(
    bob: User, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    text = text_of(client_of(bob).get(URL))

    assert "etl-prod" in text
    assert "Needs the role Workspace Operator" in text
    assert "Ask Alice" in text


def test_charlie_gets_404(charlie: User, deployment: Deployment, client_of: ClientOf) -> None:
    assert client_of(charlie).get(URL).status_code == 404


def test_somebody_with_one_deployment_sees_that_one(
    make_deployment: Callable[..., Deployment], client_of: ClientOf, workspace: Workspace, bob: Any
) -> None:
    make_deployment(name="hidden")
    mine = make_deployment(name="shown")
    revoke(actor=None, user=bob, on=workspace)
    grant(
        actor=None, user=bob, role=Role.objects.get(scope="workspace", key="accessor"), on=workspace
    )
    grant(actor=None, user=bob, role=Role.objects.get(scope="deployment", key="viewer"), on=mine)

    text = text_of(client_of(bob).get(URL))

    assert "shown" in text
    assert "hidden" not in text


def test_a_kept_statement_shows_nobody_what_another_may_see(
    make_deployment: Callable[..., Deployment],
    client_of: ClientOf,
    workspace: Workspace,
    alice: User,
    bob: User,
) -> None:
    of_bob, of_dora = make_deployment(name="of-bob"), make_deployment(name="of-dora")
    dora = User.objects.create_user(email="dora@example.org", password=None)
    revoke(actor=None, user=bob, on=workspace)
    for person, own in ((bob, of_bob), (dora, of_dora)):
        for role, on in (("accessor", workspace), ("viewer", own)):
            scope = on.access_scope
            grant(actor=None, user=person, role=Role.objects.get(scope=scope, key=role), on=on)

    shown = [text_of(client_of(person).get(URL)) for person in (alice, bob, dora, alice)]

    seen = [{name for name in ("of-bob", "of-dora") if name in text} for text in shown]
    both = {"of-bob", "of-dora"}
    assert seen == [both, {"of-bob"}, {"of-dora"}, both]


def test_a_kept_row_gives_way_to_what_is_true_now(browser: Client, deployment: Deployment) -> None:
    before = text_of(browser.get(URL))
    Deployment.objects.update(
        name="<b>renamed</b>", health=Health.UNHEALTHY, health_message="The scheduler is silent."
    )

    response = browser.get(URL)

    assert "The scheduler is silent." not in before
    assert "The scheduler is silent." in text_of(response)
    assert b"&lt;b&gt;renamed&lt;/b&gt;" in response.content


@pytest.mark.parametrize(
    ("seen", "status", "message"),
    [
        ({"warnings": []}, "Healthy", "Airflow is healthy."),
        ({"warnings": None}, "Healthy", "Airflow is healthy."),
        ({}, "Healthy", "Airflow is healthy."),
        (
            {"warnings": ['1 task waits for "gpu".', "Another."]},
            "Degraded",
            '1 task waits for "gpu".',
        ),
        ({"import_errors": 0}, "Healthy", "Airflow is healthy."),
        ({"import_errors": 2, "warnings": ["Another."]}, "Degraded", "The other DAGs run."),
    ],
    ids=["none", "null", "unknown", "two", "no-errors", "errors-first"],
)
def test_a_healthy_one_is_degraded_by_what_was_seen_alone(
    browser: Client,
    workspace: Workspace,
    cluster: Cluster,
    seen: dict[str, Any],
    status: str,
    message: str,
) -> None:
    fill_workspace(workspace, cluster, 1)
    Deployment.objects.update(observation=seen)

    row = text_of(browser.get(URL)).partition("Last 24 h")[2]

    assert status in row
    assert ("Degraded" in row) is (status == "Degraded")
    assert message in row


def test_a_poll_answers_the_table_alone(browser: Client, deployment: Deployment) -> None:
    response = browser.get(URL, headers={"HX-Request": "true", "HX-Request-Type": "partial"})

    assert response.content.strip().startswith(b'<div class="stack" id="deployments"')
    assert "HX-Request" in response["Vary"]
