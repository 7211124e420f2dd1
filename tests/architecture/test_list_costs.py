"""Every page with a list asks the database as often for many rows as for few, and seldom."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.access.grants.services import grant
from apps.access.grants.team_grants import grant_to_team
from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.deployments.models import Deployment
from apps.organizations.models import Organization, Workspace
from apps.organizations.teams.services import add_to_team, create_team
from tests.conftest import make_user, role
from tests.observability.incidents import make_incident
from tests.organizations.test_token_pages import make_token

# The most queries of each page: session, object, rights, rows; then counts and what forms offer.
LISTS = {
    "/o/nordhavn/workspaces/": 5,
    "/o/nordhavn/members/": 8,
    "/w/warehouse/members/": 9,
    "/o/nordhavn/teams/": 5,
    "/o/nordhavn/team-roles/": 7,
    "/w/warehouse/teams/": 7,
    "/o/nordhavn/tokens/": 9,
    "/w/warehouse/tokens/": 9,
    "/d/etl-prod-7f3c/tokens/": 9,
    "/o/nordhavn/roles/": 5,
    "/o/nordhavn/audit/": 5,
    "/o/nordhavn/clusters/": 5,
    "/w/warehouse/deployments/": 5,
    "/d/etl-prod-7f3c/incidents/": 10,
    "/w/warehouse/incidents/": 7,
    "/o/nordhavn/incidents/": 7,
    "/d/etl-prod-7f3c/dags/": 13,
    "/w/warehouse/dags/": 9,
    "/o/nordhavn/dags/": 9,
    "/account/roles/": 7,
    # Last, so that something was opened before: Home says what.
    "/": 20,
}
ROUNDS, MORE = 1, 3


@pytest.fixture
def fill(
    organization: Organization,
    workspace: Workspace,
    deployment: Deployment,
    alice: User,
    make_deployment: Callable[..., Deployment],
) -> Callable[[range], None]:
    """Make some of everything that lists show."""

    def make(numbers: range) -> None:
        for number in numbers:
            person = make_user(f"p{number}")
            other = Workspace.objects.create(
                organization=organization, name=f"Other {number}", slug=f"other-{number}"
            )
            team = create_team(actor=alice, organization=organization, name=f"Team {number}")
            for on, key in ((organization, "member"), (workspace, "author"), (other, "member")):
                grant(actor=alice, user=person, role=role(type(on).access_scope, key), on=on)
                grant_to_team(actor=alice, team=team, role=role(type(on).access_scope, key), on=on)
                make_token(alice, on, name=f"CI {number}")
            add_to_team(actor=alice, team=team, user=person)
            grant(actor=alice, user=alice, role=role("workspace", "owner"), on=other)
            make_token(alice, deployment, key="viewer", name=f"CI {number}")
            make_deployment(workspace=other)
            make_incident(make_deployment())
            make_incident(deployment, subject=f"queue-{number}")
            Cluster.objects.create(
                organization=organization, kind=Cluster.Kind.LOCAL, name=f"Machine {number}"
            )

    return make


def test_lists_cost_the_same_for_few_rows_and_for_many(
    alice: User, client_of: Callable[[User], Client], fill: Callable[[range], Any]
) -> None:
    client = client_of(alice)
    fill(range(ROUNDS))
    few = {page: _cost(client, page) for page in LISTS}

    fill(range(ROUNDS, ROUNDS + MORE))

    many = {page: _cost(client, page) for page in LISTS}
    assert many == few
    assert {page: cost for page, cost in many.items() if cost > LISTS[page]} == {}


def _cost(client: Client, page: str) -> int:
    assert client.get(page).status_code == 200
    with CaptureQueriesContext(connection) as queries:
        client.get(page)
    return len(queries)
