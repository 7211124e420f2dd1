"""Images of people's own: named on the form, looked up, reviewed, and run by digest."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.audit.models import AuditEvent
from apps.clusters.models import Cluster
from apps.core.errors import Invalid
from apps.dataplane.fake.plane import FakePlane
from apps.deployments.configuration.changes import changes
from apps.deployments.configuration.schema import OwnImage
from apps.deployments.editing.drafts import store_secret
from apps.deployments.editing.images import look_up_image
from apps.deployments.editing.revisions import InvalidConfiguration
from apps.deployments.editing.services import create_deployment, update_config
from apps.deployments.models import Deployment, Draft, SecretValue
from apps.deployments.reconciling.compiler import compile_spec
from apps.deployments.secrets.pulling import ROBOT, STEP_SECONDS, repository_of
from apps.deploys.deliveries.enforcement import set_for_deployment
from tests.deployments.conftest import CONFIGURATION, FAR, drive
from tests.deployments.pages import assert_well_made, fill, form_data, text_of
from tests.own_images.fake import FakeRegistry, fake_registry

CANARY = "canary-pull-secret-77aa"
DIGEST = f"sha256:{'4b' * 32}"
NEW = "/w/warehouse/deployments/new/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def registry(settings: Any) -> Iterator[FakeRegistry]:
    settings.REGISTRY_NETWORKS = ("127.0.0.0/8",)
    settings.REGISTRIES_ALLOW_HTTP = True
    with fake_registry() as fake:
        yield fake


@pytest.fixture
def browser(alice: Any, remote: Cluster, workspace: Any, client_of: Any, plane: Any) -> Client:
    return client_of(alice)


def applied(plane: type[FakePlane]) -> int:
    return sum(method == "apply" for method, _ in plane.store.calls)


def image(**fields: Any) -> OwnImage:
    known = {"name": "r.example.org/team/etl:1", "digest": DIGEST, "airflow_version": "3.3.2"}
    return OwnImage(**{**known, **fields})


def test_an_image_goes_from_the_form_to_the_data_plane_by_digest(
    browser: Client, registry: FakeRegistry
):
    digest, name = registry.image("1.4"), f"{registry.host}/team/etl:1.4"

    review = fill(browser, NEW, name="etl", image=f" {name} ")["Location"]
    page = browser.get(review)
    browser.post(review, {})

    assert_well_made(page)
    assert f"{name} ({digest[:19]})" in text_of(page)
    deployment = drive(Deployment.objects.get())
    spec = compile_spec(deployment=deployment, revision=deployment.wanted)  # type: ignore[arg-type]
    assert spec.runtime.image == f"{registry.host}/team/etl@{digest}"
    assert (spec.runtime.airflow_version, spec.image_pull_secret) == ("3.3.2", "")
    overview = browser.get(f"/d/{deployment.ref}/")
    assert name in text_of(overview)
    assert name in text_of(browser.get(f"/d/{deployment.ref}/revisions/1/"))


def test_where_enforcement_is_on_an_edit_brings_no_other_image(
    browser: Client, registry: FakeRegistry, alice: Any
):
    digest, name = registry.image("1.4"), f"{registry.host}/team/etl:1.4"
    browser.post(fill(browser, NEW, name="etl", image=name)["Location"], {})
    deployment = drive(Deployment.objects.get())
    set_for_deployment(actor=alice, deployment=deployment, is_on=True)
    configure = f"/d/{deployment.ref}/configure/"
    registry.image("1.5", env=("AIRFLOW_VERSION=3.3.2",))

    other = fill(browser, configure, image=f"{registry.host}/team/etl:1.5")["Location"]
    refused = browser.post(other, {})
    words = fill(browser, configure, description="other words")["Location"]
    allowed = browser.post(words, {})

    assert "CI/CD enforcement" in text_of(refused)
    assert allowed.status_code == 302
    deployment.refresh_from_db()
    assert deployment.wanted
    assert deployment.wanted.configuration.description == "other words"
    assert deployment.wanted.configuration.image
    assert deployment.wanted.configuration.image.digest == digest


def test_a_registry_is_asked_once_and_again_only_when_a_person_wants_it(
    browser: Client, registry: FakeRegistry
):
    name = f"{registry.host}/team/etl:latest"
    first = registry.image("latest")
    browser.post(fill(browser, NEW, name="etl", image=name)["Location"], {})
    deployment = drive(Deployment.objects.get())
    configure = f"/d/{deployment.ref}/configure/"
    second = registry.image("latest", env=("AIRFLOW_VERSION=3.3.2",))
    asked = len(registry.seen)

    fill(browser, configure, description="other words")
    quiet = Draft.objects.latest("updated_at").configuration.image
    n_asked_by_an_edit = len(registry.seen) - asked
    fill(browser, configure, image_again="on")
    again = Draft.objects.latest("created_at").configuration.image

    assert n_asked_by_an_edit == 0
    assert quiet
    assert quiet.digest == first
    assert again
    assert again.digest == second != first


def test_what_a_browser_brings_back_is_not_believed_unsigned(
    browser: Client, registry: FakeRegistry
):
    name = f"{registry.host}/team/etl:gone"
    lie = json.dumps({"name": name, "digest": DIGEST, "airflow_version": "3.3.2"})

    answer = fill(browser, NEW, name="etl", image=name, image_found=lie)

    assert answer.status_code == 422
    assert "no such image" in text_of(answer)
    assert not Draft.objects.exists()


def test_a_pull_secret_is_sealed_sent_to_its_registry_alone_and_never_shown(
    browser: Client, registry: FakeRegistry
):
    registry.image("1.4")
    name = f"{registry.host}/team/etl:1.4"
    challenge = (401, b"{}", {"WWW-Authenticate": 'Basic realm="x"'})
    registry.before = lambda path, authorization: None if authorization else challenge

    refused = fill(browser, NEW, name="etl", image=name)
    review = fill(browser, NEW, name="etl", image=name, image_user="ci", image_password=CANARY)
    page = browser.get(review["Location"])
    browser.post(review["Location"], {})

    assert "needs another pull secret" in text_of(refused)
    deployment = drive(Deployment.objects.get())
    spec = compile_spec(deployment=deployment, revision=deployment.wanted)  # type: ignore[arg-type]
    entry = json.loads(spec.image_pull_secret)["auths"][registry.host]
    assert (entry["username"], entry["password"]) == ("ci", CANARY)
    form = browser.get(f"/d/{deployment.ref}/configure/")
    pages = [page, form, browser.get(f"/d/{deployment.ref}/revisions/1/")]
    kept = [bytes(row.sealed) for row in SecretValue.objects.all()]
    told = [event.changes for event in AuditEvent.objects.all()]
    texts = [*(one.content.decode() for one in pages), str(kept), str(told), repr(spec)]
    assert all(CANARY not in text for text in texts)
    assert "!secret" in text_of(pages[2])
    # To another registry it does not go.
    with fake_registry() as other:
        other.image("1.4")
        moved = fill(browser, f"/d/{deployment.ref}/configure/", image=f"{other.host}/team/etl:1.4")
        assert moved.status_code == 302
        assert {authorization for _, authorization in other.seen} == {""}


@pytest.mark.parametrize("half", [{"image_user": "ci"}, {"image_password": CANARY}])
def test_half_a_pull_secret_is_refused_at_its_field(
    browser: Client, registry: FakeRegistry, half: dict[str, str]
):
    registry.image("1.4")

    answer = fill(browser, NEW, name="etl", image=f"{registry.host}/team/etl:1.4", **half)

    assert answer.status_code == 422
    assert "Enter both the user and the password" in text_of(answer)
    assert CANARY not in answer.content.decode()


def test_a_pull_secret_is_replaced_removed_and_not_taken_from_others(
    browser: Client, registry: FakeRegistry, workspace: Any, bob: Any
):
    registry.image("1.4")
    name = f"{registry.host}/team/etl:1.4"
    filled = {"image": name, "image_user": "ci", "image_password": CANARY}
    browser.post(fill(browser, NEW, name="etl", **filled)["Location"], {})
    deployment = drive(Deployment.objects.get())
    configure = f"/d/{deployment.ref}/configure/"

    def drafted() -> OwnImage:
        found = Draft.objects.latest("created_at").configuration.image
        assert found
        return found

    fill(browser, configure, image_user="ci", image_password="another")
    replaced = drafted().secret_id
    fill(browser, configure, forget_image_secret="on")
    removed = drafted().secret_id
    stolen = store_secret(workspace=workspace, value="{}", actor=bob)
    review = fill(browser, configure, image_secret=str(stolen.pk))["Location"]
    answer = browser.post(review, {})

    assert replaced
    assert replaced != deployment.wanted.configuration.image.secret_id
    assert removed == ""
    assert "pull secret of the image is missing" in text_of(answer)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"image": image(digest="")}, "not looked up"),
        ({"image": image(airflow_version="3.2.2")}, "Choose the runtime 3.2.2-1."),
        ({"image": image(airflow_version="2.11.0")}, "no runtime here has. Build it with Airflow"),
    ],
)
def test_an_image_that_does_not_fit_is_refused_by_the_services(
    alice: Any, workspace: Any, remote: Cluster, plane: Any, fields: Any, sentence: str
):
    with pytest.raises(InvalidConfiguration, match=sentence):
        create_deployment(
            actor=alice,
            workspace=workspace,
            cluster=remote,
            name="etl",
            configuration=replace(FAR, **fields),
        )


def test_this_machine_runs_no_images_and_says_what_to_do(
    create: Callable[..., Any], alice: Any, cluster: Cluster, client_of: Any
):
    with pytest.raises(InvalidConfiguration, match="deploy a project with its requirements"):
        create("etl", replace(CONFIGURATION, image=image()))

    assert 'name="image"' not in client_of(alice).get(NEW).content.decode()


def test_an_image_with_an_older_airflow_is_a_downgrade(
    alice: Any, workspace: Any, remote: Cluster, plane: Any
):
    operation = create_deployment(
        actor=alice, workspace=workspace, cluster=remote, name="etl", configuration=FAR
    )
    deployment = drive(operation.deployment)
    older = replace(FAR, runtime="3.2.2-1", image=image(airflow_version="3.2.2"))

    with pytest.raises(InvalidConfiguration, match="cannot be downgraded"):
        update_config(
            actor=alice, deployment=deployment, configuration=older, base_revision_number=1
        )


def test_another_pull_secret_restarts_nothing_and_another_image_all():
    before = replace(FAR, image=image())
    secret, moved, gone = (
        changes(before, replace(FAR, image=one))[0]
        for one in (image(secret_id="x"), image(digest=f"sha256:{'5c' * 32}"), None)
    )

    assert secret.effect == "Nothing restarts"
    assert moved.effect == gone.effect == "Restarts every component"
    assert gone.after == "that of the runtime"


def test_of_the_portals_own_registry_a_deployment_runs_its_own_images(
    registry: FakeRegistry,
    settings: Any,
    distant: Any,
    alice: Any,
    client_of: Any,
    plane: type[FakePlane],
    monkeypatch: pytest.MonkeyPatch,
):
    deployment, other = distant("etl-one"), distant("etl-two")
    settings.REGISTRY = registry.host
    repository = repository_of(deployment.ref)
    config = registry.blob(
        {"os": "linux", "architecture": "amd64", "config": {"Env": ["AIRFLOW_VERSION=3.3.2"]}},
        repository=repository,
    )
    registry.manifest("v1", {"config": {"digest": config}}, repository=repository)
    name = f"{registry.host}/{repository}:v1"
    challenge = (401, b"{}", {"WWW-Authenticate": 'Basic realm="x"'})
    registry.before = lambda path, authorization: None if authorization else challenge

    found = look_up_image(name=name, secret=None, deployment=deployment)
    update_config(
        actor=alice,
        deployment=deployment,
        configuration=replace(FAR, image=found),
        base_revision_number=1,
    )

    deployment = drive(deployment)
    spec = compile_spec(deployment=deployment, revision=deployment.wanted)
    assert json.loads(spec.image_pull_secret)["auths"][registry.host]["username"] == ROBOT
    # Its credential is renewed on the data plane when its six hours are over, and not before.
    n_before = applied(plane)
    drive(deployment)
    n_quiet = applied(plane)
    later = timezone.now() + timedelta(seconds=STEP_SECONDS)
    monkeypatch.setattr("apps.deployments.secrets.image_pulling.timezone.now", lambda: later)
    deployment = drive(deployment, passes=3)
    assert (n_quiet - n_before, applied(plane) - n_quiet) == (0, 1)
    renewed = plane.store.airflows[deployment.ref].wanted.image_pull_secret
    assert renewed != spec.image_pull_secret
    overview = text_of(client_of(alice).get(f"/d/{deployment.ref}/"))
    assert f"Push images to {registry.host}/{repository}" in overview
    for where in (other, None):
        with pytest.raises(Invalid, match="runs images of"):
            look_up_image(name=name, secret=None, deployment=where)


def test_a_form_that_is_sent_back_keeps_the_image_and_its_secret(
    browser: Client, registry: FakeRegistry
):
    registry.image("1.4")
    name = f"{registry.host}/team/etl:1.4"
    filled = {"image": name, "image_user": "ci", "image_password": CANARY}

    sent_back = fill(browser, NEW, name="", **filled)
    data = form_data(sent_back)

    assert sent_back.status_code == 422
    assert_well_made(sent_back)
    assert CANARY not in sent_back.content.decode()
    assert data["image"] == name
    assert data["image_secret"]
    assert browser.post(NEW, {**data, "name": "etl"}).status_code == 302
