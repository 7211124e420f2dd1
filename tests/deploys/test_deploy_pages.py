import errno
import io
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage, default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.deployments.models import Deployment, Operation, Revision, RevisionState
from apps.deployments.reconciling.compiler import code_name
from apps.deploys.models import Deploy
from apps.organizations.models import Organization
from tests.clusters.material import registered
from tests.core.pages import check_page
from tests.small_disk import SmallDisk, small_disk

ClientOf = Callable[[User], Client]
DAG = b"from airflow.sdk import dag\n"


@pytest.fixture(autouse=True)
def _storage(settings: Any, tmp_path: Path) -> None:
    default = settings.STORAGES["default"]
    options = {**default["OPTIONS"], "location": tmp_path / "bundles"}
    settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}


def send(
    client: Client, content: bytes, name: str = "etl.py", description: str = "", ref: str = ""
) -> Any:
    file = SimpleUploadedFile(name, content)
    data = {"archive": file, "description": description}
    return client.post(f"/d/{ref or 'etl-prod-7f3c'}/deploys/", data)


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return stream.getvalue()


def settle(deployment: Deployment, state: str = RevisionState.APPLIED) -> None:
    """Let what is on its way arrive, as the reconciler would."""
    deployment.refresh_from_db()
    deployment.operations.filter(state="running").update(state="succeeded", ended_at=timezone.now())
    type(deployment.wanted)._default_manager.filter(pk=deployment.wanted_id).update(state=state)
    Deployment.objects.filter(pk=deployment.pk).update(applied=deployment.wanted)


def test_the_page_is_for_those_who_may_see_code(
    alice: User, bob: User, charlie: User, deployment: Deployment, client_of: ClientOf
) -> None:
    url = f"/d/{deployment.ref}/deploys/"

    assert client_of(alice).get(url).status_code == 200
    assert client_of(bob).get(url).status_code == 200
    assert client_of(charlie).get(url).status_code == 404


def test_an_empty_page_shows_a_sample_dag(
    alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    page = client_of(alice).get(f"/d/{deployment.ref}/deploys/").content.decode()

    assert "No deploys yet" in page
    assert "from airflow.sdk import dag, task" in page


def test_it_delivers_a_file(alice: User, deployment: Deployment, client_of: ClientOf) -> None:
    response = send(client_of(alice), DAG, description="First DAG")

    deploy = Deploy.objects.get()
    operation = Operation.objects.get(kind="deploy")
    deployment.refresh_from_db()
    assert response["Location"] == f"/d/{deployment.ref}/operations/{operation.number}/"
    assert (deploy.number, deploy.n_files, deploy.description) == (1, 1, "First DAG")
    assert deployment.wanted.code_digest == deploy.digest
    assert default_storage.exists(f"code/{deploy.digest}.zip")
    assert operation.title == "Deploy 1: First DAG"
    event = AuditEvent.objects.get(action="deployment.deployed")
    assert deploy.digest[:12] in str(event.changes)


def test_bob_sees_the_form_locked_and_is_refused(
    alice: User, bob: User, deployment: Deployment, client_of: ClientOf
) -> None:
    page = client_of(bob).get(f"/d/{deployment.ref}/deploys/").content.decode()
    response = send(client_of(bob), DAG)

    assert "needs the role" in page
    assert "Alice" in page
    assert response.status_code == 403
    assert not Deploy.objects.exists()


def test_charlie_does_not_learn_that_it_exists(
    charlie: User, deployment: Deployment, client_of: ClientOf
) -> None:
    assert send(client_of(charlie), DAG).status_code == 404


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"def broken(:\n", "etl.py", "etl.py, line 1: invalid syntax."),
        (b"no zip", "dags.zip", "This is not a zip archive"),
        (b"", "etl.py", "The file is empty."),
        (b"x", "etl.tar.bz2", "neither a .py file nor a .zip"),
        (b"x", "etl.tar.gz", "The archive is not complete"),
    ],
)
def test_a_refused_upload_keeps_the_page_and_what_was_typed(
    alice: User,
    deployment: Deployment,
    client_of: ClientOf,
    content: bytes,
    name: str,
    message: str,
) -> None:
    response = send(client_of(alice), content, name, description="Faster <loads>")

    page = response.content.decode()
    assert response.status_code == 422
    assert message in page
    assert "Faster &lt;loads&gt;" in page
    assert "Error: " in page
    assert not Deploy.objects.exists()
    assert not Operation.objects.exists()


def test_no_file_at_all_is_named(alice: User, deployment: Deployment, client_of: ClientOf) -> None:
    response = client_of(alice).post(f"/d/{deployment.ref}/deploys/", {"description": "Kept"})

    assert response.status_code == 422
    assert "Choose a .py file, or a zip or tar.gz" in response.content.decode()
    assert 'value="Kept"' in response.content.decode()


def test_an_upload_that_is_too_large_is_not_kept(
    alice: User, deployment: Deployment, client_of: ClientOf, settings: Any
) -> None:
    settings.CODE_ARCHIVE_MAX_BYTES = 100_000

    response = send(client_of(alice), b"#" * 200_000, description="Kept")

    assert response.status_code == 422
    assert "The file is larger than 98 KiB" in response.content.decode()
    assert 'value="Kept"' in response.content.decode()


def test_code_that_a_cluster_would_refuse_is_refused_at_once(
    alice: User, deployment: Deployment, client_of: ClientOf, organization: Organization
) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(cluster=registered(organization))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("etl.py", DAG)
        archive.writestr("model.bin", os.urandom(12_500_000))

    response = send(client_of(alice), packed.getvalue(), "dags.zip", description="Kept")

    page = response.content.decode()
    assert response.status_code == 422
    assert "Compressed, the code has 12.5 MB. A Deployment on Kubernetes accepts 12 MB" in page
    assert "12 MB compressed" in page
    assert 'value="Kept"' in page
    assert not Deploy.objects.exists()
    assert not default_storage.exists("code") or not default_storage.listdir("code")[1]


def test_plugins_that_a_cluster_would_refuse_are_refused_at_once(
    alice: User, deployment: Deployment, client_of: ClientOf, organization: Organization
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("dags/etl.py", DAG)
        archive.writestr("plugins/data.bin", b"x" * 900_000)
    local = send(client_of(alice), packed.getvalue(), "project.zip")
    Deployment.objects.filter(pk=deployment.pk).update(cluster=registered(organization))

    response = send(client_of(alice), packed.getvalue(), "project.zip")

    assert local.status_code == 302
    assert response.status_code == 422
    assert "The folder plugins has 0.9 MB. A Deployment on" in response.content.decode()


def test_what_is_large_only_before_it_is_packed_is_taken(
    alice: User, deployment: Deployment, client_of: ClientOf, organization: Organization
) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(cluster=registered(organization))

    response = send(client_of(alice), DAG + b"#" + b" wide" * 2_600_000)

    assert response.status_code == 302


def test_a_file_system_that_refuses_modes_takes_code_all_the_same(
    alice: User, deployment: Deployment, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.chmod", refuse)

    response = send(client_of(alice), DAG)

    assert response.status_code == 302
    [deploy] = Deploy.objects.all()
    assert default_storage.size(code_name(deploy.digest)) == deploy.size_bytes


def test_an_archive_is_private_where_the_file_system_has_modes(
    alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    send(client_of(alice), DAG)

    [deploy] = Deploy.objects.all()
    path = Path(default_storage.path(code_name(deploy.digest)))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0


def test_a_full_disk_is_said_and_changes_nothing(
    alice: User, deployment: Deployment, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FileSystemStorage, "save", save)

    response = send(client_of(alice), DAG)

    assert response.status_code == 507
    assert "disk is full" in response.content.decode()
    assert not Deploy.objects.exists()


def test_the_same_code_again_changes_nothing(
    alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    client = client_of(alice)
    send(client, DAG)

    response = client.post(
        f"/d/{deployment.ref}/deploys/", {"archive": SimpleUploadedFile("etl.py", DAG)}, follow=True
    )

    assert "already runs exactly this code" in response.content.decode()
    assert Deploy.objects.count() == 1


def test_code_that_failed_to_apply_may_be_sent_again(
    alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    send(client_of(alice), DAG)
    settle(deployment, RevisionState.FAILED)

    send(client_of(alice), DAG)

    assert Deploy.objects.count() == 2


def test_half_an_archive_of_an_interrupted_attempt_is_replaced(
    alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    send(client_of(alice), DAG)
    deploy = Deploy.objects.get()
    path = Path(default_storage.path(f"code/{deploy.digest}.zip"))
    whole = path.read_bytes()
    path.write_bytes(whole[:10])
    settle(deployment, RevisionState.FAILED)

    send(client_of(alice), DAG)

    assert path.read_bytes() == whole


def test_going_back_is_a_new_deploy_with_the_old_code(
    alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    client = client_of(alice)
    send(client, DAG, description="One")
    settle(deployment)
    send(client, DAG + b"# two\n", description="Two")
    settle(deployment)

    response = client.post(f"/d/{deployment.ref}/deploys/1/roll-back/")

    first, _, third = Deploy.objects.order_by("number")
    deployment.refresh_from_db()
    assert response.status_code == 302
    assert (third.digest, third.rollback_of) == (first.digest, first)
    assert third.description == "Roll back to deploy 1"
    assert deployment.wanted.code_digest == first.digest
    assert Operation.objects.order_by("-number")[0].kind == "roll-back"
    assert AuditEvent.objects.filter(action="deployment.rolled_back").exists()


def test_going_back_to_the_current_code_changes_nothing(
    alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    client = client_of(alice)
    send(client, DAG)

    response = client.post(f"/d/{deployment.ref}/deploys/1/roll-back/", follow=True)

    assert "already runs exactly this code" in response.content.decode()
    assert Deploy.objects.count() == 1


def test_going_back_needs_the_right_to_deliver(
    alice: User, bob: User, charlie: User, deployment: Deployment, client_of: ClientOf
) -> None:
    send(client_of(alice), DAG)
    url = f"/d/{deployment.ref}/deploys/1/roll-back/"

    assert client_of(bob).post(url).status_code == 403
    assert client_of(charlie).post(url).status_code == 404
    assert client_of(alice).get(url).status_code == 405


def test_going_back_says_when_the_archive_is_gone(
    alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    client = client_of(alice)
    send(client, DAG)
    settle(deployment)
    send(client, DAG + b"# two\n")
    settle(deployment)
    default_storage.delete(f"code/{Deploy.objects.get(number=1).digest}.zip")

    response = client.post(f"/d/{deployment.ref}/deploys/1/roll-back/", follow=True)

    assert "no longer in the portal&#x27;s storage" in response.content.decode()


def test_the_page_of_a_deploy_shows_what_changed(
    alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    def packed(**files: bytes) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in files.items():
                archive.writestr(f"{name}.py", content)
        return buffer.getvalue()

    client = client_of(alice)
    send(client, packed(same=DAG, old=DAG, edited=DAG), "dags.zip")
    settle(deployment)
    send(client, packed(same=DAG, new=DAG, edited=b"x = 1\n"), "dags.zip")

    applied = Deploy.objects.get(number=2).revision.operations.get()
    failed = {"state": "failed", "detail": "It did not start.", "log": "its last line"}
    applied.steps.create(position=1, key="core", title="Core components", **failed)

    response = client.get(f"/d/{deployment.ref}/deploys/2/")

    page = response.content.decode()
    check_page(page)
    for words in ("Core components", "It did not start.", "its last line"):
        assert words in page
    changes = {change.path: change.change for change in response.context["changes"]}
    assert changes == {"edited.py": "changed", "new.py": "added", "old.py": "removed"}


def test_the_page_of_a_deploy_is_hidden_from_others(
    alice: User, bob: User, charlie: User, deployment: Deployment, client_of: ClientOf
) -> None:
    send(client_of(alice), DAG)
    for path in ("", "download/"):
        url = f"/d/{deployment.ref}/deploys/1/{path}"
        response = client_of(bob).get(url)
        b"".join(response)  # a stream that nobody reads leaves its file open
        assert response.status_code == 200
        assert client_of(charlie).get(url).status_code == 404
    assert client_of(alice).get(f"/d/{deployment.ref}/deploys/9/").status_code == 404


def test_a_version_can_be_downloaded(
    alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    send(client_of(alice), DAG)

    response = client_of(alice).get(f"/d/{deployment.ref}/deploys/1/download/")

    content = b"".join(response.streaming_content)
    assert response["Content-Disposition"] == 'attachment; filename="etl-prod-7f3c-deploy-1.zip"'
    assert zipfile.ZipFile(io.BytesIO(content)).read("etl.py") == DAG


def test_a_hostile_file_name_is_shown_as_text(
    alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    client = client_of(alice)
    send(client, DAG, "<img src=x onerror=alert(1)>.py")

    page = client.get(f"/d/{deployment.ref}/deploys/1/").content.decode()

    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_the_history_costs_the_same_with_many_deploys_and_little_more_for_bob(
    alice: User,
    bob: User,
    deployment: Deployment,
    client_of: ClientOf,
    django_assert_max_num_queries: Any,
) -> None:
    client = client_of(alice)
    for number in range(4):
        send(client, DAG + b"# %d\n" % number)
        settle(deployment)

    client.get(f"/d/{deployment.ref}/")  # what is opened first is noted in the session

    with django_assert_max_num_queries(12):
        client.get(f"/d/{deployment.ref}/deploys/")
    bobs = client_of(bob)
    bobs.get(f"/d/{deployment.ref}/")  # the first page of a session writes it down
    with django_assert_max_num_queries(12 + 2):
        bobs.get(f"/d/{deployment.ref}/deploys/")


def test_the_history_shows_fifty_on_a_page(
    alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    numbers = range(2, 53)
    revisions = Revision.objects.bulk_create(
        Revision(deployment=deployment, number=number, config={}, state=RevisionState.SUPERSEDED)
        for number in numbers
    )
    Deploy.objects.bulk_create(
        Deploy(
            deployment=deployment,
            revision=revision,
            number=revision.number,
            digest=f"{revision.number:064d}",
            file_name="etl.py",
            size_bytes=1,
            n_files=1,
            files=[],
        )
        for revision in revisions
    )
    client, url = client_of(alice), f"/d/{deployment.ref}/deploys/"

    assert "1 to 50 of 51" in client.get(url).content.decode()
    assert "51 to 51 of 51" in client.get(f"{url}?page=2").content.decode()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as mounted:
        yield mounted


@pytest.mark.parametrize("full", ["bundles", "temporary", "uploads"])
def test_on_a_really_full_disk_nothing_is_half_stored_and_with_room_it_is(
    full: str,
    alice: User,
    deployment: Deployment,
    client_of: ClientOf,
    disk: SmallDisk,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The place where code is kept, where it is checked, or where uploads arrive is full."""
    if full == "bundles":
        default = settings.STORAGES["default"]
        options = {**default["OPTIONS"], "location": disk.path}
        settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}
    if full == "temporary":
        monkeypatch.setattr(tempfile, "tempdir", str(disk.path))
        settings.FILE_UPLOAD_TEMP_DIR = disk.path.parent
    if full == "uploads":
        settings.FILE_UPLOAD_TEMP_DIR = disk.path
    dag = DAG + b"# " + b"x" * 2**20
    disk.fill()

    response = send(client_of(alice), dag)

    assert response.status_code == 507
    assert "disk is full" in response.content.decode()
    assert not Deploy.objects.exists()
    assert disk.files() == []
    disk.make_room()
    assert send(client_of(alice), dag).status_code == 302
    assert default_storage.exists(code_name(Deploy.objects.get().digest))


SALES = b"from airflow.sdk import DAG\nDAG('sales')\n"
TWICE = {"<b>.py": SALES, "b.py": SALES}


def test_the_same_dag_in_two_files_is_said_as_long_as_that_code_is_used(
    alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    client, page = client_of(alice), f"/d/{deployment.ref}/"
    told = "&lt;b&gt;.py and b.py define the same DAG id, sales."
    pages = []

    def look() -> None:
        settle(deployment)
        pages.append(client.get(page).content.decode())

    look()
    delivered = client.get(send(client, zipped(TWICE), "dags.zip")["Location"]).content.decode()
    look()
    send(client, DAG)
    look()
    client.post(f"/d/{deployment.ref}/deploys/1/roll-back/")
    look()

    assert told in delivered
    assert [told in one for one in pages] == [False, True, False, True]
    assert "<b>.py" not in "".join(pages)
