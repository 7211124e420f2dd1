"""Deployments take the namespaces that a cluster names, one each, and give them back."""

from collections.abc import Callable

import pytest

from apps.accounts.models import User
from apps.clusters.connections.planes import config_for
from apps.clusters.forms.namespaces import NamespacesField
from apps.clusters.forms.settings.form import SettingsForm
from apps.clusters.models import Cluster
from apps.clusters.services import update_settings
from apps.core.errors import Invalid, Refused
from apps.deployments.editing.services import create_deployment
from apps.deployments.models import Deployment, Phase
from apps.organizations.models import Workspace
from tests.deployments.conftest import FAR

pytestmark = pytest.mark.django_db
Make = Callable[..., Deployment]


@pytest.fixture
def two(remote: Cluster) -> Cluster:
    remote.namespaces = "team-a\nteam-b"
    remote.save()
    return remote


def save(actor: User, cluster: Cluster, namespaces: str) -> None:
    cluster.refresh_from_db()
    stored = SettingsForm.stored(cluster) | {"namespaces": namespaces}
    update_settings(actor=actor, cluster=cluster, settings=stored, secrets={})


def test_each_takes_the_next_free_one_and_the_planes_learn_of_it(
    two: Cluster, distant: Make
) -> None:
    version = two.connection_version
    first, second = distant("first"), distant("second")

    two.refresh_from_db()
    assert (first.namespace, second.namespace) == ("team-a", "team-b")
    assert two.connection_version == version + 2, "every process makes a new plane"
    connection = config_for(two).connection
    assert connection.namespaces == ("team-a", "team-b")
    assert connection.home(first.ref) == "team-a"
    assert connection.scopes == ("team-a", "team-b")


def test_without_a_free_one_none_is_created_and_one_that_is_deleted_frees_its_own(
    two: Cluster, distant: Make, alice: User, workspace: Workspace
) -> None:
    first, _ = distant("first"), distant("second")
    new = {"actor": alice, "workspace": workspace, "cluster": two, "name": "third"}
    with pytest.raises(Invalid, match="Deployments have taken all 2 namespaces of eu-1"):
        create_deployment(**new, configuration=FAR)
    assert not Deployment.objects.filter(name="third").exists()

    Deployment.objects.filter(pk=first.pk).update(phase=Phase.DELETING)
    with pytest.raises(Invalid, match="Deployments have taken all"):
        create_deployment(**new, configuration=FAR)
    Deployment.objects.filter(pk=first.pk).update(phase=Phase.DELETED)

    made = create_deployment(**new, configuration=FAR).deployment
    assert made.namespace == "team-a"
    assert first.ref not in config_for(two).connection.homes


def test_a_taken_one_stays_on_the_list_and_naming_begins_and_ends_on_an_empty_cluster(
    remote: Cluster, distant: Make, alice: User
) -> None:
    save(alice, remote, "team-a\nteam-b")
    remote.refresh_from_db()
    deployment = distant()

    with pytest.raises(Refused, match="A Deployment has the namespace team-a of eu-1"):
        save(alice, remote, "team-b")
    with pytest.raises(Refused, match="While Deployments run here, this stays as it is"):
        save(alice, remote, "")
    save(alice, remote, "team-a\nteam-c")

    remote.refresh_from_db()
    assert remote.named_namespaces == ("team-a", "team-c")
    Deployment.objects.filter(pk=deployment.pk).update(phase=Phase.DELETED)
    save(alice, remote, "")
    assert distant("other").namespace == ""


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("Team A!", "“Team” is no name of a namespace"),
        ("kube-system", "kube-system is not for Deployments"),
        ("default", "default is not for Deployments"),
        ("astro-portal-access", "is not for Deployments"),
        ("x" * 64, "is no name of a namespace"),
    ],
)
def test_what_is_no_namespace_for_deployments_is_refused(typed: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        NamespacesField().clean(typed)


def test_names_have_one_form() -> None:
    assert NamespacesField().clean(" team-b \r\nteam-a\n\nteam-b") == "team-b\nteam-a"
