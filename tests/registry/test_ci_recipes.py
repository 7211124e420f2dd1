"""The scripts of docs/ci.md, as they stand there, against a portal and a registry that answer."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from apps.clusters.models import Cluster
from apps.core.public_ids import public_id
from apps.deployments.models import Deployment
from apps.deploys.models import Deploy
from apps.organizations.tokens.services import create_token
from tests.conftest import CONFIG, new_deployment, role
from tests.docs.documents import FENCE, PROJECT
from tests.registry.registries import IS_INSTALLED, SKOPEO, WHY_NOT, image_layout

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed"),
    pytest.mark.django_db(transaction=True),
]
# It stands in for docker, and needs no daemon: it remembers the login, and pushes a folder.
DOCKER = f"""#!/bin/sh
set -eu
case "$1" in
    login) cat > "$HOME/password" ;;
    build) exit 0 ;;
    push) {SKOPEO} --insecure-policy copy --dest-tls-verify=false --quiet \\
        --dest-creds "ci:$(cat "$HOME/password")" "oci:$HOME/layout" "docker://$2" ;;
esac
"""


def script(name: str) -> str:
    """Return a script of the page: the block after the sentence that names it."""
    after = (PROJECT / "docs" / "ci.md").read_text().partition(f"`{name}`")[2]
    found = FENCE.search(after)
    assert found
    return found[3]


def run(name: str, deployment: Deployment, secret: str, url: str, folder: Path) -> str:
    (folder / name).write_text(script(name))
    organization = deployment.workspace.organization
    done = subprocess.run(
        ["sh", name],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder),
            "PORTAL_URL": url,
            "ORGANIZATION_ID": public_id("organization", organization.pk),
            "DEPLOYMENT_ID": public_id("deployment", deployment.pk),
            "ASTRO_API_TOKEN": secret,
            "COMMIT": "a1b2c3",
        },
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def author_of(deployment: Deployment, alice: Any) -> str:
    author = role("deployment", "author")
    return create_token(actor=alice, on=deployment, name="CI", role=author, expires_at=None)[1]


def test_the_script_for_dags_deploys_them(
    live_server: Any, settings: Any, alice: Any, deployment: Deployment, tmp_path: Path
):
    settings.PORTAL_URL = live_server.url
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "orders.py").write_text("from airflow.sdk import DAG\n")
    secret = author_of(deployment, alice)

    said = run("deploy-dags.sh", deployment, secret, live_server.url, tmp_path)

    assert said == "DEPLOYED"
    deploy = Deploy.objects.get()
    assert [one["path"] for one in deploy.files] == ["orders.py"]
    assert deploy.description == "a1b2c3"


@pytest.mark.skipif(not IS_INSTALLED, reason=WHY_NOT)
def test_the_script_for_images_pushes_and_deploys_one(
    live_server: Any, registry: str, alice: Any, workspace: Any, plane: Any, tmp_path: Path
):
    digest = image_layout(tmp_path / "layout")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text(DOCKER)
    (tmp_path / "bin" / "docker").chmod(0o755)
    cluster = Cluster.objects.create(
        organization=workspace.organization,
        kind=Cluster.Kind.KUBERNETES,
        name="eu-1",
        server="https://k.test",
        credential=b"x",
    )
    queue = {**CONFIG["queues"][0], "size": "A5"}
    deployment = new_deployment(workspace=workspace, cluster=cluster, config={"queues": [queue]})
    secret = author_of(deployment, alice)

    said = run("deploy-image.sh", deployment, secret, live_server.url, tmp_path)

    assert said.splitlines()[-1] == "DEPLOYED"
    deployment.refresh_from_db()
    assert deployment.wanted
    image = deployment.wanted.configuration.image
    assert image
    assert image.digest == digest
    assert image.name.startswith(f"{registry}/deployments/{deployment.ref}:deploy-")
