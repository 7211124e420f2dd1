"""What takes the right to deploy code, although the right to edit a Deployment leads there."""

import re
from dataclasses import replace
from typing import Any

import pytest
from django.urls import reverse

from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.core.errors import Invalid
from apps.deployments.configuration.schema import Configuration, OwnImage, SettingValue
from apps.deployments.editing.code_rights import CodeRightMissing
from apps.deployments.editing.services import (
    create_deployment,
    deploy_code,
    restore_revision,
    update_config,
)
from apps.deployments.layering.services import update_layer
from apps.deployments.models import Deployment, Operation, Revision
from apps.deploys.deliveries.enforcement import DeployedByAutomation, set_for_deployment
from apps.layers.models import Layer
from apps.moving.copying.services import Parts, copy_deployment
from apps.moving.transferring.services import transfer_deployment
from apps.organizations.models import Organization, Workspace
from tests.conftest import custom_role, make_user, put_role, role
from tests.core.pages import check_page
from tests.deployments.conftest import FAR
from tests.kubernetes.certificates import Authority

pytestmark = pytest.mark.django_db

IMAGE = OwnImage(
    name="r.example.org/team/etl:1", digest=f"sha256:{'4b' * 32}", airflow_version="3.3.2"
)
OTHER = f"sha256:{'5c' * 32}"
SEES = ("workspace.view", "deployment.view")
EDITS = (*SEES, "deployment.update", "workspace.deployments.create", "workspace.update")
DELIVERS = ("deployment.deploys.view", "deployment.deploys.create")


@pytest.fixture
def deployment(remote: Cluster, make_deployment: Any) -> Deployment:
    made: Deployment = make_deployment(cluster=remote, config=FAR.to_json())
    return made


@pytest.fixture
def editor(alice: User, organization: Organization, workspace: Workspace) -> User:
    """Edits Deployments, their settings and those of the workspace, and may not deploy code."""
    editor = make_user("Edith")
    made = custom_role("Editor", EDITS, organization=organization, actor=alice, scope="workspace")
    put_role(editor, made, workspace)
    return editor


def with_image(image: OwnImage | None = IMAGE) -> Configuration:
    return replace(FAR, image=image)


def with_bundle(bundle: str) -> Configuration:
    return replace(FAR, settings=(SettingValue(name="ca_bundle", value=bundle),))


def edit(actor: User, deployment: Deployment, configuration: Configuration) -> Operation:
    deployment.refresh_from_db()
    assert deployment.wanted is not None
    return update_config(
        actor=actor,
        deployment=deployment,
        configuration=configuration,
        base_revision_number=deployment.wanted.number,
    )


def test_an_image_is_code(deployment: Deployment, editor: User, alice: User) -> None:
    with pytest.raises(CodeRightMissing, match="An image is code"):
        edit(editor, deployment, with_image())

    edit(alice, deployment, with_image())
    # What is there already stays with edits of others, and may be taken away.
    edit(editor, deployment, replace(with_image(), description="Nightly"))
    with pytest.raises(CodeRightMissing):
        edit(editor, deployment, with_image(replace(IMAGE, digest=OTHER)))
    edit(editor, deployment, FAR)


def test_a_new_deployment_with_an_image_is_code_as_well(
    workspace: Workspace, remote: Cluster, editor: User
) -> None:
    where = {"actor": editor, "workspace": workspace, "cluster": remote}

    with pytest.raises(CodeRightMissing):
        create_deployment(**where, name="etl", configuration=with_image())
    assert not Deployment.objects.exists()

    create_deployment(**where, name="etl", configuration=FAR)


def test_whom_tasks_trust_is_for_those_who_write_them(
    deployment: Deployment, workspace: Workspace, editor: User, alice: User
) -> None:
    bundle = Authority("Edith's own").certificate

    with pytest.raises(CodeRightMissing, match="Which CAs Airflow trusts"):
        edit(editor, deployment, with_bundle(bundle))
    with pytest.raises(Invalid, match="who may deploy code") as refused:
        update_layer(actor=editor, place=workspace, values={"ca_bundle": bundle}, locked=())
    assert refused.value.field == "ca_bundle"
    # What is no matter of trust stays hers.
    size = {"scheduler_replicas": "2"}
    update_layer(actor=editor, place=workspace, values=size, locked=(), may_apply_again=True)

    edit(alice, deployment, with_bundle(bundle))
    edit(editor, deployment, replace(with_bundle(bundle), description="Nightly"))


def test_going_back_to_other_code_takes_the_right_to_deploy_it(
    deployment: Deployment, editor: User, alice: User
) -> None:
    first = edit(alice, deployment, replace(FAR, description="First")).revision
    edit(editor, deployment, FAR)
    restored = restore_revision(actor=editor, deployment=deployment, revision=first)
    assert restored.revision.configuration.description == "First"
    deploy_code(actor=alice, deployment=deployment, digest="ab" * 32, summary="Deploy")

    with pytest.raises(CodeRightMissing, match="Revision 2 has other code, another image"):
        restore_revision(actor=editor, deployment=deployment, revision=first)

    assert Revision.objects.filter(deployment=deployment).latest("number").code_digest == "ab" * 32
    restore_revision(actor=alice, deployment=deployment, revision=first)


def test_where_code_comes_from_pipelines_alone_people_choose_no_image(
    deployment: Deployment, editor: User, alice: User, organization: Organization
) -> None:
    set_for_deployment(actor=alice, deployment=deployment, is_on=True)

    with pytest.raises(DeployedByAutomation, match="Only API tokens and git"):
        edit(alice, deployment, with_image())

    edit(alice, deployment, replace(FAR, description="Nightly"))


def test_the_right_to_deploy_is_enough_beside_that_to_edit(
    deployment: Deployment, workspace: Workspace, alice: User, organization: Organization
) -> None:
    dan = make_user("Dan")
    made = custom_role(
        "Both", (*EDITS, *DELIVERS), organization=organization, actor=alice, scope="workspace"
    )
    put_role(dan, made, workspace)

    edit(dan, deployment, with_image())
    bundle = Authority("Corp Root CA").certificate
    update_layer(
        actor=dan, place=workspace, values={"ca_bundle": bundle}, locked=(), may_apply_again=True
    )


def test_no_secret_comes_to_code_of_a_person_who_may_not_deploy_where_it_is(
    deployment: Deployment, organization: Organization, alice: User
) -> None:
    mine = Workspace.objects.create(organization=organization, name="Mine", slug="mine")
    mallory = make_user("Mallory")
    held = (*EDITS, "deployment.delete")
    made = custom_role("Mover", held, organization=organization, actor=alice, scope="workspace")
    put_role(mallory, made, deployment.workspace)
    put_role(mallory, role("workspace", "owner"), mine)
    copy = {"actor": mallory, "source": deployment, "workspace": mine, "name": "copy"}

    with pytest.raises(CodeRightMissing, match="may deploy code in Mine"):
        transfer_deployment(actor=mallory, deployment=deployment, workspace=mine)
    for parts in (Parts(code=False), Parts(code=False, variables=False)):
        with pytest.raises(CodeRightMissing, match="may deploy code in Mine"):
            copy_deployment(**copy, parts=parts)

    deployment.refresh_from_db()
    assert deployment.workspace != mine
    copy_deployment(**copy, parts=Parts(code=False, variables=False, objects=False))


def readonly(page: str, field: str) -> bool:
    found = re.search(rf'<(?:input|textarea)[^>]*name="{field}"[^>]*>', page)
    assert found is not None
    return "readonly" in found[0] or "disabled" in found[0]


def test_pages_say_beforehand_what_takes_the_right_to_deploy_code(
    deployment: Deployment, workspace: Workspace, editor: User, alice: User, client_of: Any
) -> None:
    pages = [f"/d/{deployment.ref}/configure/", f"/w/{workspace.slug}/deployments/new/"]
    for page in pages:
        hers = client_of(editor).get(page).content.decode()
        check_page(hers)
        assert "An image is code" in hers
        assert "Which CAs Airflow trusts is changed" in hers
        assert readonly(hers, "image")
        assert readonly(hers, "settings-ca_bundle")
        assert "Pull secret and tag" not in hers
        others = client_of(alice).get(page).content.decode()
        assert "An image is code" not in others
        assert not readonly(others, "image")
        assert not readonly(others, "settings-ca_bundle")

    # What is there she may take away.
    bundle = Authority("Nordhavn").certificate
    edit(alice, deployment, replace(with_bundle(bundle), image=IMAGE))
    hers = client_of(editor).get(pages[0]).content.decode()
    assert "An image is code" in hers
    assert not readonly(hers, "image")
    assert not readonly(hers, "settings-ca_bundle")


def test_where_only_pipelines_deploy_the_page_says_that_people_choose_no_image(
    deployment: Deployment, alice: User, client_of: Any
) -> None:
    set_for_deployment(actor=alice, deployment=deployment, is_on=True)

    page = client_of(alice).get(f"/d/{deployment.ref}/configure/").content.decode()

    assert "Only API tokens and git" in page
    assert readonly(page, "image")
    assert not readonly(page, "settings-ca_bundle")


def test_the_settings_of_a_workspace_say_who_changes_whom_tasks_trust(
    workspace: Workspace, editor: User, alice: User, client_of: Any
) -> None:
    bundle = Authority("Nordhavn").certificate
    update_layer(actor=alice, place=workspace, values={"ca_bundle": bundle}, locked=())
    url = reverse("deployments:workspace_settings", args=[workspace.slug])

    page = client_of(editor).get(url).content.decode()
    answer = client_of(editor).post(url, {"ca_bundle": "", "scheduler_replicas": "2"})

    check_page(page)
    assert "changed by those who may deploy code" in page
    assert readonly(page, "ca_bundle")
    assert not readonly(client_of(alice).get(url).content.decode(), "ca_bundle")
    # What a form without the field sends is not taken for a wish to trust no one.
    assert answer.status_code == 302
    row = Layer.objects.get(workspace=workspace)
    assert row.values["ca_bundle"].strip() == bundle.strip()
    assert row.values["scheduler_replicas"] == "2"


def test_hints_show_what_people_typed_above_as_text(
    organization: Organization, workspace: Workspace, alice: User, client_of: Any
) -> None:
    proxy = "http://proxy.example.org/<b>bold</b>"
    update_layer(actor=alice, place=organization, values={"http_proxy": proxy}, locked=())
    url = reverse("deployments:workspace_settings", args=[workspace.slug])

    page = client_of(alice).get(url).content.decode()

    assert "<b>bold</b>" not in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
