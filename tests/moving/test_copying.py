"""A new Deployment that begins as another one is."""

from dataclasses import replace

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from apps.audit.models import AuditEvent
from apps.clusters.models import Cluster
from apps.core.errors import Refused
from apps.deployments.configuration.schema import Variable
from apps.deployments.editing.drafts import store_secret
from apps.deployments.models import Deployment, Revision, SecretValue
from apps.deployments.reconciling.compiler import lock_name
from apps.deployments.secrets.sealed import open_secret_value
from apps.deploys.deliveries import enforcement
from apps.deploys.models import Deploy
from apps.environment.delivery.effective import effective_objects, reaching, values_of
from apps.environment.objects.services import override_object
from apps.moving.copying.services import Parts, copy_deployment
from apps.package_indexes.models import PackageIndex
from apps.package_indexes.queries import indexes_of, package_indexes
from apps.package_indexes.services import IndexData, add_index
from tests.conftest import put_role, role
from tests.core.pages import check_page
from tests.deployments.conftest import CONFIGURATION, drive
from tests.deployments.pages import text_of
from tests.deploys.test_promotions import _storage as _storage
from tests.deploys.test_promotions import upload
from tests.environment.examples import make_object

SECRET = "hush-hush-value"


@pytest.fixture
def source(create, alice, workspace):
    secret = store_secret(workspace=workspace, value=SECRET, actor=alice)
    variables = (
        Variable(key="TOKEN", secret_id=str(secret.pk)),
        Variable(key="REGION", value="north"),
    )
    found = create(configuration=replace(CONFIGURATION, variables=variables)).deployment
    drive(found)
    upload(alice, found)
    return drive(found)


def copied(response):
    assert response.status_code == 302, text_of(response)
    return Deployment.objects.select_related("wanted", "workspace").latest("pk")


def test_a_copy_has_the_settings_the_code_the_secrets_and_what_is_linked(
    browser, source, alice, workspace, plane
):
    shared = make_object(workspace, alice, links_all=False, linked=frozenset({source.pk}))
    hidden = make_object(workspace, alice, name="hidden", linked=frozenset())
    override_object(
        actor=alice, found=shared, deployment=source, value={"password": "over", "type": "postgres"}
    )
    make_object(source, alice, "variable", "own", value={"value": SECRET}, is_secret=True)
    url = f"/d/{source.ref}/copy/"
    shown = browser.get(url)
    check_page(shown.content.decode())
    assert SECRET not in shown.content.decode()
    assert "TOKEN" in text_of(shown)

    form = {"name": "etl-copy", "workspace": workspace.pk, "code": "on", "variables": "on"}
    made = copied(browser.post(url, {**form, "objects": "on"}))

    before, after = source.wanted, made.wanted
    assert (after.code_digest, after.packages_digest) == (
        before.code_digest,
        before.packages_digest,
    )
    token, region = after.configuration.variables
    assert region == before.configuration.variables[1]
    assert token.secret_id != before.configuration.variables[0].secret_id
    kept = SecretValue.objects.get(pk=token.secret_id)
    assert (kept.deployment, open_secret_value(kept)) == (made, SECRET)
    deploy = Deploy.objects.get(deployment=made)
    assert deploy.promoted_from.deployment == source
    assert values_of(made) == values_of(source)
    assert hidden not in reaching(made)
    assert made.airflow_secrets != source.airflow_secrets
    row = drive(made)
    running = plane.store.airflows[row.ref].wanted
    assert {one.key: one.value for one in running.variables}["TOKEN"] == SECRET


def test_its_package_indexes_go_along_sealed_once_more(source, alice, workspace, other):
    data = IndexData(
        name="Ours", url="https://packages.test/simple", username="u", password=SECRET, is_only=True
    )
    added = add_index(actor=alice, place=source, data=data)
    add_index(actor=alice, place=workspace, data=replace(data, name="Of all"))

    made = copy_deployment(
        actor=alice, source=source, workspace=other, name="copy", parts=Parts()
    ).deployment

    [copy] = package_indexes(made)
    [own] = [one for one in package_indexes(source) if one.name == "Ours"]
    assert (copy.name, copy.url, copy.user, copy.password) == ("Ours", own.url, "u", SECRET)
    assert copy.is_only
    [row] = indexes_of(made)
    assert (row.key != added.key, bytes(row.secret) != bytes(added.secret)) == (True, True)
    assert SECRET not in str(AuditEvent.objects.values_list("changes"))
    PackageIndex.objects.filter(pk=added.pk).update(secret=b"broken")
    with pytest.raises(Refused, match="cannot be decrypted"):
        copy_deployment(actor=alice, source=source, workspace=other, name="two", parts=Parts())


def test_a_copy_takes_only_what_is_wanted(source, alice, workspace):
    make_object(source, alice)
    add_index(actor=alice, place=source, data=IndexData(name="X", url="https://x.test/simple"))

    parts = Parts(code=False, variables=False, objects=False)
    made = copy_deployment(
        actor=alice, source=source, workspace=workspace, name="bare", parts=parts
    ).deployment

    assert (made.wanted.code_digest, made.wanted.configuration.variables) == ("", ())
    assert made.wanted.configuration.queues == source.wanted.configuration.queues
    assert effective_objects(made) == []
    assert not indexes_of(made).exists()


def test_in_another_workspace_the_objects_of_that_one_count(source, alice, workspace, other):
    make_object(workspace, alice, name="here")
    make_object(other, alice, name="there")
    make_object(source, alice, name="own")

    made = copy_deployment(
        actor=alice, source=source, workspace=other, name="etl-prod", parts=Parts()
    ).deployment

    assert {one.source.name for one in effective_objects(made)} == {"there", "own"}
    assert SecretValue.objects.get(deployment=made).workspace == other


def test_a_bad_name_is_said_at_its_field_and_leaves_nothing(browser, source, workspace):
    secrets = SecretValue.objects.count()
    url = f"/d/{source.ref}/copy/"

    response = browser.post(url, {"name": "ETL-prod", "workspace": workspace.pk, "code": "on"})

    assert response.status_code == 422
    assert "name" in response.context["form"].errors
    assert Deployment.objects.count() == 1
    assert SecretValue.objects.count() == secrets
    # A workspace that is not offered is none.
    elsewhere = browser.post(url, {"name": "new", "workspace": 10**6})
    assert "workspace" in elsewhere.context["form"].errors


def test_it_takes_the_rights_on_both_ends(source, operator, bob, charlie, other, client_of):
    url = f"/d/{source.ref}/copy/"
    assert client_of(bob).get(url).status_code == 403
    assert client_of(charlie).get(url).status_code == 404
    put_role(operator, role("workspace", "member"), other)

    form = {"name": "mine", "workspace": other.pk}
    response = client_of(operator).post(url, form)

    assert "workspace" in response.context["form"].errors
    assert [one.pk for one in response.context["form"].fields["workspace"].queryset] == [
        source.workspace_id
    ]
    assert Deployment.objects.count() == 1


def test_a_copy_is_no_way_around_enforcement(source, alice, workspace, other):
    enforcement.set_default(actor=alice, workspace=other, is_on=True)

    with pytest.raises(Refused, match="CI/CD enforcement"):
        copy_deployment(actor=alice, source=source, workspace=other, name="x", parts=Parts())
    enforcement.set_for_deployment(actor=alice, deployment=source, is_on=True)
    made = copy_deployment(
        actor=alice, source=source, workspace=workspace, name="y", parts=Parts(code=False)
    ).deployment

    assert enforcement.is_enforced(made)
    assert Deployment.objects.count() == 2


@pytest.fixture
def elsewhere(source, remote):
    Revision.objects.filter(deployment=source).update(code_digest="", packages_digest="")
    Deploy.objects.all().delete()
    return remote


def test_a_copy_goes_to_another_cluster_with_what_that_one_offers(
    browser, source, elsewhere, workspace, other, alice
):
    url = f"/d/{source.ref}/copy/"
    form = {"name": "etl-eu", "workspace": workspace.pk, "cluster": elsewhere.pk}
    shown = browser.get(url)
    check_page(shown.content.decode())
    assert [text for _, text in shown.context["form"].fields["cluster"].choices] == [
        source.cluster.name,
        elsewhere.name,
    ]

    refused = browser.post(url, form)

    [message] = refused.context["form"].errors["cluster"]
    assert "There is no worker size" in message
    assert "Choose another cluster" in message
    assert Deployment.objects.count() == 1
    made = copied(browser.post(url, {**form, "fits": "on"}))
    assert made.cluster == elsewhere
    before, after = source.wanted.configuration, made.wanted.configuration
    assert [one.name for one in after.queues] == [one.name for one in before.queues]
    assert {one.size for one in after.queues} != {one.size for one in before.queues}
    # Back again: nodes that only a cluster has stay behind.
    back = copy_deployment(
        actor=alice,
        source=made,
        workspace=other,
        cluster=source.cluster,
        name="etl-home",
        parts=Parts(fits=True),
    ).deployment
    assert back.wanted.configuration.queues[0].node_selector == ()


def test_a_cluster_of_other_workspaces_is_no_choice_and_tells_nothing(
    browser, source, elsewhere, workspace, other
):
    elsewhere.is_for_all_workspaces = False
    elsewhere.save()
    url = f"/d/{source.ref}/copy/"
    form = {"name": "etl-eu", "workspace": workspace.pk, "cluster": elsewhere.pk}
    assert "cluster" not in browser.get(url).context["form"].fields
    elsewhere.workspaces.add(other)

    response = browser.post(url, form)

    [message] = response.context["form"].errors["cluster"]
    assert message == f"{workspace} cannot use this cluster. Choose another one."
    assert Deployment.objects.count() == 1


def test_code_whose_packages_are_on_the_other_cluster_alone_is_refused_before_anything_is_made(
    browser, source, remote, workspace
):
    default_storage.save(lock_name("d" * 64), ContentFile(b""))
    Deploy.objects.update(packages_digest="d" * 64)
    Revision.objects.filter(deployment=source).update(packages_digest="d" * 64)
    form = {"name": "x", "workspace": workspace.pk, "cluster": remote.pk}

    response = browser.post(f"/d/{source.ref}/copy/", {**form, "fits": "on", "code": "on"})

    assert "code needs packages that were installed for" in str(response.context["form"].errors)
    Cluster.objects.filter(pk=remote.pk).update(registry_repository="r.test/data/airflow")
    response = browser.post(f"/d/{source.ref}/copy/", {**form, "fits": "on", "code": "on"})
    assert "promote the code to it." in str(response.context["form"].errors)
    assert Deployment.objects.count() == 1
