"""Signing in through an identity provider: the portal's own time, beside a sign-in by password.

The identity provider's part is left out: what it needs for its answers, and how long our requests
wait for it. The password is checked by a cheap hasher, so that views are compared with views.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any
from unittest.mock import patch

from allauth.usersessions.models import UserSession
from django.db import connection as database
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.access.grants.services import grant
from apps.access.models import Role
from apps.accounts.models import User
from apps.accounts.services import create_person
from apps.organizations.models import Organization
from apps.sso.connections.services import create_connection
from apps.sso.models import Domain, GroupMapping, GroupMember, SSOConnection
from apps.sso.protocols.outgoing import GuardedSession
from bench.measure import Timing, ratio
from bench.population import Population, populate
from bench.quiet import control_noise
from bench.report import Line
from tests.sso import identity_provider, openid_provider
from tests.sso.conftest import Browser, way_out

N_ROUNDS, N_SIGN_INS = 7, 10
MOST_MS = 500
PASSWORD = secrets.token_urlsafe()
Step = Callable[[Callable[[], Any]], Any]


@dataclass
class Watch:
    """Seconds of the portal itself, without the time that it waits for the identity provider."""

    cpu: float = 0.0
    wall: float = 0.0
    queries: int = 0

    def step(self, call: Callable[[], Any]) -> Any:
        cpu, wall = time.thread_time(), time.perf_counter()
        with _waits() as waits:
            answer = call()
        self.cpu += time.thread_time() - cpu
        self.wall += time.perf_counter() - wall - sum(waits)
        return answer

    def count(self, call: Callable[[], Any]) -> Any:
        with CaptureQueriesContext(database) as captured:
            answer = call()
        self.queries += len(captured)
        return answer


@contextmanager
def _waits() -> Iterator[list[float]]:
    """Collect how long requests to an identity provider waited, without our work on them."""
    waits: list[float] = []
    ask = GuardedSession.request

    def request(session: GuardedSession, *args: Any, **kwargs: Any) -> Any:
        cpu, wall = time.thread_time(), time.perf_counter()
        try:
            return ask(session, *args, **kwargs)
        finally:
            waits.append(time.perf_counter() - wall - (time.thread_time() - cpu))

    with patch.object(GuardedSession, "request", request):
        yield waits


def run() -> tuple[list[Line], list[str]]:
    with ExitStack() as stack:
        settings = {"SSO_ALLOWS_HTTP": True, "SSO_NETWORKS": ("127.0.0.0/8",)}
        stack.enter_context(override_settings(ACCOUNT_RATE_LIMITS=False, **settings))
        provider = stack.enter_context(openid_provider.running())
        ways = _ways(provider)
        newcomers = {name: _counted(way) for name, way in ways.items()}
        times = _by_turns(ways)
        queries = {name: _counted(way) for name, way in ways.items()}
    lines = [line for name in ("SAML", "OpenID Connect") for line in _lines(name, times, queries)]
    seen = ", ".join(f"{name} {newcomers[name]}" for name in ("SAML", "OpenID Connect"))
    noise = control_noise(times["password"].cpu)
    return lines, [f"queries of a first sign-in: {seen}", *noise]


def _lines(name: str, times: dict[str, Timing], queries: dict[str, int]) -> list[Line]:
    value, spread = ratio(times[name], times["password"])
    return [
        Line(
            name=f"sign-in, {name}",
            ours=str(times[name]),
            peer=f"by password {times['password']}",
            ratio=value,
            spread=spread,
            goal=f"<= {MOST_MS} ms wall",
            is_met=times[name].wall_ms <= MOST_MS,
        ),
        Line(
            name=f"sign-in, {name}, queries",
            ours=str(queries[name]),
            peer=f"by password {queries['password']}",
        ),
    ]


def _ways(provider: openid_provider.OpenIDProvider) -> dict[str, Callable[[Step], None]]:
    population = populate(n_workspaces=5, n_deployments=50, in_first_workspace=10)
    organization = population.organization
    Domain.objects.create(
        organization=organization,
        name="nordhavn.test",
        token=secrets.token_hex(8),
        verified_at=timezone.now(),
    )
    person = create_person(
        email="ana@nordhavn.test", name="Ana", password=PASSWORD, is_address_proved=True
    )
    owner = Role.objects.get(scope="organization", key="owner")
    grant(actor=None, user=person, role=owner, on=organization)
    saml = _connection(person, organization, "saml", _saml_config())
    oidc = _connection(person, organization, "openid_connect", {"issuer": provider.issuer})
    for connection in (saml, oidc):
        _map_everybody(connection, population)
    return {
        "password": lambda step: _by_password(step, person.email),
        "SAML": lambda step: _by_saml(step, saml),
        "OpenID Connect": lambda step: _by_oidc(step, oidc, provider),
    }


def _saml_config() -> dict[str, Any]:
    return {
        "entity_id": identity_provider.ENTITY_ID,
        "sso_url": identity_provider.SSO_URL,
        "certificates": [identity_provider.make_signer().certificate],
    }


def _connection(
    actor: User, organization: Organization, protocol: str, config: dict[str, Any]
) -> SSOConnection:
    connection = create_connection(
        actor=actor,
        organization=organization,
        protocol=protocol,
        name=protocol,
        client_id=openid_provider.CLIENT_ID,
        client_secret=openid_provider.CLIENT_SECRET,
        default_role="member",
        config=config,
    )
    SSOConnection.objects.filter(pk=connection.pk).update(is_enabled=True, tested_at=timezone.now())
    connection.refresh_from_db()
    return connection


def _map_everybody(connection: SSOConnection, population: Population) -> None:
    """Let a Team of all the people mirror the group that a sign-in reports."""
    team = population.teams[0]
    mapping = GroupMapping.objects.create(connection=connection, group="data-eng", team=team)
    GroupMember.objects.bulk_create(
        GroupMember(mapping=mapping, user=user) for user in population.users
    )
    team.group.user_set.add(*population.users)


def _by_password(step: Step, email: str) -> None:
    client, page = Client(), reverse("account_login")
    step(lambda: client.post(page, {"login": email}))
    step(lambda: client.post(page, {"login": email, "password": PASSWORD}))
    _check(client)


def _by_saml(step: Step, connection: SSOConnection) -> None:
    browser = Browser(connection, Client())
    asked = step(browser.leave)
    xml = identity_provider.answer(base=browser.base, asked=asked)
    step(lambda: browser.come_back(xml))
    _check(browser.client)


def _by_oidc(
    step: Step, connection: SSOConnection, provider: openid_provider.OpenIDProvider
) -> None:
    client = Client()
    left = step(lambda: client.post(reverse("sso:start", args=[connection.key])))
    back = provider.authorize(way_out(left))
    page = f"{reverse('sso:callback', args=[connection.key])}?{back}"
    step(lambda: client.get(page))
    _check(client)


def _check(client: Client) -> None:
    if "_auth_user_id" not in client.session:
        raise RuntimeError("No person was signed in.")
    # Each person has one session: allauth loads all sessions of a person.
    UserSession.objects.all().delete()


def _by_turns(ways: dict[str, Callable[[Step], None]]) -> dict[str, Timing]:
    rounds: dict[str, list[Watch]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(N_ROUNDS):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            watches = [Watch() for _ in range(N_SIGN_INS)]
            for watch in watches:
                ways[name](watch.step)
            rounds[name].append(
                Watch(median(one.cpu for one in watches), median(one.wall for one in watches))
            )
    return {
        name: Timing(tuple(one.cpu for one in found), tuple(one.wall for one in found))
        for name, found in rounds.items()
    }


def _counted(way: Callable[[Step], None]) -> int:
    watch = Watch()
    way(watch.count)
    return watch.queries
