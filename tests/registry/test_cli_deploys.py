"""`astro deploy` with an image, against a real registry: what the CLI 1.45 was seen to call, in its
order, with what it reads of each answer. skopeo pushes in place of a container engine.
"""

import base64
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import requests

from apps.clusters.models import Cluster
from apps.core.public_ids import public_id
from apps.deployments.models import Deployment
from apps.deploys.models import Deploy
from apps.organizations.tokens.services import create_token
from tests.conftest import CONFIG, new_deployment, role
from tests.deploys.test_deploy_pages import settle
from tests.registry.registries import IS_INSTALLED, WHY_NOT, image_layout, push

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IS_INSTALLED, reason=WHY_NOT),
    pytest.mark.django_db(transaction=True),
]
LABEL = "io.astronomer.docker.runtime.version"
GIT = {
    "account": "acme",
    "authorName": "Ada",
    "branch": "main",
    "commitSha": "818d6acfd7116427cd420a44fd3ed078dba6159d",
    "commitUrl": "https://github.com/acme/dags/commit/818d6acfd7116427cd420a44fd3ed078dba6159d",
    "provider": "GITHUB",
    "repo": "dags",
}


class Cli:
    """The calls of one `astro deploy`, with the headers of the client."""

    def __init__(self, url: str, secret: str, deployment: Deployment) -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {secret}"
        self.session.headers["User-Agent"] = "astro-cli/1.45.0"
        self.session.headers["x-astro-client-identifier"] = "cli"
        organization = public_id("organization", deployment.workspace.organization_id)
        self.base = f"{url}/v1/organizations/{organization}"
        self.at = f"{self.base}/deployments/{public_id('deployment', deployment.pk)}"

    def get(self, url: str) -> Any:
        answer = self.session.get(url, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, url: str, body: dict[str, Any]) -> requests.Response:
        return self.session.post(url, json=body, timeout=20)


def docker_engine_password(secret: str) -> str:
    """Return what the engine's API is sent as X-Registry-Auth, and hands to the registry."""
    given = {"username": "cli", "password": f"Bearer {secret}", "serveraddress": "x"}
    sent = base64.urlsafe_b64encode(json.dumps(given).encode())
    password: str = json.loads(base64.urlsafe_b64decode(sent))["password"]
    return password


@pytest.fixture
def far(workspace: Any, plane: Any) -> Deployment:
    cluster = Cluster.objects.create(
        organization=workspace.organization,
        kind=Cluster.Kind.KUBERNETES,
        name="eu-1",
        server="https://k.test",
        credential=b"x",
    )
    queue = {**CONFIG["queues"][0], "size": "A5"}
    return new_deployment(workspace=workspace, cluster=cluster, config={"queues": [queue]})


@pytest.fixture
def secret(alice: Any, far: Deployment) -> str:
    author = role("deployment", "author")
    return create_token(actor=alice, on=far, name="CI", role=author, expires_at=None)[1]


def test_an_image_with_dags_then_an_image_alone(
    live_server: Any, registry: str, far: Deployment, secret: str, tmp_path: Path
) -> None:
    cli, layout = Cli(live_server.url, secret, far), tmp_path / "layout"
    before = cli.get(cli.at)
    assert (before["isDagDeployEnabled"], before["isCicdEnforced"]) == (True, False)
    body = {"type": "IMAGE_AND_DAG", "description": "Add orders", "git": GIT}
    announced = cli.post(f"{cli.at}/deploys", body).json()
    image = f"{announced['imageRepository']}:{announced['imageTag']}"
    assert image.startswith(f"{registry}/deployments/{far.ref}:deploy-")
    digest = image_layout(layout, labels={LABEL: "3.3.2-1"})
    releases = cli.get(f"{cli.base}/deployment-options")["runtimeReleases"]
    assert before["runtimeVersion"] == "3.3.2-1"
    assert "3.3.2-1" in [one["version"] for one in releases]
    assert push(layout, image, docker_engine_password(secret)).returncode == 0
    uploaded = requests.put(
        announced["dagsUploadUrl"],
        data=tarball(),
        headers={"x-ms-blob-type": "BlockBlob"},
        timeout=20,
    )
    version = uploaded.headers["x-ms-version-id"]

    finish = f"{cli.at}/deploys/{announced['id']}/finalize"
    done = cli.post(finish, {"dagTarballVersion": version}).json()

    assert (done["dagTarballVersion"], done["imageTag"]) == (version, announced["imageTag"])
    assert cli.get(cli.at)["status"] == "DEPLOYING"
    settle(far)
    assert cli.get(cli.at)["status"] == "HEALTHY"

    announced = cli.post(f"{cli.at}/deploys", {**body, "type": "IMAGE_ONLY"}).json()
    second = image_layout(layout, labels={LABEL: "3.3.2-1", "n": "2"})
    image = f"{announced['imageRepository']}:{announced['imageTag']}"
    # Where the engine's API does not answer, the CLI signs in by `docker login`.
    assert push(layout, image, secret).returncode == 0
    finish = f"{cli.at}/deploys/{announced['id']}/finalize"
    # Nothing was uploaded, which the CLI says with an empty version.
    assert cli.post(finish, {"dagTarballVersion": ""}).json()["status"] == "DEPLOYED"

    deploys = list(Deploy.objects.order_by("number"))
    assert [(one.kind, one.image_digest) for one in deploys] == [
        ("image-dags", digest),
        ("image", second),
    ]
    assert {one.git_commit for one in deploys} == {GIT["commitSha"]}
    assert {(str(one.created_by), one.source, one.state) for one in deploys} == {
        ("CI", "token", "begun")
    }


def test_what_hinders_is_a_sentence_for_the_terminal(
    live_server: Any, registry: str, far: Deployment, secret: str, bob: Any, tmp_path: Path
) -> None:
    cli, layout = Cli(live_server.url, secret, far), tmp_path / "layout"

    def deployed(**image: Any) -> tuple[int, str]:
        image_layout(layout, **image)
        announced = cli.post(f"{cli.at}/deploys", {"type": "IMAGE_ONLY"}).json()
        name = f"{announced['imageRepository']}:{announced['imageTag']}"
        assert push(layout, name, secret).returncode == 0
        done = cli.post(f"{cli.at}/deploys/{announced['id']}/finalize", {"dagTarballVersion": ""})
        return done.status_code, done.json()["message"]

    status, said = deployed(environment=())
    assert (status, "No Airflow was found in this image." in said) == (409, True)
    status, said = deployed(architecture="arm64")
    assert (status, "Build it with --platform linux/amd64." in said) == (409, True)
    announced = cli.post(f"{cli.at}/deploys", {"type": "IMAGE_ONLY"}).json()
    name = f"{announced['imageRepository']}:{announced['imageTag']}"
    refused = push(layout, name, f"{secret[:-4]}abcd")
    assert refused.returncode
    assert "unauthorized" in refused.stderr
    nothing = cli.post(f"{cli.at}/deploys/{announced['id']}/finalize", {"dagTarballVersion": ""})
    assert "no such image" in nothing.json()["message"]
    assert not Deploy.objects.exists()


def tarball() -> bytes:
    """Pack a DAG as the CLI does."""
    out, dag = io.BytesIO(), b"from airflow.sdk import DAG\nDAG('orders')\n"
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        member = tarfile.TarInfo("dags/orders.py")
        member.size = len(dag)
        tar.addfile(member, io.BytesIO(dag))
    return out.getvalue()
