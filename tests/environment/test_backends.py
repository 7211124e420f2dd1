"""Secrets backends of companies: what is entered, what is never shown, and what reaches Airflow."""

import json

import pytest
from django.urls import reverse

from apps.audit.models import AuditEvent
from apps.core.errors import Invalid
from apps.environment.delivery.effective import values_of
from apps.environment.objects.models import EnvironmentObject
from apps.environment.objects.services import ObjectData, override_object, update_object
from tests.core.pages import check_page
from tests.environment.examples import make_object

pytestmark = pytest.mark.django_db
URL = "https://vault.example.org:8200"
VAULT = {"type": "vault", "extra": {"url": URL, "token": "s.canary", "kv_engine_version": "2"}}
KEY = json.dumps({"type": "service_account", "private_key": "canary"})


def make_backend(place, actor, value=None, name="vault", **fields):
    return make_object(place, actor, "backend", name, value=value or VAULT, **fields)


def backends(deployment):
    return json.loads(values_of(deployment).document or "{}").get("backends")


def test_alice_adds_a_backend_by_the_form_of_its_type(workspace, deployment, alice, client_of):
    client = client_of(alice)
    url = reverse("environment:workspace_new_object", args=["warehouse", "backend"])
    choose = client.get(
        reverse("environment:workspace_types", args=["warehouse"]) + "?kind=backend"
    )
    form = client.get(f"{url}?type=vault").content.decode()

    posted = {"name": "company", "extra-url": URL, "extra-token": "s.canary", "links": "all"}
    response = client.post(f"{url}?type=vault", posted)

    check_page(choose.content.decode())
    assert "Azure Key Vault" in choose.content.decode()
    check_page(form)
    assert "apache-airflow-providers-hashicorp" in form
    assert response.status_code == 302, response.content
    found = EnvironmentObject.objects.get()
    assert (found.plain["extra"], found.secret_fields) == ({"url": URL}, ["extra.token"])
    assert backends(deployment) == [{"type": "vault", "options": {"url": URL, "token": "s.canary"}}]
    listed = client.get(reverse("environment:workspace", args=["warehouse"])).content.decode()
    shown = client.get(reverse("environment:workspace_object", args=["warehouse", found.pk]))
    assert "Secrets backend, vault" in listed
    assert "canary" not in listed + shown.content.decode()
    assert "canary" not in str(list(AuditEvent.objects.values_list("changes", flat=True)))


@pytest.mark.parametrize(
    ("extra", "field", "message"),
    [
        ({}, "extra-url", "Address is missing"),
        ({"url": "file:///etc/passwd"}, "extra-url", "begins with https"),
        ({"url": "https://me:pw@vault.example.org"}, "extra-url", "begins with https"),
        ({"url": "https://vault.example.org:x"}, "extra-url", "begins with https"),
        ({"url": URL, "auth_type": "kubernetes"}, "extra-auth_type", "that the form offers"),
        ({"url": URL, "token": 5}, "extra-token", "enter a text"),
        ({"url": URL, "token_path": "/etc/shadow"}, "", "no option 'token_path'"),
    ],
)
def test_what_no_backend_may_be_given_is_refused(workspace, alice, extra, field, message):
    with pytest.raises(Invalid, match=message) as refused:
        make_backend(workspace, alice, {"type": "vault", "extra": extra})

    assert refused.value.field == field


def test_only_listed_types_and_whole_keys_are_taken(workspace, alice, client_of):
    with pytest.raises(Invalid, match="Choose a type"):
        make_backend(workspace, alice, {"type": "os.system", "extra": {}})
    with pytest.raises(Invalid, match="whole JSON file"):
        make_backend(
            workspace, alice, {"type": "gcp-secret-manager", "extra": {"gcp_keyfile_dict": "[1]"}}
        )
    url = reverse("environment:workspace_new_object", args=["warehouse", "backend"])
    assert client_of(alice).get(f"{url}?type=evil").status_code == 404


def test_what_is_no_text_for_its_class_is_read(workspace, deployment, alice):
    make_backend(workspace, alice)
    google = {"type": "gcp-secret-manager", "extra": {"gcp_keyfile_dict": KEY}}
    make_backend(workspace, alice, google, name="a-first")

    assert backends(deployment) == [
        {"type": "gcp-secret-manager", "options": {"gcp_keyfile_dict": json.loads(KEY)}},
        {"type": "vault", "options": VAULT["extra"] | {"kv_engine_version": 2}},
    ]


def test_a_stored_secret_does_not_follow_to_another_address(workspace, deployment, alice):
    found = make_backend(workspace, alice)

    def change(**extra):
        value = {"type": "vault", "extra": extra}
        data = ObjectData(name="vault", value=value, links_all=True)
        update_object(actor=alice, found=found, data=data)
        return backends(deployment)[0]["options"]

    kept = change(url=URL, mount_point="kv")
    moved = change(url="https://evil.example.org")

    assert kept["token"] == "s.canary"
    assert moved == {"url": "https://evil.example.org"}


def test_it_differs_in_no_deployment(workspace, deployment, alice, client_of):
    found = make_backend(workspace, alice)
    value = {"type": "vault", "extra": {"url": "https://evil.example.org"}}

    with pytest.raises(Invalid, match="the same wherever"):
        override_object(actor=alice, found=found, deployment=deployment, value=value)

    address = reverse("environment:override", args=["warehouse", found.pk, deployment.ref])
    assert client_of(alice).get(address).status_code == 404
