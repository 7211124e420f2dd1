"""A Deployment goes to another workspace."""

import threading

import pytest
from django.db import connection, transaction

from apps.accounts.models import User
from apps.alerts.rules.models import Rule
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict, Invalid
from apps.deployments.editing.drafts import confirm_draft, save_draft, store_secret
from apps.deployments.editing.services import update_config
from apps.deployments.layering.services import update_layer
from apps.deployments.models import Deployment, SecretValue
from apps.deployments.reconciling.cluster_settings import begin_some
from apps.deployments.reconciling.compiler import compile_spec
from apps.deploys.deliveries import enforcement
from apps.deploys.git.services import connect_repository, set_source
from apps.environment.delivery.effective import effective_objects
from apps.environment.objects.models import EnvironmentLink
from apps.environment.objects.services import override_object
from apps.moving.transferring.queries import preview_transfer
from apps.moving.transferring.services import transfer_deployment
from apps.organizations.models import Workspace
from apps.organizations.tokens.services import create_token
from tests.conftest import make_user, put_role, role
from tests.core.pages import check_page
from tests.deployments.conftest import drive
from tests.deployments.pages import text_of
from tests.deployments.test_reconciler import WIDER
from tests.environment.examples import make_object
from tests.moving.test_copying import SECRET
from tests.moving.test_copying import _storage as _storage
from tests.moving.test_copying import source as source

PROXY = "http://proxy.example.org:3128"


def address(deployment, workspace):
    return f"/d/{deployment.ref}/transfer/?workspace={workspace.slug}"


def move(browser, deployment, workspace):
    return browser.post(f"/d/{deployment.ref}/transfer/", {"workspace": workspace.slug})


def test_what_runs_stays_and_secrets_drafts_and_own_objects_go_along(
    browser, source, alice, workspace, other, plane
):
    make_object(source, alice, name="own")
    secret = store_secret(workspace=workspace, value="typed", actor=alice)
    before = source.wanted.configuration
    variables = (
        *before.variables,
        before.variables[0].__class__(key="B", secret_id=str(secret.pk)),
    )
    draft = save_draft(
        actor=alice,
        workspace=workspace,
        cluster=source.cluster,
        configuration=before.__class__(**{**before.__dict__, "variables": variables}),
        deployment=source,
        base=source.wanted,
    )
    spec = compile_spec(deployment=source, revision=source.wanted)

    response = move(browser, source, other)

    assert response.url == f"/d/{source.ref}/"
    assert "etl-prod is in Finance now." in text_of(browser.get(response.url))
    row = drive(source)
    assert (row.workspace, row.wanted, row.restarts) == (other, source.wanted, 0)
    assert compile_spec(deployment=row, revision=row.wanted) == spec
    assert {one.source.name for one in effective_objects(row)} == {"own"}
    draft.refresh_from_db()
    assert draft.workspace == other
    confirm_draft(actor=alice, draft=draft)
    row = drive(row)
    running = {one.key: one.value for one in plane.store.airflows[row.ref].wanted.variables}
    assert (running["TOKEN"], running["B"], row.wanted.state) == (SECRET, "typed", "applied")
    assert not SecretValue.objects.exclude(workspace=other).exists()
    event = AuditEvent.objects.get(action="deployment.transferred")
    assert event.changes == {"workspace": ["Warehouse", "Finance"]}


def test_the_page_says_who_loses_and_who_gains_access(
    browser, deployment, alice, bob, other, organization
):
    nora, vera, dora = (make_user(name) for name in ("Nora", "Vera", "Dora"))
    for person in (nora, vera, dora):
        put_role(person, role("organization", "member"), organization)
    put_role(nora, role("workspace", "operator"), other)
    put_role(vera, role("workspace", "operator"), deployment.workspace)
    put_role(vera, role("workspace", "member"), other)
    put_role(dora, role("deployment", "admin"), deployment)
    create_token(
        actor=alice, on=deployment, name="CI", role=role("deployment", "admin"), expires_at=None
    )

    page = browser.get(address(deployment, other))

    check_page(page.content.decode())
    access = page.context["preview"].access
    assert (access.lost, access.gained) == ((bob, dora), (nora,))
    (changed,) = access.changed
    assert (changed.person, changed.gained) == (vera, ())
    assert "Deploy code and roll back" in changed.lost
    assert "Its 1 API token is revoked: CI." in text_of(page)

    move(browser, deployment, other)

    seen = {
        str(one)
        for one in User.objects.filter(kind="person")
        if User.objects.get(pk=one.pk).has_perm(
            "deployment.view", Deployment.objects.get(pk=deployment.pk)
        )
    }
    assert seen == {"Alice", "Nora", "Vera"}
    assert not deployment.grants.exists()
    # Other roles given back later count for the new place alone.
    assert Deployment.objects.visible_to(bob).count() == 0


def test_what_the_workspaces_share_is_named_and_no_longer_reaches_it(
    browser, running, alice, workspace, other
):
    shared = make_object(workspace, alice, name="lost_db")
    make_object(workspace, alice, "variable", "both")
    make_object(other, alice, "variable", "both", value={"value": "theirs"})
    make_object(other, alice, "environment", "REGION")
    make_object(other, alice, name="unlinked", links_all=False)
    override_object(
        actor=alice, found=shared, deployment=running, value={"type": "postgres", "host": "h"}
    )

    page = browser.get(address(running, other))

    objects = page.context["preview"].objects
    names = [
        [one.name for one in part] for part in (objects.lost, objects.replaced, objects.gained)
    ]
    assert names == [["lost_db"], ["both"], ["REGION"]]
    assert "Components restart" in text_of(page)
    move(browser, running, other)
    running.refresh_from_db()
    assert {one.source.name for one in effective_objects(running)} == {"both", "REGION"}
    assert not EnvironmentLink.objects.filter(deployment=running).exists()
    # It can come back.
    move(browser, drive(running), workspace)
    running.refresh_from_db()
    assert {one.source.name for one in effective_objects(running)} == {"lost_db", "both"}


def test_settings_of_the_other_workspace_are_applied_and_said_before(
    browser, running, alice, other, plane
):
    update_layer(actor=alice, place=other, values={"http_proxy": PROXY}, locked=())
    enforcement.set_default(actor=alice, workspace=other, is_on=True)

    page = browser.get(address(running, other))

    assert "Only API tokens and git may deploy to it." in text_of(page)
    assert f"not set becomes {PROXY}" in text_of(page)
    assert "Components restart" in text_of(page)
    move(browser, running, other)
    assert begin_some() == 1
    drive(running)
    assert plane.store.airflows[running.ref].wanted.settings.http_proxy == PROXY


def test_rules_about_it_alone_end_and_are_named(browser, running, alice, workspace, other):
    common = {"organization": workspace.organization, "kind": "incident"}
    Rule.objects.create(**common, workspace=workspace, deployment=running, name="Mine alone")
    Rule.objects.create(**common, workspace=workspace, name="For all")
    Rule.objects.create(**common, deployment=running, name="Of the organization")

    page = browser.get(address(running, other))
    move(browser, running, other)

    assert "for it alone are deleted: Mine alone." in text_of(page)
    assert {one.name for one in Rule.objects.all()} == {"For all", "Of the organization"}


def test_what_stands_in_the_way_is_said_with_what_to_do(
    browser, running, make_deployment, alice, workspace, other, cluster
):
    repository = connect_repository(
        actor=alice, workspace=workspace, url="https://github.com/acme/dags.git", token="t0ken"
    )
    set_source(actor=alice, deployment=running, repository=repository, branch="main", path="")
    make_deployment(name="ETL-prod", workspace=other)
    cluster.is_for_all_workspaces = False
    cluster.save()
    update_config(actor=alice, deployment=running, configuration=WIDER, base_revision_number=1)

    page = browser.get(address(running, other))
    response = move(browser, running, other)

    check_page(page.content.decode())
    for words in (
        "A change of etl-prod is being applied. Transfer it when that has ended.",
        "Finance may not use the cluster This machine, on which etl-prod runs and stays.",
        "Finance already has a Deployment called etl-prod. Rename one of them first.",
        "follows the branch main of github.com/acme/dags, which Warehouse has connected.",
    ):
        assert words in text_of(page)
    assert "Transfer to Finance" not in text_of(page)
    assert response.status_code == 409
    running.refresh_from_db()
    assert running.workspace == workspace


def test_it_takes_the_rights_in_both_workspaces(
    running, operator, bob, charlie, other, workspace, client_of
):
    url = f"/d/{running.ref}/transfer/"
    assert client_of(bob).get(url).status_code == 403
    assert client_of(charlie).get(url).status_code == 404
    put_role(operator, role("workspace", "author"), other)

    page = client_of(operator).get(url)

    assert "No other workspace to transfer to" in text_of(page)
    refused = move(client_of(operator), running, other)
    assert (refused.status_code, "Choose a workspace" in text_of(refused)) == (409, True)
    admin = make_user("Adam")
    put_role(admin, role("organization", "member"), workspace.organization)
    put_role(admin, role("deployment", "admin"), running)
    put_role(admin, role("workspace", "accessor"), workspace)
    put_role(admin, role("workspace", "operator"), other)
    # An admin of the Deployment alone does not take it away from its workspace.
    assert move(client_of(admin), running, other).status_code == 409
    running.refresh_from_db()
    assert running.workspace == workspace


def test_those_who_see_no_members_are_told_how_many(deployment, bob, other, operator, alice):
    put_role(operator, role("workspace", "operator"), other)

    found = preview_transfer(user=operator, deployment=deployment, workspace=other)

    assert found.shows_people
    assert bob in found.access.lost
    blind = preview_transfer(user=bob, deployment=deployment, workspace=other)
    assert not blind.shows_people
    assert not blind.shows_objects


@pytest.mark.django_db(transaction=True)
def test_a_transfer_waits_for_a_change_that_is_saved_meanwhile_and_is_refused(
    running, alice, other
):
    is_locked, goes_on = threading.Event(), threading.Event()

    def change():
        with transaction.atomic():
            update_config(
                actor=alice, deployment=running, configuration=WIDER, base_revision_number=1
            )
            is_locked.set()
            goes_on.wait(30)
        connection.close()

    thread = threading.Thread(target=change)
    thread.start()
    is_locked.wait(30)
    threading.Timer(0.5, goes_on.set).start()
    with pytest.raises(Conflict, match="is being applied"):
        transfer_deployment(actor=alice, deployment=running, workspace=other)
    thread.join()

    row = drive(running)
    assert (row.workspace.name, row.wanted.number, row.wanted.state) == ("Warehouse", 2, "applied")
    transfer_deployment(actor=alice, deployment=row, workspace=other)
    # Whoever still has the old page of its environment is told.
    with pytest.raises(Conflict, match="in another workspace by now"):
        make_object(row, alice)


def test_a_name_that_is_taken_at_the_last_moment_changes_nothing(
    running, alice, other, make_deployment, monkeypatch
):
    make_deployment(name="etl-prod", workspace=other)
    monkeypatch.setattr("apps.moving.transferring.services.refusals", lambda **_: [])

    with pytest.raises(Invalid) as refused:
        transfer_deployment(actor=alice, deployment=running, workspace=other)

    assert refused.value.field == "name"
    assert Workspace.objects.get(deployments=running).name == "Warehouse"


def test_the_quota_of_the_other_workspace_holds_for_one_that_would_come(
    browser, distant, remote, alice, other, organization
):
    coming = distant("coming")
    update_layer(
        actor=alice,
        place=other,
        values={"workspace_memory": "20Gi"},
        locked=(),
        may_apply_again=True,
    )

    page = browser.get(address(coming, other))
    refused = move(browser, coming, other)
    update_layer(actor=alice, place=other, values={"workspace_memory": "900Gi"}, locked=())
    moved = move(browser, coming, other)

    sentence = "The quota of Finance is 20 GiB. Its Deployments may request 0 GiB of it now"
    assert sentence in text_of(page)
    assert refused.status_code == 409
    assert moved.status_code == 302
    coming.refresh_from_db()
    assert coming.workspace == other
