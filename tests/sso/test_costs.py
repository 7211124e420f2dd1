"""What a sign-in through an identity provider asks of the database: as much for the first person of
an organization as for the thousandth.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import Group
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import User
from apps.organizations.models import Organization, Team
from apps.sso.connections.services import create_connection
from apps.sso.models import Domain, GroupMember, SSOConnection
from tests.sso import openid_provider
from tests.sso.conftest import Browser, way_out

pytestmark = pytest.mark.django_db
MOST_QUERIES = {"saml": 68, "openid_connect": 60}


@pytest.fixture
def provider(settings: Any) -> Iterator[openid_provider.OpenIDProvider]:
    settings.SSO_ALLOWS_HTTP = True
    settings.SSO_NETWORKS = ("127.0.0.0/8",)
    with openid_provider.running() as found:
        yield found


@pytest.fixture
def oidc(
    provider: openid_provider.OpenIDProvider,
    organization: Organization,
    domain: Domain,
    alice: User,
) -> SSOConnection:
    made = create_connection(
        actor=alice,
        organization=organization,
        protocol="openid_connect",
        name="Nordhavn ID",
        client_id=openid_provider.CLIENT_ID,
        client_secret=openid_provider.CLIENT_SECRET,
        default_role="member",
        config={"issuer": provider.issuer},
    )
    SSOConnection.objects.filter(pk=made.pk).update(is_enabled=True, tested_at=timezone.now())
    return made


def test_a_sign_in_by_saml_costs_no_more_with_many_people(
    saml: SSOConnection, new_browser: Callable[[], Browser]
) -> None:
    hold_to_its_cost(saml, lambda: new_browser().sign_in())


def test_a_sign_in_by_openid_connect_costs_no_more_with_many_people(
    provider: openid_provider.OpenIDProvider, oidc: SSOConnection
) -> None:
    def sign_in() -> Any:
        client = Client()
        left = client.post(reverse("sso:start", args=[oidc.key]))
        back = provider.authorize(way_out(left))
        return client.get(f"{reverse('sso:callback', args=[oidc.key])}?{back}")

    hold_to_its_cost(oidc, sign_in)


def hold_to_its_cost(connection: SSOConnection, sign_in: Callable[[], Any]) -> None:
    sign_in()
    team = mapped_team(connection)
    sign_in()
    alone = queries_of(sign_in)
    add_people(connection, team)

    among_many = queries_of(sign_in)

    assert among_many <= alone
    assert among_many <= MOST_QUERIES[connection.protocol]


def queries_of(sign_in: Callable[[], Any]) -> int:
    # allauth looks at each session that somebody has.
    UserSession.objects.all().delete()
    with CaptureQueriesContext(database) as captured:
        response = sign_in()
    assert response.status_code == 302
    assert response.wsgi_request.user.is_authenticated
    return len(captured)


def mapped_team(connection: SSOConnection) -> Team:
    group = Group.objects.create(name="mapped")
    team = Team.objects.create(
        organization=connection.organization,
        name="Data engineers",
        group=group,
        source=Team.Source.MIRRORED,
    )
    connection.group_mappings.create(group="data-eng", team=team)
    return team


def add_people(connection: SSOConnection, team: Team) -> None:
    """Let 300 more people have come with the same group."""
    people = User.objects.bulk_create(
        User(email=f"p{number}@nordhavn.test", name=f"Person {number}") for number in range(300)
    )
    mapping = connection.group_mappings.get()
    GroupMember.objects.bulk_create(GroupMember(mapping=mapping, user=one) for one in people)
    team.group.user_set.add(*people)
