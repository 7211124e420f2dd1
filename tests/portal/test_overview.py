"""Home and the overview of an organization: trouble first, among what the person may see."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.access.grants.services import grant
from apps.clusters.models import Cluster
from apps.deployments.models import Deployment, Health, Operation, Phase
from apps.organizations.models import Workspace
from tests.conftest import make_user, role

PAGES = ("/", "/o/nordhavn/")
MOST_QUERIES = {"/": 20, "/o/nordhavn/": 23}


@pytest.fixture
def operation(deployment, alice):
    return Operation.objects.create(
        deployment=deployment,
        number=1,
        kind=Operation.Kind.UPDATE,
        title="Apply revision 2",
        state="failed",
        revision=deployment.wanted,
        actor=alice,
    )


def section(page: str, name: str) -> str:
    found = re.search(rf'<section class="panel[^"]*" id="{name}".*?</section>', page, re.S)
    return found[0] if found else ""


def page_of(client, path: str) -> str:
    return client.get(path).content.decode()


@pytest.mark.parametrize("path", PAGES)
def test_trouble_comes_first_and_what_is_well_is_counted(path, alice, make_deployment, client_of):
    make_deployment(name="fine")
    make_deployment(name="slow", health=Health.UNHEALTHY, health_message="No heartbeat.")
    broken = make_deployment(name="broken")
    broken.wanted.state = "failed"
    broken.wanted.save(update_fields=["state"])

    page = page_of(client_of(alice), path)

    attention = section(page, "attention")
    assert attention.index("broken") < attention.index("slow")
    assert "No heartbeat." in attention
    assert ">fine<" not in attention
    assert re.search(r"<b>1</b>Healthy", page)
    assert re.search(r"<b>3</b>All", page)


@pytest.mark.parametrize("path", PAGES)
def test_drift_needs_attention_although_airflow_is_well(path, alice, make_deployment, client_of):
    drift = [{"object": "Deployment/scheduler", "fields": ["replicas"]}]
    make_deployment(name="moved", observation={"drift": drift})
    make_deployment(name="still", observation={"drift": []})

    attention = section(page_of(client_of(alice), path), "attention")

    assert "moved" in attention
    assert "1 object changed outside the portal" in attention
    assert "still" not in attention


@pytest.mark.parametrize("path", PAGES)
def test_a_cluster_that_does_not_answer_is_named(path, alice, cluster, client_of):
    Workspace.objects.create(organization=cluster.organization, name="Zoo", slug="zoo")
    client = client_of(alice)
    assert "has not answered since" not in page_of(client, path)
    Cluster.objects.update(unreachable_since=timezone.now() - timedelta(minutes=5))

    assert "has not answered since" in page_of(client, path)


@pytest.mark.parametrize("path", PAGES)
def test_what_changed_is_told_with_who_did_it(path, alice, operation, client_of):
    changes = section(page_of(client_of(alice), path), "changes")

    assert 'href="/d/etl-prod-7f3c/operations/1/"' in changes
    assert "Apply revision 2" in changes
    assert "Alice" in changes
    assert 'aria-label="Failed"' in changes


def test_all_is_well_is_said(alice, deployment, client_of):
    attention = section(page_of(client_of(alice), "/"), "attention")

    assert "Nothing" in attention
    assert "needs attention" in attention


def test_workspaces_say_how_many_deployments_they_hold(alice, make_deployment, client_of):
    make_deployment()
    make_deployment(health=Health.UNHEALTHY)
    make_deployment(phase=Phase.DELETED)

    workspaces = section(page_of(client_of(alice), "/"), "workspaces")

    assert re.search(r'data-label="Deployments">2\b', workspaces)
    assert "1 needs attention" in workspaces


def test_only_what_a_person_may_see_is_shown_and_counted(
    alice, charlie, make_deployment, operation, workspace, client_of
):
    seen = make_deployment(name="one", health=Health.UNHEALTHY)
    make_deployment(name="concealed", health=Health.UNHEALTHY)
    dora = make_user("Dora")
    grant(actor=None, user=dora, role=role("organization", "member"), on=workspace.organization)
    grant(actor=None, user=dora, role=role("workspace", "accessor"), on=workspace)
    grant(actor=None, user=dora, role=role("deployment", "viewer"), on=seen)

    for path in PAGES:
        page = page_of(client_of(dora), path)
        assert seen.name in section(page, "attention")
        assert "concealed" not in page
        assert "Apply revision 2" not in page
        assert re.search(r"<b>1</b>All", page)
        assert re.search(r'data-label="Deployments">1\b', section(page, "workspaces"))
    assert "etl" not in page_of(client_of(charlie), "/")


def test_a_status_lists_the_deployments_that_have_it(alice, make_deployment, client_of):
    make_deployment(name="fine")
    make_deployment(name="slow", health=Health.UNHEALTHY)
    client = client_of(alice)

    healthy = section(page_of(client, "/?status=healthy"), "deployments")
    everything = section(page_of(client, "/?status=all"), "deployments")

    assert "fine" in healthy
    assert "slow" not in healthy
    assert "fine" in everything
    assert "slow" in everything
    assert "fine" not in section(page_of(client, "/?status=unhealthy"), "deployments")
    assert client.get("/?status=nonsense").status_code == 200


def test_what_was_opened_last_is_at_hand_as_long_as_it_is_seen(alice, make_deployment, client_of):
    first, second = make_deployment(name="first"), make_deployment(name="second")
    client = client_of(alice)
    assert section(page_of(client, "/"), "recent") == ""

    for one in (first, second, first):
        client.get(f"/d/{one.ref}/")

    recent = section(page_of(client, "/"), "recent")
    assert recent.index("first") < recent.index("second")
    assert recent.count("/d/") == 2
    Deployment.objects.filter(pk=first.pk).update(phase=Phase.DELETED)
    assert "first" not in section(page_of(client, "/"), "recent")


def test_a_page_that_was_refused_is_not_noted(bob, deployment, client_of):
    client = client_of(bob)

    assert client.get(f"/d/{deployment.ref}/configure/").status_code == 403
    assert "recent" not in client.session


def test_opening_a_page_again_writes_no_session(alice, deployment, client_of):
    client = client_of(alice)
    client.get(f"/d/{deployment.ref}/")
    client.get(f"/d/{deployment.ref}/")

    with CaptureQueriesContext(connection) as queries:
        client.get(f"/d/{deployment.ref}/")

    assert [query for query in queries if "UPDATE" in query["sql"]] == []


@pytest.mark.parametrize("path", PAGES)
def test_an_overview_costs_the_same_for_few_rows_and_for_many(
    path, alice, organization, make_deployment, client_of
):
    client = client_of(alice)

    def fill(numbers: range) -> None:
        for number in numbers:
            other = Workspace.objects.create(
                organization=organization, name=f"Other {number}", slug=f"other-{number}"
            )
            for fields in ({"health": Health.UNHEALTHY}, {"workspace": other}):
                made = make_deployment(**fields)
                client.post(f"/d/{made.ref}/pin/")
                client.get(f"/d/{made.ref}/")
                Operation.objects.create(
                    deployment=made, number=1, kind="update", title="Update", actor=alice
                )
            client.post(f"/w/{other.slug}/pin/")
            Cluster.objects.create(organization=organization, kind="local", name=f"C {number}")

    fill(range(1))
    few = cost(client, path)
    fill(range(1, 5))

    assert cost(client, path) == few
    assert few <= MOST_QUERIES[path]


def cost(client, path: str) -> int:
    assert client.get(path).status_code == 200
    with CaptureQueriesContext(connection) as queries:
        client.get(path)
    return len(queries)


@pytest.mark.parametrize("path", PAGES)
def test_a_new_organization_is_led_to_its_first_deployment(path, alice, bob, workspace, client_of):
    mine, theirs = page_of(client_of(alice), path), page_of(client_of(bob), path)

    assert 'href="/w/warehouse/deployments/new/"' in mine
    assert "No Deployments yet" in theirs
    assert "/w/warehouse/deployments/new/" not in theirs
