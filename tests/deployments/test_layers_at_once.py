"""Two people edit settings that have layers at the same time: no one overwrites the other."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.core.errors import Conflict
from apps.deployments.configuration.schema import SettingValue
from apps.deployments.editing.revisions import InvalidConfiguration
from apps.deployments.editing.services import update_config
from apps.deployments.layering.services import update_layer
from apps.deployments.models import Deployment
from apps.layers.models import Layer
from apps.layers.queries import layer_of
from apps.organizations.models import Organization, Workspace
from tests.core.pages import check_page
from tests.deployments.conftest import FAR

pytestmark = pytest.mark.django_db
Make = Callable[..., Deployment]
PROXY = "http://proxy.test:3128"


@pytest.fixture
def address(workspace: Workspace) -> str:
    return reverse("deployments:workspace_settings", args=[workspace.slug])


def test_what_another_saved_meanwhile_is_shown_beside_what_was_typed(
    alice: User, workspace: Workspace, address: str, client_of: Callable[..., Client]
) -> None:
    browser = client_of(alice)
    opened = browser.get(address)
    assert f'name="base" value="{opened.context["base"]}"' in opened.content.decode()
    update_layer(actor=alice, place=workspace, values={"http_proxy": PROXY}, locked=["http_proxy"])

    refused = browser.post(address, {"base": opened.context["base"], "triggerer_replicas": "2"})

    text = refused.content.decode()
    check_page(text)
    assert refused.status_code == 409
    assert "changed while you edited them" in text
    assert refused.context["differing"] == [
        ("Triggerer replicas", "inherited", "2"),
        ("HTTP proxy", f"{PROXY}, locked", "inherited"),
    ]
    row = layer_of(workspace)
    assert row
    assert row.values == {"http_proxy": PROXY}
    # Whoever has seen it decides.
    both = {"http_proxy": PROXY, "lock_http_proxy": "on", "triggerer_replicas": "2"}
    saved = browser.post(address, {"base": refused.context["base"], **both})
    assert saved.status_code == 302
    row.refresh_from_db()
    assert row.values == {"http_proxy": PROXY, "triggerer_replicas": "2"}
    assert row.locked == ["http_proxy"]


def test_the_same_change_of_two_people_is_no_conflict(alice: User, workspace: Workspace) -> None:
    before = Layer().version
    for _ in range(2):
        update_layer(
            actor=alice, place=workspace, values={"http_proxy": PROXY}, locked=(), base=before
        )

    with pytest.raises(Conflict, match="changed while you edited"):
        update_layer(actor=alice, place=workspace, values={}, locked=(), base=before)


def test_what_is_locked_above_while_a_layer_is_edited_is_told_and_not_dropped_unseen(
    alice: User,
    organization: Organization,
    workspace: Workspace,
    address: str,
    client_of: Callable[..., Client],
) -> None:
    browser = client_of(alice)
    typed = {
        "base": browser.get(address).context["base"],
        "http_proxy": "http://mine.test:3128",
        "scheduler_size": "own",
        "scheduler_size_own": "3 cpu, 6Gi",
        "triggerer_replicas": "2",
    }
    update_layer(
        actor=alice,
        place=organization,
        values={"http_proxy": PROXY},
        locked=["http_proxy", "scheduler_size"],
    )

    told = browser.post(address, typed)

    text = told.content.decode()
    check_page(text)
    assert told.status_code == 422
    locked = f"was locked by the organization {organization} while you edited"
    assert f"HTTP proxy {locked}: “http://mine.test:3128” is left out" in text
    assert f"Scheduler size {locked}: “3 CPU, 6Gi” is left out" in text
    assert layer_of(workspace) is None
    # The form has no fields for them any more.
    again = {"base": told.context["base"], "triggerer_replicas": "2"}
    assert browser.post(address, again).status_code == 302
    row = layer_of(workspace)
    assert row
    assert row.values == {"triggerer_replicas": "2"}


def test_what_is_locked_while_a_deployment_is_edited_is_told_at_its_form(
    distant: Make,
    alice: User,
    workspace: Workspace,
    client_of: Callable[..., Client],
) -> None:
    deployment, browser = distant(), client_of(alice)
    form = reverse("deployments:configure", args=[deployment.ref])
    opened = browser.get(form)
    data = {name: text for name, text in opened.context["editor"].settings.data.items() if text}
    update_layer(actor=alice, place=workspace, values={}, locked=["scheduler_size"])

    typed = data | {"settings-scheduler_size": "large", "settings-scheduler_replicas": "2"}
    told = browser.post(form, typed)
    went_on = browser.post(form, data | {"settings-scheduler_replicas": "2"})

    assert told.status_code == 422
    sentence = "Scheduler size was locked by the workspace Warehouse while you edited: “large”"
    assert sentence in told.content.decode()
    check_page(told.content.decode())
    assert went_on.status_code == 302


@pytest.mark.django_db(transaction=True)
def test_an_edit_waits_for_a_change_above_and_is_judged_by_it(
    distant: Make, alice: User, workspace: Workspace
) -> None:
    deployment, outcomes = distant(), []
    size = SettingValue(name="scheduler_size", value="large")

    def edit() -> None:
        try:
            update_config(
                actor=alice,
                deployment=deployment,
                configuration=replace(FAR, settings=(size,)),
                base_revision_number=1,
            )
            outcomes.append("saved")
        except InvalidConfiguration as error:
            outcomes.append(error.message)
        finally:
            connection.close()

    editing = threading.Thread(target=edit)
    with transaction.atomic():
        update_layer(actor=alice, place=workspace, values={}, locked=["scheduler_size"])
        editing.start()
        editing.join(1)
        assert outcomes == []
    editing.join(20)

    (said,) = outcomes
    assert "locked by the workspace Warehouse" in said
