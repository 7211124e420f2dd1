"""A credential survives a mistake elsewhere in its form: sealed, of one person, for an hour."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.access.grants.services import grant
from apps.clusters.connections.kept import KEPT_FOR, kept_secrets
from apps.clusters.connections.planes import config_for
from apps.clusters.models import Cluster, KeptSecret
from apps.clusters.tasks import sweep_kept_secrets
from apps.core.encryption.crypto import KeyRing
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.status import PlaneCheck
from tests.clusters.material import CANARY, SERVER, certificate, kubeconfig
from tests.conftest import make_user, role

pytestmark = pytest.mark.django_db
REGISTER = "/o/nordhavn/clusters/register/"
BY_TOKEN = {"name": "", "server": SERVER, "ca_certificate": certificate(), "token": CANARY}


@pytest.fixture
def browser(alice, client_of) -> Any:
    FakePlane.store.found = PlaneCheck(is_usable=True, version="v1.37.2", findings=())
    return client_of(alice)


def fail(browser: Any) -> str:
    """Send a good kubeconfig with a name that is none."""
    page = browser.post(REGISTER, {"name": "", "kubeconfig": kubeconfig()})
    assert page.status_code == 422
    return page.content.decode()


def test_a_corrected_form_needs_no_second_paste(browser, organization) -> None:
    assert "Kept, encrypted" in fail(browser)
    assert "Kept, encrypted" in browser.get(REGISTER).content.decode()

    page = browser.post(REGISTER, {"name": "eu-1", "kubeconfig": ""})

    assert page.status_code == 302
    assert config_for(Cluster.objects.get(kind="kubernetes")).connection.token == CANARY
    assert not KeptSecret.objects.exists()


def test_another_paste_takes_its_place(browser, organization) -> None:
    fail(browser)

    browser.post(REGISTER, {"name": "eu-1", "kubeconfig": kubeconfig(user={"token": "other"})})

    assert config_for(Cluster.objects.get(kind="kubernetes")).connection.token == "other"


def test_what_is_kept_is_sealed_and_never_sent_back(browser, organization) -> None:
    shown = fail(browser) + browser.get(REGISTER).content.decode()

    row = KeptSecret.objects.get()
    assert CANARY not in shown
    assert CANARY.encode() not in bytes(row.sealed)


def test_a_kubeconfig_that_is_wrong_itself_is_not_kept(browser, organization) -> None:
    fail(browser)

    page = browser.post(REGISTER, {"name": "eu-1", "kubeconfig": "no: kubeconfig"})

    assert "Kept, encrypted" not in page.content.decode()
    assert not KeptSecret.objects.exists()


def test_it_is_of_one_person_and_one_form(browser, organization, client_of) -> None:
    fail(browser)
    ben = make_user("Ben")
    grant(actor=None, user=ben, role=role("organization", "owner"), on=organization)

    theirs = client_of(ben).post(REGISTER, {"name": "eu-1", "kubeconfig": ""})
    elsewhere = browser.post(f"{REGISTER}?by=token", BY_TOKEN | {"name": "eu-1", "token": ""})

    assert theirs.status_code == elsewhere.status_code == 422
    assert not Cluster.objects.filter(kind="kubernetes").exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [("server", "https://elsewhere.example.org"), ("tls_server_name", "elsewhere.example.org")],
)
def test_a_kept_token_goes_to_no_other_server(browser, organization, field, value) -> None:
    browser.post(f"{REGISTER}?by=token", BY_TOKEN)
    corrected = BY_TOKEN | {"name": "eu-1", "token": ""}

    refused = browser.post(f"{REGISTER}?by=token", corrected | {field: value})

    assert refused.status_code == 422
    assert not Cluster.objects.filter(kind="kubernetes").exists()


def test_a_kept_token_is_used_for_the_server_it_was_given_for(browser, organization) -> None:
    browser.post(f"{REGISTER}?by=token", BY_TOKEN)

    page = browser.post(f"{REGISTER}?by=token", BY_TOKEN | {"name": "eu-1", "token": ""})

    assert page.status_code == 302


def test_it_expires_and_is_swept(browser, organization) -> None:
    fail(browser)
    KeptSecret.objects.update(created_at=timezone.now() - KEPT_FOR - timedelta(seconds=1))

    page = browser.post(REGISTER, {"name": "eu-1", "kubeconfig": ""})
    assert page.status_code == 422
    assert "Paste the kubeconfig." in page.content.decode()

    fail(browser)
    sweep_kept_secrets()
    assert KeptSecret.objects.count() == 1
    KeptSecret.objects.update(created_at=timezone.now() - KEPT_FOR)
    sweep_kept_secrets()
    assert not KeptSecret.objects.exists()


def test_a_key_that_is_gone_only_means_pasting_again(
    browser, alice, organization, settings
) -> None:
    fail(browser)
    settings.ENCRYPTION_KEYS = KeyRing(current="t2", keys={"t2": b"1" * 32})

    found = kept_secrets(
        actor=alice, organization=organization, form="register kubeconfig", now=timezone.now()
    )

    assert found == {}
