"""`astro deploy` with an image, call by call, with a push to the registry between them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone

from apps.clusters.models import Cluster
from apps.deployments.configuration.schema import OwnImage
from apps.deployments.editing.drafts import store_secret
from apps.deployments.models import Deployment
from apps.deployments.secrets.image_pulling import pull_secret_text
from apps.deploys.deliveries.enforcement import set_for_deployment
from apps.deploys.deliveries.queue import begin_next
from apps.deploys.models import Deploy
from apps.organizations.models import OrganizationGrant
from tests.api.test_deploys import DAG, announce, put, tarball
from tests.conftest import CONFIG, new_deployment
from tests.core.pages import check_page
from tests.deploys.test_deploy_pages import settle
from tests.own_images.fake import FakeRegistry, configuration, fake_registry

pytestmark = pytest.mark.django_db
DIGEST = f"sha256:{'4b' * 32}"
QUEUE = {**CONFIG["queues"][0], "size": "A5"}


@pytest.fixture
def registry(settings: Any) -> Iterator[FakeRegistry]:
    settings.REGISTRY_NETWORKS = ("127.0.0.0/8",)
    settings.REGISTRIES_ALLOW_HTTP = True
    with fake_registry() as fake:
        settings.REGISTRY = fake.host
        yield fake


@pytest.fixture
def far(workspace: Any, organization: Any, plane: Any) -> Deployment:
    cluster = Cluster.objects.create(
        organization=organization,
        kind=Cluster.Kind.KUBERNETES,
        name="eu-1",
        server="https://k.test",
        credential=b"x",
    )
    return new_deployment(workspace=workspace, cluster=cluster, config={"queues": [QUEUE]})


@pytest.fixture
def program(alice: Any, program_of: Any) -> Any:
    return program_of(alice)


def push(registry: FakeRegistry, announced: dict[str, Any], **fields: Any) -> str:
    """Put an image where the answer said, as `docker push` does."""
    host, _, repository = announced["imageRepository"].partition("/")
    assert host == registry.host
    described = {"digest": registry.blob(configuration(**fields), repository=repository)}
    return registry.manifest(announced["imageTag"], {"config": described}, repository=repository)


def test_an_image_and_its_dags_are_deployed_together(
    program: Any, client: Any, far: Deployment, registry: FakeRegistry
):
    path, answer = announce(program, far, type="IMAGE_AND_DAG")
    announced = answer.json()
    digest = push(registry, announced)
    version = put(client, announced["dagsUploadUrl"], tarball())["x-ms-version-id"]

    done = program.post(f"{path}/{announced['id']}/finalize", {"dagTarballVersion": version})

    assert done.status_code == 200, done.content
    assert (done.json()["type"], done.json()["status"]) == ("IMAGE_AND_DAG", "DEPLOYED")
    assert announced["imageRepository"] == f"{registry.host}/deployments/{far.ref}"
    assert done.json()["imageTag"] == announced["imageTag"]
    far.refresh_from_db()
    assert far.wanted
    assert far.wanted.configuration.image
    assert far.wanted.configuration.image.digest == digest
    assert Deploy.objects.get().revision == far.wanted
    assert [one["type"] for one in program.get(path).json()["deploys"]] == ["IMAGE_AND_DAG"]
    shown = program.get(path.removesuffix("/deploys")).json()
    assert (shown["imageRepository"], shown["imageTag"]) == (announced["imageRepository"], digest)
    again = program.post(f"{path}/{announced['id']}/finalize", {"dagTarballVersion": version})
    assert again.status_code == 200


def test_an_image_alone_brings_its_runtime(program: Any, far: Deployment, registry: FakeRegistry):
    config = replace(far.wanted.configuration, runtime="3.2.2-1").to_json()  # type: ignore[union-attr]
    far.revisions.update(config=config)
    path, answer = announce(program, far, type="IMAGE_ONLY")
    push(registry, answer.json(), env=("AIRFLOW_VERSION=3.3.2",))

    done = program.post(f"{path}/{answer.json()['id']}/finalize", {})

    assert done.status_code == 200, done.content
    far.refresh_from_db()
    assert far.wanted
    assert far.wanted.configuration.runtime == "3.3.2-1"
    assert program.get(f"{path}/{answer.json()['id']}").json()["status"] == "DEPLOYED"


def test_an_image_of_another_registry_is_named_and_looked_up_with_the_pull_secret(
    program: Any, far: Deployment, registry: FakeRegistry, settings: Any, alice: Any
):
    settings.REGISTRY = ""
    digest, name = registry.image("1.4"), f"{registry.host}/team/etl:1.4"
    secret = pull_secret_text(name=name, user="ci", password="canary-pull")
    row = store_secret(workspace=far.workspace, value=secret, actor=alice)
    row.deployment = far
    row.save(update_fields=["deployment"])
    old = OwnImage(name=name, digest=DIGEST, airflow_version="3.3.2", secret_id=str(row.pk))
    assert far.wanted
    far.revisions.update(config=replace(far.wanted.configuration, image=old).to_json())

    path, answer = announce(program, far, type="IMAGE_ONLY", image=name)
    wrong = announce(program, far, type="IMAGE_ONLY", image="no image")[1]
    challenge = (401, b"{}", {"WWW-Authenticate": 'Basic realm="x"'})
    registry.before = lambda path, authorization: None if authorization else challenge
    done = program.post(f"{path}/{answer.json()['id']}/finalize", {})

    assert wrong.status_code == 400
    assert (answer.json()["imageRepository"], answer.json()["imageTag"]) == (
        f"{registry.host}/team/etl",
        "1.4",
    )
    assert done.status_code == 200, done.content
    far.refresh_from_db()
    assert far.wanted.configuration.image == replace(old, digest=digest, python_version="3.12.11")


def pushed(program: Any, far: Deployment, registry: FakeRegistry, **fields: Any) -> Any:
    """Deploy an image alone; return what the API says of it."""
    path, answer = announce(program, far, type="IMAGE_ONLY")
    push(registry, answer.json(), **fields)
    done = program.post(f"{path}/{answer.json()['id']}/finalize", {})
    assert done.status_code == 200, done.content
    return done.json()


def test_each_image_is_a_deploy_with_number_digest_and_revision(
    program: Any, client: Any, client_of: Any, alice: Any, far: Deployment, registry: FakeRegistry
):
    path, answer = announce(program, far)
    put(client, answer.json()["dagsUploadUrl"], tarball())
    program.post(f"{path}/{answer.json()['id']}/finalize", {})
    settle(far)

    pushed(program, far, registry)

    dags, image = Deploy.objects.order_by("number")
    far.refresh_from_db()
    assert far.wanted
    assert far.wanted.configuration.image
    digest = far.wanted.configuration.image.digest
    assert (image.number, image.kind, image.source) == (2, "image", "hand")
    assert (image.digest, image.image_digest) == (dags.digest, digest)
    assert image.revision == far.wanted
    assert far.operations.get(revision=far.wanted).kind == "deploy"
    shown = program.get(path).json()["deploys"][0]
    assert (shown["type"], shown["number"], shown["imageDigest"]) == ("IMAGE_ONLY", 2, digest)
    assert shown["imageRepository"] == f"{registry.host}/deployments/{far.ref}"
    assert shown["imageTag"].startswith("deploy-")
    page = client_of(alice).get(f"/d/{far.ref}/deploys/2/").content.decode()
    check_page(page)
    assert digest in page
    assert image.file_name in page


def test_an_image_before_any_dags_is_a_deploy_too(
    program: Any, client_of: Any, alice: Any, far: Deployment, registry: FakeRegistry
):
    pushed(program, far, registry)

    deploy = Deploy.objects.get()
    assert (deploy.kind, deploy.digest, deploy.n_files) == ("image", "", 0)
    client = client_of(alice)
    page = client.get(f"/d/{far.ref}/deploys/1/").content.decode()
    check_page(page)
    assert "Download" not in page
    assert client.get(f"/d/{far.ref}/deploys/1/download/").status_code == 404
    check_page(client.get(f"/d/{far.ref}/deploys/").content.decode())


def test_rolling_back_brings_the_image_back_and_code_alone_does_not(
    program: Any, client: Any, client_of: Any, alice: Any, far: Deployment, registry: FakeRegistry
):
    path, answer = announce(program, far, type="IMAGE_AND_DAG")
    push(registry, answer.json())
    put(client, answer.json()["dagsUploadUrl"], tarball())
    program.post(f"{path}/{answer.json()['id']}/finalize", {})
    settle(far)
    first = far.wanted.configuration.image.digest  # type: ignore[union-attr]
    second, answer = announce(program, far, type="IMAGE_AND_DAG")
    push(registry, answer.json(), env=("AIRFLOW_VERSION=3.3.2", "PYTHON_VERSION=3.12.12"))
    put(client, answer.json()["dagsUploadUrl"], tarball(**{"dags__other.py": DAG}))
    program.post(f"{path}/{answer.json()['id']}/finalize", {})
    settle(far)
    assert far.wanted
    latest = far.wanted.configuration.image.digest  # type: ignore[union-attr]
    assert latest != first

    web = client_of(alice)
    assert (
        "Keep the current packages and image"
        in web.get(f"/d/{far.ref}/deploys/1/").content.decode()
    )
    web.post(f"/d/{far.ref}/deploys/1/roll-back/", {"code_alone": "on"})
    settle(far)
    code = far.wanted
    web.post(f"/d/{far.ref}/deploys/1/roll-back/")
    settle(far)

    one = Deploy.objects.get(number=1)
    assert (code.code_digest, code.configuration.image.digest) == (one.digest, latest)  # type: ignore[union-attr]
    assert far.wanted.code_digest == one.digest
    assert far.wanted.configuration.image.digest == first  # type: ignore[union-attr]
    assert list(Deploy.objects.order_by("number").values_list("kind", flat=True)) == [
        "image-dags",
        "image-dags",
        "dags",
        "image-dags",
    ]


def test_an_image_waits_for_the_deploy_in_progress_and_is_checked_again_when_it_begins(
    program: Any, client: Any, far: Deployment, registry: FakeRegistry
):
    path, answer = announce(program, far)
    put(client, answer.json()["dagsUploadUrl"], tarball())
    program.post(f"{path}/{answer.json()['id']}/finalize", {})

    waiting = pushed(program, far, registry)
    assert waiting["status"] == "INITIALIZED"
    assert waiting["imageDigest"] == Deploy.objects.get(number=2).image["digest"]
    assert "until the deploy before it has ended" in waiting["statusReason"]
    shown = program.get(path.removesuffix("/deploys")).json()
    assert (shown["status"], shown["statusReason"]) == ("DEPLOYING", waiting["statusReason"])
    settle(far)
    begin_next(deployment_id=far.pk, now=timezone.now())

    far.refresh_from_db()
    assert far.wanted
    assert far.wanted.configuration.image
    cancelled = program.post(f"{path}/{waiting['id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["message"]) == (
        409,
        "Deploy 2 is not waiting any more.",
    )


def test_an_image_with_a_project_that_asks_for_packages_is_refused(
    program: Any, client: Any, far: Deployment, registry: FakeRegistry
):
    far.cluster.registry_repository = "registry.test/portal"
    far.cluster.save(update_fields=["registry_repository"])
    path, answer = announce(program, far, type="IMAGE_AND_DAG")
    push(registry, answer.json())
    project = {"dags__sales.py": DAG, "requirements.txt": b"pandas\n"}
    put(client, answer.json()["dagsUploadUrl"], tarball(**project))

    done = program.post(f"{path}/{answer.json()['id']}/finalize", {})

    assert done.status_code == 400
    assert "in the Dockerfile" in done.json()["message"]
    assert not Deploy.objects.exists()


def test_where_enforcement_is_on_a_person_deploys_no_image(
    program: Any, alice: Any, far: Deployment, registry: FakeRegistry
):
    path, answer = announce(program, far, type="IMAGE_ONLY")
    push(registry, answer.json())
    set_for_deployment(actor=alice, deployment=far, is_on=True)

    late = program.post(f"{path}/{answer.json()['id']}/finalize", {})

    assert (late.status_code, announce(program, far, type="IMAGE_ONLY")[1].status_code) == (
        409,
        409,
    )
    assert "CI/CD enforcement" in late.json()["message"]
    assert not Deploy.objects.exists()


def test_an_update_that_does_not_know_of_images_keeps_it(
    program: Any, far: Deployment, registry: FakeRegistry
):
    path, answer = announce(program, far, type="IMAGE_ONLY")
    digest = push(registry, answer.json())
    program.post(f"{path}/{answer.json()['id']}/finalize", {})
    body = {"name": far.name, "description": "Other words."}

    changed = program.post(path.removesuffix("/deploys"), body)

    assert changed.status_code == 200, changed.content
    far.refresh_from_db()
    assert far.wanted
    assert far.wanted.number == 3
    assert far.wanted.configuration.image
    assert far.wanted.configuration.image.digest == digest


def test_nothing_changes_where_the_image_is_missing_or_does_not_fit(
    program: Any, client: Any, far: Deployment, registry: FakeRegistry
):
    path, answer = announce(program, far, type="IMAGE_AND_DAG")
    put(client, answer.json()["dagsUploadUrl"], tarball())
    finish = f"{path}/{answer.json()['id']}/finalize"

    missing = program.post(finish, {})
    push(registry, answer.json(), env=())
    no_airflow = program.post(finish, {})
    push(registry, answer.json(), env=("AIRFLOW_VERSION=2.11.0",))
    unknown = program.post(finish, {})

    assert [missing.status_code, no_airflow.status_code, unknown.status_code] == [409, 409, 400]
    assert "no such image" in missing.json()["message"]
    assert "No Airflow was found" in no_airflow.json()["message"]
    assert "no runtime here has" in unknown.json()["message"]
    assert not Deploy.objects.exists()
    far.refresh_from_db()
    assert far.wanted
    assert far.wanted.number == 1


def test_dags_that_are_refused_leave_the_image_out_too(
    program: Any, client: Any, far: Deployment, registry: FakeRegistry
):
    path, answer = announce(program, far, type="IMAGE_AND_DAG")
    push(registry, answer.json())
    put(client, answer.json()["dagsUploadUrl"], b"no tarball")

    done = program.post(f"{path}/{answer.json()['id']}/finalize", {})

    assert done.status_code == 400
    far.refresh_from_db()
    assert far.wanted
    assert far.wanted.number == 1


def test_where_no_image_can_run_the_announcement_says_so(
    program: Any, deployment: Deployment, far: Deployment, registry: FakeRegistry, settings: Any
):
    here = announce(program, deployment, type="IMAGE_AND_DAG")[1]
    settings.REGISTRY = ""
    nowhere = announce(program, far, type="IMAGE_ONLY")[1]
    bundle = announce(program, far, type="BUNDLE")[1]

    assert [here.status_code, nowhere.status_code, bundle.status_code] == [409, 409, 400]
    assert "astro deploy --dags" in here.json()["message"]
    assert "no registry" in nowhere.json()["message"]


def test_bob_is_refused_and_charlie_finds_nothing(
    bob: Any, charlie: Any, program_of: Any, far: Deployment, registry: FakeRegistry
):
    at = OrganizationGrant.objects.get(user=charlie).content_object

    assert announce(program_of(bob), far, type="IMAGE_ONLY")[1].status_code == 403
    assert announce(program_of(charlie, at), far, type="IMAGE_ONLY")[1].status_code == 404
