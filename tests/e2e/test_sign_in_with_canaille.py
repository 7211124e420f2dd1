"""Canaille as the identity provider of an organization: it pushes people and groups by SCIM, and
the same people sign in through it.
"""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import requests
from django.db import connection as database
from django.db import transaction
from django.urls import reverse
from playwright.sync_api import Page

from apps.access.grants.services import lock_memberships
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.organizations.models import Organization, Team
from apps.sso.models import ScimRecord
from tests.e2e.single_sign_on import (
    NAMES,
    NEWCOMER,
    OWNER,
    begin,
    begin_connection,
    is_in,
    look,
    make_scim_token,
    map_the_group,
    own_the_domain,
    switch_on,
    with_password,
)
from tests.sso.peers import canaille
from tests.sso.peers.processes import PeerMissing

pytest_plugins = ["tests.e2e.shared_browser"]
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
PEER_PASSWORD = "told to Canaille alone"
NAME = "Canaille of the harbour"
WAITING = """SELECT count(*) FROM pg_stat_activity
  WHERE datname = current_database() AND wait_event_type = 'Lock'"""


@pytest.fixture
def peer() -> Iterator[canaille.Canaille]:
    try:
        with canaille.running() as running:
            yield running
    except PeerMissing as error:
        pytest.skip(str(error))


def make_person(peer: canaille.Canaille, key: str, name: str) -> None:
    address = f"{key}@nordhavn.test"
    words = ["--user-name", key, "--emails", address, "--family-name", name, "--formatted-name"]
    peer.run("create", "user", *words, name, "--password", PEER_PASSWORD)


def prove(page: Page, peer: canaille.Canaille, key: str) -> None:
    page.wait_for_url(f"{peer.issuer}/**")
    page.locator("input[name=login]").fill(key)
    page.locator("input[name=login]").press("Enter")
    page.locator("input[name=password]").fill(PEER_PASSWORD)
    page.locator("input[name=password]").press("Enter", no_wait_after=True)


def connect(page: Page, peer: canaille.Canaille, owner: User) -> None:
    """Make a connection, tell Canaille of it, test it, and switch it on."""
    begin_connection(page, "OpenID Connect", NAME)
    page.get_by_label("Issuer").fill(peer.issuer)
    page.get_by_label("Client ID").fill(canaille.CLIENT_ID)
    page.get_by_label("Client secret").fill(canaille.CLIENT_SECRET)
    page.get_by_role("button", name="Add connection").click()
    page.get_by_text("Test it, then enable it.").wait_for()
    peer.trust(redirect_uri=page.locator("#addresses code").first.inner_text())
    page.get_by_role("button", name="Test sign-in").click()
    prove(page, peer, "ana")
    page.locator("button[name=answer][value=accept]").click()
    switch_on(page, NAME)
    map_the_group(page, owner)


def sign_in(page: Page, peer: canaille.Canaille, key: str) -> None:
    begin(page, f"{key}@nordhavn.test")
    page.get_by_role("button", name=f"Continue with {NAME}").click()
    prove(page, peer, key)


def provision(page: Page, peer: canaille.Canaille) -> None:
    """Hand the address and a token to Canaille."""
    token = make_scim_token(page, "Canaille")
    address = page.locator("code", has_text="/scim/").inner_text().strip()
    # The first request loads the portal's library, and Canaille waits for five seconds only.
    assert requests.get(f"{address}/ServiceProviderConfig", timeout=60).status_code == 200
    peer.provision(address=address, token=token)


def people_of(team: str) -> set[str]:
    members = Team.objects.get(name=team).group.user_set.all()
    return {member.email for member in members}


@pytest.fixture
def at_the_owner(
    open_browser: Callable[[], Page],
    owner: User,
    records: dict[str, str],
    peer: canaille.Canaille,
) -> Page:
    """The page of an owner whose organization signs people in through Canaille."""
    page = open_browser()
    begin(page, OWNER)
    with_password(page)
    is_in(page, NAMES["ana"])
    own_the_domain(page, records)
    make_person(peer, "ana", NAMES["ana"])
    connect(page, peer, owner)
    return page


def test_people_and_groups_come_change_and_go_as_canaille_says(
    open_browser: Callable[[], Page], at_the_owner: Page, peer: canaille.Canaille
) -> None:
    provision(at_the_owner, peer)
    make_person(peer, "dana", NAMES["dana"])
    dana = User.objects.filter(email=NEWCOMER).first()
    assert dana, peer.log()
    assert (dana.name, dana.is_active) == (NAMES["dana"], True)

    make_person(peer, "erik", "Erik Holm")
    members = ["--members", "dana", "--members", "erik"]
    peer.run("create", "group", "--display-name", "data-eng", *members)
    assert people_of("data-eng") == {NEWCOMER, "erik@nordhavn.test"}
    peer.run("set", "group", "data-eng", "--members", "dana")
    assert people_of("data-eng") == {NEWCOMER}

    page = open_browser()
    sign_in(page, peer, "dana")
    is_in(page, NAMES["dana"])
    assert people_of("Data engineers") == {NEWCOMER}
    peer.run(
        "set", "user", "dana", "--formatted-name", "Dana Berg", "--emails", "berg@nordhavn.test"
    )
    page.goto("/")
    is_in(page, "Dana Berg")
    dana.refresh_from_db()
    assert dana.email == "berg@nordhavn.test"

    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    peer.run("set", "user", "dana", "--lock-date", yesterday)
    page.goto("/")
    page.wait_for_url("**/login/**")
    peer.run("delete", "user", "--user-name", "erik", "--noconfirm")
    closed = User.objects.filter(is_active=False).values_list("email", flat=True)
    # The address of a person who was deleted is free for another one.
    assert "berg@nordhavn.test" in closed
    assert [one.rpartition("@")[2] for one in sorted(closed)] == [
        "retired.invalid",
        "nordhavn.test",
    ]
    at_the_owner.goto(reverse("sso:provisioning", args=["nordhavn"]))
    look(at_the_owner, "provisioned-by-canaille")


def test_somebody_who_signs_in_while_canaille_provisions_them_gets_one_account(
    open_browser: Callable[[], Page], at_the_owner: Page, peer: canaille.Canaille
) -> None:
    make_person(peer, "dana", NAMES["dana"])
    peer.run("create", "group", "--display-name", "data-eng", "--members", "dana")
    provision(at_the_owner, peer)
    assert not User.objects.filter(email=NEWCOMER).exists()
    page = open_browser()
    pushing = threading.Thread(
        target=peer.run, args=("set", "user", "dana", "--title", "Engineer"), daemon=True
    )

    with transaction.atomic():
        lock_memberships(on=Organization.objects.get())
        sign_in(page, peer, "dana")
        wait_until(1)
        pushing.start()
        wait_until(2)
    pushing.join(30)
    is_in(page, NAMES["dana"])

    dana = User.objects.get(email=NEWCOMER)
    assert ScimRecord.objects.get(key="dana").user == dana
    assert dana.socialaccount_set.count() == 1
    assert people_of("Data engineers") == {NEWCOMER}
    assert AuditEvent.objects.filter(action="person.created").count() == 1


def wait_until(waiting: int) -> None:
    """Wait until so many requests wait for the organization that this test holds."""
    deadline = time.monotonic() + 30
    with database.cursor() as cursor:
        while time.monotonic() < deadline:
            # Without this, a transaction sees the same activity again and again.
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(WAITING)
            if cursor.fetchone()[0] >= waiting:
                return
            time.sleep(0.05)
    raise AssertionError(f"There are no {waiting} requests that wait for each other.")
