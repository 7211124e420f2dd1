import pytest

from apps.audit.models import AuditEvent
from apps.core.errors import Refused
from apps.deployments.models import Deployment, Operation, Phase
from apps.deploys.models import Deploy
from apps.organizations.models import Organization, Workspace
from apps.portal.services import delete_workspace

PATH = "/w/warehouse/delete/"


def test_an_empty_workspace_is_deleted_by_its_name(alice, bob, workspace, client_of):
    response = client_of(alice).post(PATH, {"confirm": "Warehouse"})

    assert response.status_code == 302
    assert not Workspace.objects.filter(slug="warehouse").exists()
    assert Organization.objects.get(slug="nordhavn").grants.filter(user=bob).exists()
    event = AuditEvent.objects.get(action="workspace.deleted")
    assert (event.target_label, event.actor) == ("Warehouse", alice)


@pytest.mark.parametrize("typed", ["", "warehouse", "Other"])
def test_another_name_deletes_nothing(alice, workspace, client_of, typed):
    response = client_of(alice).post(PATH, {"confirm": typed})

    assert response.status_code == 422
    assert b"Type Warehouse to confirm" in response.content
    assert Workspace.objects.filter(pk=workspace.pk).exists()


@pytest.mark.parametrize(
    ("phase", "said"),
    [
        (Phase.ACTIVE, "still holds etl-prod"),
        (Phase.DELETING, "is not empty yet: etl-prod is being deleted. Repeat it soon."),
    ],
)
def test_one_that_holds_a_deployment_stays(
    alice, workspace, make_deployment, client_of, phase, said
):
    make_deployment(name="etl-prod", ref="etl-prod-7f3c", phase=phase)
    client = client_of(alice)

    assert b'href="/d/etl-prod-7f3c/"' in client.get(PATH).content
    assert client.post(PATH, {"confirm": "Warehouse"}).status_code == 422
    with pytest.raises(Refused, match=said):
        delete_workspace(actor=alice, workspace=workspace, typed_name="Warehouse")


def test_what_was_kept_of_deleted_deployments_goes_with_it(
    alice, workspace, make_deployment, client_of
):
    deployment = make_deployment(phase=Phase.DELETED)
    Operation.objects.create(
        deployment=deployment,
        number=1,
        kind=Operation.Kind.DELETE,
        title="Delete",
        state="succeeded",
        revision=deployment.wanted,
    )
    Deploy.objects.create(
        deployment=deployment,
        number=1,
        revision=deployment.wanted,
        digest="0" * 64,
        file_name="x.zip",
        size_bytes=2,
        n_files=0,
    )

    response = client_of(alice).post(PATH, {"confirm": "Warehouse"})

    assert response.status_code == 302
    assert not Deployment.objects.exists()
    assert not Workspace.objects.filter(pk=workspace.pk).exists()


def test_a_member_is_told_who_may_delete_it(alice, bob, workspace, client_of):
    client = client_of(bob)

    refusal = client.post(PATH, {"confirm": "Warehouse"})
    assert refusal.status_code == 403
    assert b"Workspace Owner" in refusal.content
    settings_page = client.get("/w/warehouse/settings/").content
    assert b"need-delete" in settings_page
    assert b"Delete Warehouse" not in settings_page


def test_an_outsider_finds_nothing(charlie, workspace, client_of):
    assert client_of(charlie).post(PATH, {"confirm": "Warehouse"}).status_code == 404
