"""Package indexes: who may name them, what is kept of a password, and what a Deployment asks."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.core.errors import Invalid, PortalError
from apps.core.public_ids import public_id
from apps.deployments.models import Deployment, Phase, Revision
from apps.deployments.reconciling.compiler import compile_spec
from apps.deployments.secrets.sealed import new_airflow_secrets
from apps.organizations.models import Organization
from apps.organizations.tokens.personal import create_personal_token
from apps.package_indexes.cleanup import remove_of_deleted_deployments
from apps.package_indexes.models import PackageIndex
from apps.package_indexes.queries import Place, package_indexes
from apps.package_indexes.services import (
    MOST_INDEXES,
    IndexData,
    add_index,
    change_index,
)
from apps.package_indexes.services import (
    test_index as ask_index,
)
from tests.core.pages import check_page
from tests.dataplane.private_index import ALLOWED, PASSWORD, USER, PrivateIndex, private_index
from tests.kubernetes.certificates import with_private_key

WITH_KEY = with_private_key()
pytestmark = pytest.mark.django_db
ClientOf = Callable[[User], Client]
DATA = IndexData(
    name="acme", url="https://packages.example.org/simple", username="ci", password=PASSWORD
)
FIELDS = {"name": "acme", "url": DATA.url, "username": "ci", "password": PASSWORD}


def places_of(deployment: Deployment) -> tuple[Place, ...]:
    return (deployment.workspace.organization, deployment.workspace, deployment)


def address(place: Place, rest: str = "") -> str:
    start = {"organization": "o", "workspace": "w", "deployment": "d"}[type(place).access_scope]
    by = place.ref if isinstance(place, Deployment) else place.slug
    return f"/{start}/{by}/package-indexes/{rest}"


def test_an_index_is_named_changed_and_removed_and_its_password_is_never_shown(
    deployment: Deployment, alice: User, client_of: ClientOf
) -> None:
    client = client_of(alice)
    for place in places_of(deployment):
        empty = client.get(address(place))
        check_page(empty.content)
        assert "No package indexes here" in empty.content.decode()

        made = client.post(address(place, "new/"), FIELDS)
        index = PackageIndex.objects.get(**{type(place).access_scope: place})
        sealed = bytes(index.secret or b"")
        page = client.get(made["Location"])
        check_page(page.content)
        kept = client.post(made["Location"], {**FIELDS, "name": "acme 2", "password": ""})
        listed = client.get(address(place))
        check_page(listed.content)

        assert (made.status_code, kept.status_code) == (302, 302)
        assert PASSWORD not in page.content.decode() + listed.content.decode()
        assert PASSWORD.encode() not in sealed
        assert package_indexes(deployment)[0].password == PASSWORD
        assert "acme 2" in listed.content.decode()
        assert client.post(f"{made['Location']}remove/").status_code == 302
        assert package_indexes(deployment) == ()
    actions = AuditEvent.objects.filter(action__startswith="package_index.")
    assert sorted(actions.values_list("action", flat=True)) == sorted(
        3 * ["package_index.added", "package_index.changed", "package_index.removed"]
    )
    assert PASSWORD not in str(list(actions.values("changes")))


def test_others_are_refused_and_strangers_see_nothing(
    deployment: Deployment, alice: User, bob: User, charlie: User, client_of: ClientOf
) -> None:
    place = deployment.workspace
    index = add_index(actor=alice, place=place, data=DATA)

    for rest in ("", "new/", f"{index.pk}/"):
        assert client_of(bob).get(address(place, rest)).status_code == 403
        assert client_of(charlie).get(address(place, rest)).status_code == 404
    # Of another object, and of none.
    assert client_of(alice).get(address(deployment, f"{index.pk}/")).status_code == 404
    assert client_of(alice).post(address(deployment, f"{index.pk}/remove/")).status_code == 404


def test_what_is_of_no_use_is_said_at_its_field(
    deployment: Deployment, alice: User, client_of: ClientOf
) -> None:
    add_index(actor=alice, place=deployment, data=replace(DATA, name="taken"))
    cases = (
        ({"url": "http://packages.example.org"}, "begins with https://"),
        ({"url": "https://ci:secret@packages.example.org"}, "Leave the user and the password out"),
        ({"url": "https://packages.example.org/simple?x=1"}, "what follows a ? or #"),
        ({"password": ""}, "Enter the password."),
        ({"username": ""}, "it often is __token__"),
        ({"name": "taken"}, "here already"),
        ({"ca_certificate": "no certificate"}, "certificates in PEM"),
        ({"ca_certificate": WITH_KEY}, "This has a private key."),
    )
    for changes, words in cases:
        answer = client_of(alice).post(address(deployment, "new/"), {**FIELDS, **changes})
        assert answer.status_code == 422, changes
        assert words in answer.content.decode(), words
        assert PASSWORD not in answer.content.decode()
    assert PackageIndex.objects.count() == 1


def test_a_password_goes_to_no_other_host_or_user(deployment: Deployment, alice: User) -> None:
    index = add_index(actor=alice, place=deployment, data=DATA)
    for changes in ({"url": "https://evil.example.org/simple"}, {"username": "other"}):
        with pytest.raises(Invalid, match="Enter the password"):
            change_index(actor=alice, index=index, data=replace(DATA, password="", **changes))

    change_index(
        actor=alice, index=index, data=replace(DATA, password="", url=f"{DATA.url}/other/")
    )

    [asked] = package_indexes(deployment)
    assert (asked.url, asked.password) == (f"{DATA.url}/other", PASSWORD)
    assert asked.key == f"{index.key}-2"


def test_there_is_an_end_to_how_many(deployment: Deployment, alice: User) -> None:
    for number in range(MOST_INDEXES):
        add_index(actor=alice, place=deployment, data=replace(DATA, name=str(number)))

    with pytest.raises(Invalid, match="Remove one first"):
        add_index(actor=alice, place=deployment, data=DATA)


def test_a_deployment_asks_its_own_first_and_nothing_of_others(
    deployment: Deployment, alice: User, make_deployment: Any, client_of: ClientOf
) -> None:
    organization, workspace, _ = places_of(deployment)
    sibling = make_deployment(name="sibling")
    elsewhere = Organization.objects.create(name="Elsewhere", slug="elsewhere")
    for place, name in (
        (organization, "of organization"),
        (workspace, "b of workspace"),
        (workspace, "a of workspace"),
        (deployment, "own"),
        (sibling, "of sibling"),
        (elsewhere, "of others"),
    ):
        add_index(actor=alice, place=place, data=replace(DATA, name=name))

    asked = [one.name for one in package_indexes(deployment)]
    page = client_of(alice).get(address(deployment)).content.decode()

    assert asked == ["own", "a of workspace", "b of workspace", "of organization"]
    assert "Of the workspace Warehouse" in page
    assert "of sibling" not in page


def test_only_what_installs_packages_gets_passwords(
    deployment: Deployment, alice: User, settings: Any
) -> None:
    settings.AIRFLOW_SIGN_IN_PUBLIC_KEY = "a public key"
    add_index(actor=alice, place=deployment, data=DATA)
    deployment.airflow_secrets = new_airflow_secrets(deployment_id=deployment.pk)
    revision = Revision.objects.get(deployment=deployment)

    without = compile_spec(deployment=deployment, revision=revision)
    revision.packages_digest = "f" * 64
    spec = compile_spec(deployment=deployment, revision=revision)

    assert without.package_indexes == ()
    assert [one.password for one in spec.package_indexes] == [PASSWORD]
    assert PASSWORD not in repr(spec)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateIndex]:
    with private_index(tmp_path_factory.mktemp("index")) as index:
        yield index


def test_an_index_is_tested_from_here(
    deployment: Deployment, alice: User, server: PrivateIndex, settings: Any, client_of: ClientOf
) -> None:
    url = f"{server.origin}/team/simple"
    good = replace(DATA, url=url, username=USER, ca_certificate=server.ca)
    index = add_index(actor=alice, place=deployment, data=good)
    test = address(deployment, f"{index.pk}/test/")

    refused = client_of(alice).post(test, follow=True).content.decode()
    settings.PACKAGE_INDEX_NETWORKS = ALLOWED
    answered = client_of(alice).post(test, follow=True).content.decode()
    assert "an address of the portal&#x27;s own machine" in refused
    assert "PORTAL_PACKAGE_INDEX_NETWORKS" in refused
    assert "acme answers, as this machine asks it." in answered

    for changes, words in (
        ({"password": "wrong"}, "refuses the user and password"),
        ({"ca_certificate": ""}, "TLS certificate is not valid"),
    ):
        change_index(actor=alice, index=index, data=replace(good, **changes))
        index.refresh_from_db()
        with pytest.raises(PortalError, match=words):
            ask_index(index=index)


def test_the_list_costs_the_same_with_many(
    deployment: Deployment, alice: User, client_of: ClientOf, django_assert_max_num_queries: Any
) -> None:
    client = client_of(alice)
    for place in places_of(deployment):
        for number in range(MOST_INDEXES):
            add_index(actor=alice, place=place, data=replace(DATA, name=f"{number} " + "n" * 57))
    with django_assert_max_num_queries(16):
        check_page(client.get(address(deployment)).content)


def test_what_is_of_a_deleted_deployment_goes_with_its_password(
    deployment: Deployment, alice: User
) -> None:
    for place in places_of(deployment):
        add_index(actor=alice, place=place, data=DATA)
    Deployment.objects.filter(pk=deployment.pk).update(phase=Phase.DELETED)

    assert remove_of_deleted_deployments() == 1

    assert not PackageIndex.objects.filter(deployment=deployment).exists()
    assert PackageIndex.objects.count() == 2


def test_programs_do_what_the_pages_do(deployment: Deployment, alice: User) -> None:
    organization = deployment.workspace.organization
    _, secret = create_personal_token(user=alice, organization=organization, name="CI", days=1)
    client = Client(headers={"Authorization": f"Bearer {secret}"})
    base = f"/v1/organizations/{public_id('organization', organization.pk)}/package-indexes"
    of_deployment = {"deploymentId": public_id("deployment", deployment.pk)}
    body = {"name": "acme", "url": DATA.url, "username": "ci", "password": PASSWORD}

    def post(path: str, sent: dict[str, Any]) -> Any:
        return client.post(path, sent, "application/json")

    made = post(base, {**body, **of_deployment, "replacesPublicIndex": True})
    one = f"{base}/{made.json()['id']}"
    changed = post(one, {**body, "password": "", "name": "renamed"})
    wrong = post(one, {**body, "url": "ftp://x"})
    listed = client.get(base, of_deployment)

    assert (made.status_code, changed.status_code) == (200, 200), made.content
    assert (made.json()["scope"], made.json()["hasPassword"]) == ("DEPLOYMENT", True)
    assert PASSWORD not in (made.content + changed.content + listed.content).decode()
    assert [row["name"] for row in listed.json()["packageIndexes"]] == ["renamed"]
    assert wrong.status_code == 400
    assert wrong.json()["fieldErrors"][0]["field"] == "url"
    assert client.get(base).json()["packageIndexes"] == []
    assert client.delete(one).status_code == 204
    assert client.get(one).status_code == 404
