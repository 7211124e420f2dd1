"""The scripts of docs/ci.md, as they stand there, against a portal and a registry that answer."""

import os
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.utils import timezone

from apps.clusters.models import Cluster
from apps.core.public_ids import public_id
from apps.dataplane.errors import Permanent
from apps.dataplane.project import Package, PackageLock
from apps.deployments.models import Deployment
from apps.deployments.secrets import sealed
from apps.deploys.models import Deploy
from apps.deploys.previews import checking
from apps.organizations.tokens.services import create_token
from tests.conftest import CONFIG, new_deployment, role
from tests.deploys.test_deploy_pages import settle
from tests.docs.documents import FENCE, PROJECT
from tests.registry.registries import IS_INSTALLED, SKOPEO, WHY_NOT, image_layout

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed"),
    pytest.mark.django_db(transaction=True),
]
OF_A_COMMIT = {
    "COMMIT": "a1b2c3",
    "BRANCH": "main",
    "REPOSITORY": "https://github.com/acme/dags",
}
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


def run(
    name: str,
    deployment: Deployment,
    secret: str,
    url: str,
    folder: Path,
    *,
    steps: tuple[str, ...] = (),
    ends: int = 0,
    **variables: str,
) -> str:
    """Run a script, or the steps of a pipeline that do."""
    (folder / name).write_text(script(name))
    organization = deployment.workspace.organization
    done = subprocess.run(
        ["sh", "-euc", "\n".join(steps)] if steps else ["sh", name],
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
            **(variables or {"COMMIT": "a1b2c3"}),
        },
    )
    assert done.returncode == ends, f"{done.stdout}\n{done.stderr}"
    return done.stdout.strip() if not ends else done.stderr.strip()


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


def pipeline(title: str) -> str:
    """Return the recipe of the page below a title."""
    found = FENCE.search((PROJECT / "docs" / "ci.md").read_text().partition(f"## {title}\n")[2])
    assert found
    return found[3]


def in_order(title: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the commands of a pipeline, and what its CI says of the commit."""
    if title == "Jenkins":
        commands = re.findall(r"steps \{ sh '([^']+)' \}", pipeline(title))
        return tuple(commands), {
            "GIT_COMMIT": "a1b2c3",
            "BRANCH_NAME": "main",
            "GIT_URL": "https://ci:canary@github.com/acme/dags.git",
        }
    whole = yaml.safe_load(pipeline(title))
    job = whole["deploy"] if title == "GitLab CI" else whole["jobs"]["deploy"]
    if title == "GitLab CI":
        given = {"COMMIT": "$CI_COMMIT_SHA", "BRANCH": "$CI_COMMIT_BRANCH"}
        assert job["variables"] == {**given, "REPOSITORY": "$CI_PROJECT_URL"}
        return (*job["before_script"], *job["script"]), OF_A_COMMIT
    assert job["env"]["COMMIT"] == "${{ github.sha }}"
    given = set(job["env"]) - set(OF_A_COMMIT)
    assert given == {"PORTAL_URL", "ORGANIZATION_ID", "DEPLOYMENT_ID", "ASTRO_API_TOKEN"}
    return tuple(one["run"] for one in job["steps"] if "run" in one), OF_A_COMMIT


def test_the_steps_of_each_pipeline_deploy(
    live_server: Any, settings: Any, alice: Any, deployment: Deployment, tmp_path: Path
):
    settings.PORTAL_URL = live_server.url
    secret = author_of(deployment, alice)
    (tmp_path / "dags").mkdir()
    (tmp_path / "bin").mkdir()
    # That of Alpine: here the programs are installed.
    apk = '#!/bin/sh\nshift 2\nfor one in "$@"; do command -v "$one"; done\n'
    (tmp_path / "bin" / "apk").write_text(apk)
    (tmp_path / "bin" / "apk").chmod(0o755)

    for number, title in enumerate(("GitHub Actions", "GitLab CI", "Jenkins"), start=1):
        (tmp_path / "dags" / "orders.py").write_text(f"from airflow.sdk import DAG  # {number}\n")
        steps, variables = in_order(title)
        at = (deployment, secret, live_server.url, tmp_path)
        said = run("deploy-dags.sh", *at, steps=steps, **variables)
        assert said.splitlines()[-1] == "DEPLOYED", title
        deploy = Deploy.objects.get(number=number)
        assert deploy.description == deploy.git_commit == "a1b2c3"
        assert deploy.git_url == "https://github.com/acme/dags/commit/a1b2c3"
        assert (deploy.git_branch, deploy.git_repository) == ("main", "github.com/acme/dags")
        settle(deployment)


def test_the_script_for_projects_waits_for_its_packages_and_says_what_is_wrong(
    live_server: Any, settings: Any, alice: Any, deployment: Deployment, plane: Any, tmp_path: Path
):
    settings.PORTAL_URL, settings.AIRFLOW_SIGN_IN_PUBLIC_KEY = live_server.url, "public"
    deployment.airflow_secrets = sealed.new_airflow_secrets(deployment_id=deployment.pk)
    deployment.save(update_fields=["airflow_secrets"])
    secret = author_of(deployment, alice)
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "orders.py").write_text("from airflow.sdk import DAG\n")
    (tmp_path / "requirements.txt").write_text("pandas\n")
    (tmp_path / "bin").mkdir()
    # The script waits five seconds between two looks.
    (tmp_path / "bin" / "sleep").write_text("#!/bin/sh\nexec /bin/sleep 0.2\n")
    (tmp_path / "bin" / "sleep").chmod(0o755)
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", str(tmp_path))
    for command in (("init", "-q"), ("add", "dags", "requirements.txt"), ("commit", "-qm", "x")):
        subprocess.run([*git, *command], check=True, timeout=20)
    plane.store.lock = PackageLock(
        text="pandas==2.2 \\\n    --hash=sha256:" + "0" * 64 + "\n",
        packages=(Package(name="pandas", version="2.2"),),
    )
    plane.store.fail("lock_packages", Permanent("There is no pandas 99."))
    at = (deployment, secret, live_server.url, tmp_path)

    with ThreadPoolExecutor() as threads:
        failed = threads.submit(run, "deploy-project.sh", *at, ends=1)
        check_when_asked()
        assert "There is no pandas 99." in failed.result()
        done = threads.submit(run, "deploy-project.sh", *at)
        check_when_asked()
        assert done.result() == "DEPLOYED"

    assert Deploy.objects.get().packages_digest


def check_when_asked() -> None:
    """Do what a worker does, as soon as there is something to check."""
    deadline = time.monotonic() + 40
    while not (found := checking.due(now=timezone.now())):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    checking.check(preview_id=found[0], now=timezone.now())


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
