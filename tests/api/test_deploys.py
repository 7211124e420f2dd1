"""`astro deploy --dags`, call by call, as the client makes them."""

import base64
import io
import tarfile

import pytest
from django.utils import timezone

from apps.api.changes.uploads import BLOCK
from apps.core.public_ids import public_id
from apps.dataplane.errors import Permanent
from apps.dataplane.project import ParsedProject
from apps.deployments.secrets import sealed
from apps.deploys.incoming import blobs
from apps.deploys.models import Deploy, Preview, Upload
from apps.deploys.previews import checking
from tests.core.pages import check_page
from tests.deploys.test_deploy_pages import settle
from tests.deploys.test_previews import LOCK, SALES

DAG = b"from airflow.sdk import DAG\nwith DAG('orders_daily'):\n    pass\n"


def tarball(**files: bytes) -> bytes:
    """Pack files as the client does; `__` in a name is a slash."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in (files or {"dags__orders.py": DAG}).items():
            member = tarfile.TarInfo(name.replace("__", "/"))
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def announce(program, deployment, **body):
    path = f"/deployments/{public_id('deployment', deployment.pk)}/deploys"
    answer = program.post(path, {"type": "DAG_ONLY", "description": "a1b2c3", **body})
    return path, answer


def put(client, url: str, content: bytes, query: str = ""):
    path = url.partition("/uploads/")[2]
    return client.generic("PUT", f"/uploads/{path}{query}", content, "application/octet-stream")


@pytest.fixture
def program(alice, program_of):
    return program_of(alice)


def test_dags_are_announced_uploaded_and_deployed(program, client, alice, deployment):
    path, answer = announce(program, deployment)
    announced = answer.json()

    uploaded = put(client, announced["dagsUploadUrl"], tarball())
    version = uploaded["x-ms-version-id"]
    done = program.post(f"{path}/{announced['id']}/finalize", {"dagTarballVersion": version})

    assert (answer.status_code, uploaded.status_code, done.status_code) == (200, 201, 200)
    assert announced["status"] == "INITIALIZED"
    assert done.json()["dagTarballVersion"] == version
    assert done.json()["status"] == "DEPLOYED"
    deploy = Deploy.objects.get()
    assert [file["path"] for file in deploy.files] == ["orders.py"]
    assert (deploy.description, deploy.created_by) == ("a1b2c3", alice)
    listed = program.get(path).json()["deploys"]
    assert [one["id"] for one in listed] == [announced["id"]]
    assert program.get(f"{path}/{announced['id']}").json()["status"] == "DEPLOYED"
    assert blobs.whole_of(Upload.objects.get().name) is None


def test_what_is_large_comes_in_blocks(program, client, deployment):
    path, answer = announce(program, deployment)
    url, content = answer.json()["dagsUploadUrl"], tarball()
    names = [base64.b64encode(bytes([number] * 16)).decode() for number in range(2)]
    half = len(content) // 2

    # In any order, and one of them twice, as after a connection that broke.
    for name, part in ((1, content[half:]), (0, b"broken"), (0, content[:half])):
        assert put(client, url, part, f"&comp=block&blockid={names[name]}").status_code == 201
    listed = "".join(f"<Latest>{name}</Latest>" for name in names)
    joined = put(client, url, f"<BlockList>{listed}</BlockList>".encode(), "&comp=blocklist")

    assert joined.status_code == 201
    version = {"dagTarballVersion": joined["x-ms-version-id"]}
    assert program.post(f"{path}/{answer.json()['id']}/finalize", version).status_code == 200
    assert Deploy.objects.get().n_files == 1


def test_the_list_of_blocks_may_have_any_names_of_base64():
    text = b"<?xml ?><BlockList><Latest>a+/=</Latest><Uncommitted>b-_</Uncommitted></BlockList>"

    assert BLOCK.findall(text) == [b"a+/=", b"b-_"]


def test_a_block_that_was_not_uploaded_is_missed(program, client, deployment):
    url = announce(program, deployment)[1].json()["dagsUploadUrl"]

    answer = put(client, url, b"<BlockList><Latest>bm8=</Latest></BlockList>", "&comp=blocklist")

    assert (answer.status_code, answer["x-ms-error-code"]) == (400, "InvalidBlockList")


def test_nothing_is_deployed_that_was_not_uploaded(program, client, deployment):
    path, answer = announce(program, deployment)
    finish = f"{path}/{answer.json()['id']}/finalize"

    empty = program.post(finish, {"dagTarballVersion": "x"})
    put(client, answer.json()["dagsUploadUrl"], tarball())
    other = program.post(finish, {"dagTarballVersion": "another"})

    assert [empty.status_code, other.status_code] == [409, 409]
    assert "Upload the code first" in empty.json()["message"]
    assert not Deploy.objects.exists()


def test_the_same_code_again_is_no_failure(program, client, deployment):
    for _ in range(2):
        path, answer = announce(program, deployment)
        put(client, answer.json()["dagsUploadUrl"], tarball())
        finish = f"{path}/{answer.json()['id']}/finalize"
        assert program.post(finish).status_code == 200
        assert program.post(finish).json()["status"] == "DEPLOYED"

    assert Deploy.objects.count() == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"no archive at all", "no gzipped tar archive"),
        (tarball()[:-30], "no gzipped tar archive"),
        (tarball(**{"dags__broken.py": b"def ("}), "broken.py"),
        (tarball(**{"dags__..__..__etc__passwd": b"x"}), ""),
        (tarball(**{"dags__data.csv": b"x"}), "no .py file"),
    ],
)
def test_code_that_is_not_accepted_is_refused_with_the_reason(
    program, client, deployment, content, sentence
):
    path, answer = announce(program, deployment)
    put(client, answer.json()["dagsUploadUrl"], content)

    refused = program.post(f"{path}/{answer.json()['id']}/finalize")

    assert refused.status_code == 400
    assert sentence in refused.json()["message"]
    assert program.get(f"{path}/{answer.json()['id']}").json()["status"] == "FAILED"
    assert not Deploy.objects.exists()


def test_links_in_a_tar_lead_nowhere(program, client, deployment):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        link = tarfile.TarInfo("dags/link.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    path, answer = announce(program, deployment)
    put(client, answer.json()["dagsUploadUrl"], out.getvalue())

    refused = program.post(f"{path}/{answer.json()['id']}/finalize")

    assert "is a link" in refused.json()["message"]


def test_an_upload_is_no_larger_than_code_may_be(program, client, deployment, settings):
    settings.CODE_ARCHIVE_MAX_BYTES = 100
    url = announce(program, deployment)[1].json()["dagsUploadUrl"]

    whole = put(client, url, b"x" * 101)
    first = put(client, url, b"x" * 60, "&comp=block&blockid=MQ==")
    second = put(client, url, b"x" * 60, "&comp=block&blockid=Mg==")

    assert [whole.status_code, first.status_code, second.status_code] == [413, 201, 413]


def test_the_address_of_an_upload_is_its_only_proof(program, client, deployment):
    path, answer = announce(program, deployment)
    url = answer.json()["dagsUploadUrl"]

    assert put(client, url[:-3] + "abc", tarball()).status_code == 403
    assert put(client, "http://localhost/uploads/?key=", b"").status_code == 403
    assert client.get("/uploads/" + url.partition("/uploads/")[2]).status_code == 405
    put(client, url, tarball())
    program.post(f"{path}/{answer.json()['id']}/finalize")
    assert put(client, url, tarball()).status_code == 403, "it is finished"


def test_another_deployments_deploy_is_not_found_here(program, client, make_deployment):
    one, other = make_deployment(), make_deployment()
    _, answer = announce(program, one)
    elsewhere = f"/deployments/{public_id('deployment', other.pk)}/deploys/{answer.json()['id']}"

    assert program.get(elsewhere).status_code == 404
    assert program.post(f"{elsewhere}/finalize").status_code == 404


def test_bundles_are_not_taken_and_the_answer_says_what_is(program, deployment):
    answer = announce(program, deployment, type="BUNDLE")[1]

    assert answer.status_code == 400
    assert "DAG_ONLY, IMAGE_ONLY and IMAGE_AND_DAG" in answer.json()["message"]


def test_an_earlier_deploy_is_deployed_again(program, client, deployment):
    ids = []
    for name in ("one", "two"):
        path, answer = announce(program, deployment)
        put(client, answer.json()["dagsUploadUrl"], tarball(**{f"dags__{name}.py": DAG}))
        ids.append(program.post(f"{path}/{answer.json()['id']}/finalize").json()["id"])
        settle(deployment)

    again = program.post(f"{path}/{ids[0]}/rollback").json()

    assert again["rollbackFromId"] == ids[0]
    assert Deploy.objects.count() == 3


@pytest.fixture
def packages(plane, deployment, settings, tmp_path):
    """A plane that chooses and installs packages."""
    default = settings.STORAGES["default"]
    options = {**default["OPTIONS"], "location": tmp_path / "bundles"}
    settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}
    settings.AIRFLOW_SIGN_IN_PUBLIC_KEY = "public"
    deployment.airflow_secrets = sealed.new_airflow_secrets(deployment_id=deployment.pk)
    deployment.save(update_fields=["airflow_secrets"])
    plane.store.lock = LOCK
    plane.store.project = ParsedProject(dags=(SALES,), file_count=1)
    return plane.store


def deploy_project(program, client, deployment):
    """Upload a project with packages and finish; return where the deploy is."""
    path, answer = announce(program, deployment)
    project = {"dags__sales.py": DAG, "requirements.txt": b"pandas\n"}
    put(client, answer.json()["dagsUploadUrl"], tarball(**project))
    done = program.post(f"{path}/{answer.json()['id']}/finalize")
    assert (done.status_code, done.json()["status"]) == (200, "INITIALIZED"), done.content
    return f"{path}/{answer.json()['id']}"


def check_packages():
    """Do the job of a worker."""
    checking.check(preview_id=Preview.objects.get().pk, now=timezone.now())


def test_a_project_with_packages_is_deployed_once_they_are_installed(
    program, client, deployment, packages
):
    here = f"/deployments/{public_id('deployment', deployment.pk)}"

    at = deploy_project(program, client, deployment)
    waiting = program.get(here).json()
    check_packages()

    assert waiting["status"] == "DEPLOYING"
    assert "packages" in waiting["statusReason"]
    assert program.get(at).json()["status"] == "DEPLOYED"
    assert program.get(here).json()["statusReason"] != waiting["statusReason"]
    assert Deploy.objects.get().packages_digest
    deploy = Deploy.objects.get()
    found = program.get(at).json()
    assert found["number"] == deploy.number
    assert found["packagesDigest"] == deploy.packages_digest
    assert found["steps"][0]["state"] == "done"
    assert all(step["startedAt"] and step["endedAt"] for step in found["steps"][:2])
    applied = deploy.revision.operations.get()
    applied.steps.create(position=1, key="core", title="Core", state="failed", log="line 1\nline 2")
    last = program.get(at).json()["steps"][-1]
    assert (last["title"], last["state"], last["log"]) == ("Core", "failed", "line 1\nline 2")
    assert "steps" not in program.get(f"{here}/deploys").json()["deploys"][0]


def test_what_is_wrong_with_a_project_is_said_where_its_deploy_is(
    program, client, deployment, packages
):
    packages.fail("lock_packages", Permanent("There is no pandas 99."))
    at = deploy_project(program, client, deployment)
    check_packages()
    failed = program.get(at).json()
    Preview.objects.update(state="ready")
    undecided = program.get(at).json()

    assert (failed["status"], failed["statusReason"]) == ("FAILED", "There is no pandas 99.")
    assert failed["steps"][-1]["state"] == "failed"
    assert failed["steps"][-1]["detail"] == "There is no pandas 99."
    assert "/deploys/previews/1/" in undecided["statusReason"]
    assert not Deploy.objects.exists()


def test_people_may_not_deploy_where_tokens_and_git_alone_may(
    program, token_program, client, deployment, workspace
):
    here = f"/deployments/{public_id('deployment', deployment.pk)}"
    body = {"name": deployment.name, "isCicdEnforced": True}
    at_workspace = f"/workspaces/{public_id('workspace', workspace.pk)}"

    assert program.post(here, body).json()["isCicdEnforced"] is True
    assert program.get("/deployments").json()["deployments"][0]["isCicdEnforced"] is True
    by_person = finish(program, client, deployment)
    by_token = finish(token_program(workspace, "author"), client, deployment)
    # What a client read and sends back decides nothing.
    program.post(here, {**body, "isCicdEnforced": False})
    default = program.post(at_workspace, {"name": workspace.name, "cicdEnforcedDefault": True})

    assert [by_person.status_code, by_token.status_code] == [409, 200]
    assert "CI/CD enforcement is on" in by_person.json()["message"]
    assert default.json()["cicdEnforcedDefault"] is True
    (listed,) = program.get("/workspaces").json()["workspaces"]
    assert listed["cicdEnforcedDefault"] is True
    assert program.get(at_workspace).json()["cicdEnforcedDefault"] is True
    assert program.get(here).json()["isCicdEnforced"] is False


def finish(program, client, deployment):
    path, answer = announce(program, deployment)
    put(client, answer.json()["dagsUploadUrl"], tarball())
    return program.post(f"{path}/{answer.json()['id']}/finalize")


COMMIT = {
    "provider": "GITHUB",
    "account": "acme",
    "repo": "dags",
    "branch": "main",
    "path": "pipelines",
    "commitSha": "3F1C9A0D5B7E3f1c9a0d5b7e3f1c9a0d5b7e3f1c",
    "commitUrl": "https://github.com/acme/dags/commit/3f1c9a0d5b7e",
    "authorName": "Ada <b>",
}


def test_the_commit_that_a_client_names_is_kept_with_the_deploy(
    program, client, client_of, alice, deployment
):
    path, answer = announce(program, deployment, git=COMMIT, description="Add orders")
    put(client, answer.json()["dagsUploadUrl"], tarball())

    done = program.post(f"{path}/{answer.json()['id']}/finalize", {})

    assert done.json()["git"] == {
        "repository": "github.com/acme/dags",
        "branch": "main",
        "path": "pipelines",
        "commitSha": COMMIT["commitSha"].lower(),
        "authorName": "Ada <b>",
        "message": "Add orders",
        "commitUrl": COMMIT["commitUrl"],
    }
    deploy = Deploy.objects.get()
    assert (deploy.source, deploy.reason[:19]) == ("hand", "Commit 3f1c9a0d5b7e")
    for page in ("", "1/"):
        shown = client_of(alice).get(f"/d/{deployment.ref}/deploys/{page}").content.decode()
        check_page(shown)
        assert f'href="{COMMIT["commitUrl"]}"' in shown


@pytest.mark.parametrize(
    ("remote", "repository", "url"),
    [
        (
            "https://ci:canary-token@gitlab.com/acme/data/dags.git",
            "gitlab.com/acme/data/dags",
            "https://gitlab.com/acme/data/dags/-/commit/3f1c",
        ),
        ("https://a:b@canary-token@git.acme.test/dags", "git.acme.test/dags", ""),
        (
            "git@bitbucket.org:acme/dags.git",
            "bitbucket.org:acme/dags",
            "https://bitbucket.org/acme/dags/commits/3f1c",
        ),
        ("canary-token@/x?y=canary-token", "/x", ""),
        ("javascript:alert(1)", "javascript:alert(1)", ""),
        ("https://[canary", "[canary", ""),
        ("", "", ""),
    ],
)
def test_of_the_address_of_a_repository_nothing_secret_is_kept(
    program, client, deployment, remote, repository, url
):
    hostile = "https://ci:canary-token@gitlab.com/x"
    git = {"commitSha": "3f1c", "remoteUrl": remote, "provider": "GENERIC", "commitUrl": hostile}
    path, answer = announce(program, deployment, git=git)
    put(client, answer.json()["dagsUploadUrl"], tarball())

    done = program.post(f"{path}/{answer.json()['id']}/finalize", {})

    assert done.status_code == 200, done.content
    kept = done.json()["git"]
    assert (kept["repository"], kept["commitUrl"]) == (repository, url)
    stored = str([*Upload.objects.values_list("origin"), *Deploy.objects.values_list("git_url")])
    assert "canary-token" not in stored


@pytest.mark.parametrize("sha", ["", "main", "3f1c\x00", "x" * 65])
def test_a_commit_has_a_hash(program, deployment, sha):
    answer = announce(program, deployment, git={"commitSha": sha})[1]

    assert answer.status_code == 400
    assert "git.commitSha" in str(answer.json())
    assert not Upload.objects.exists()


def test_words_of_a_commit_that_no_column_holds_are_refused(program, deployment):
    answer = announce(program, deployment, git={"commitSha": "3f1c", "authorName": "a\x00"})[1]

    assert answer.status_code == 400


def test_long_words_of_a_commit_are_shortened(program, client, deployment):
    git = {"commitSha": "3f1c", "branch": "b" * 1_000, "remoteUrl": "https://x.test/" + "r" * 900}
    path, answer = announce(program, deployment, git=git)
    put(client, answer.json()["dagsUploadUrl"], tarball())

    done = program.post(f"{path}/{answer.json()['id']}/finalize", {})

    assert (len(done.json()["git"]["branch"]), len(done.json()["git"]["repository"])) == (255, 300)
