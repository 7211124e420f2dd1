"""The pages of Airflows from elsewhere, on the fake data plane."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.sign_in.address_proof import earlier_access_ended
from apps.airflow_imports import jobs, services, tasks
from apps.airflow_imports.models import AirflowImport, ImportState
from apps.airflow_imports.source.options import names_in, sorted_by_fate
from apps.airflow_imports.source.sealing import open_secrets
from apps.airflow_imports.work import cleanup, reading, unpausing
from apps.audit.models import AuditEvent
from apps.clusters.models import Cluster
from apps.core.errors import Conflict
from apps.dags import services as dag_services
from apps.dags.airflow.api import NotInAirflow
from apps.dataplane.errors import Permanent
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.imports.scratch import ScratchBusy
from apps.deployments.models import Deployment, Phase, Revision
from apps.deployments.reconciling.compiler import compile_spec
from apps.deployments.secrets import sealed
from apps.organizations.models import Workspace
from tests.backups.conftest import folder
from tests.conftest import custom_role, make_user, put_role
from tests.kubernetes.certificates import with_private_key

__all__ = ["folder"]
WITH_KEY = with_private_key()
pytestmark = pytest.mark.django_db
KEY = "7T512UXSSmBOkpWimFHIVb8jK6lfmSAvx4mO6Arehnc="
PASSWORD = "of-the-warehouse"
SERVER = {
    "host": "db.example.org",
    "port": "5432",
    "database": "airflow",
    "user": "reader",
    "password": PASSWORD,
    "encryption": "verified",
    "fernet_key": KEY,
}
DUMP = {"port": "5432", "encryption": "verified", "fernet_key": KEY}


@pytest.fixture
def url(workspace: Workspace, cluster: Cluster, plane: type[FakePlane]) -> str:
    return f"/w/{workspace.slug}/imports/"


def dump(content: bytes = b"PGDMP") -> SimpleUploadedFile:
    return SimpleUploadedFile("airflow.dump", content)


def brought(client: Client, url: str, **fields: Any) -> AirflowImport:
    response = client.post(f"{url}new/", {**DUMP, "dump": dump(), **fields})
    assert response.status_code == 302, response.content.decode()
    return AirflowImport.objects.latest("created_at")


def read(row: AirflowImport) -> AirflowImport:
    reading.read_import(import_id=str(row.pk), now=timezone.now())
    row.refresh_from_db()
    return row


def test_alice_brings_a_dump_and_makes_a_deployment_of_it(
    client_of: Callable[[User], Client], alice: User, url: str, folder: Path
) -> None:
    client = client_of(alice)
    row = read(brought(client, url))
    page = client.get(f"{url}{row.pk}/").content.decode()
    for word in ("2.10.3 to 2.11", "orders_daily", "ada@example.org", "Create Deployment"):
        assert word in page
    assert [path.name for path in (folder / "imports").iterdir()] == [f"{row.pk}.dump"]

    response = client.post(
        f"{url}{row.pk}/create/", {"name": "shop", "runtime": "3.3.2-1", "executor": "celery"}
    )

    deployment = Deployment.objects.get(name="shop")
    assert response.headers["Location"] == f"/d/{deployment.ref}/operations/1/"
    assert deployment.wanted
    wish = compile_spec(deployment=deployment, revision=deployment.wanted).restore
    assert wish
    assert wish.pauses_dags
    assert Path(wish.dump_path) == row.archive
    assert wish.airflow_version == "2.10.3"
    assert sealed.open_airflow_secrets(deployment).fernet_key == KEY
    row.refresh_from_db()
    assert (row.state, row.sealed) == (ImportState.USED, None)
    assert client.post(f"{url}{row.pk}/create/", {"name": "b", "runtime": "3.3.2-1"})
    assert not Deployment.objects.filter(name="b").exists()


def test_a_running_database_is_named_and_its_password_seen_nowhere(
    client_of: Callable[[User], Client], alice: User, url: str, plane: type[FakePlane]
) -> None:
    client = client_of(alice)

    assert client.post(f"{url}new/", SERVER).status_code == 302

    row = AirflowImport.objects.get()
    assert open_secrets(row).password == PASSWORD
    for secret in (PASSWORD, KEY):
        assert secret not in client.get(f"{url}{row.pk}/").content.decode()
        assert secret.encode() not in bytes(row.sealed or b"")
        assert secret not in str(list(AuditEvent.objects.values_list("changes", flat=True)))
    assert "reader at db.example.org:5432" in client.get(f"{url}{row.pk}/").content.decode()
    assert open_secrets(read(row)).password == "", "it is forgotten when it was read"


def test_others_are_refused(
    client_of: Callable[[User], Client], alice: User, bob: User, charlie: User, url: str
) -> None:
    row = read(brought(client_of(alice), url))

    for user, status in ((bob, 403), (charlie, 404)):
        client = client_of(user)
        for path in ("", "new/", f"{row.pk}/"):
            assert client.get(f"{url}{path}").status_code == status
        for path in ("new/", f"{row.pk}/create/", f"{row.pk}/unpause/", f"{row.pk}/remove/"):
            assert client.post(f"{url}{path}", SERVER).status_code == status
    assert AirflowImport.objects.count() == 1


def test_a_database_is_code_for_those_who_may_deploy_some(
    client_of: Callable[[User], Client], alice: User, workspace: Workspace, url: str
) -> None:
    creates = ("workspace.view", "workspace.deployments.create")
    edith = make_user("Edith")
    made = custom_role(
        "Creator", creates, organization=workspace.organization, actor=alice, scope="workspace"
    )
    put_role(edith, made, workspace)
    row = read(brought(client_of(alice), url))
    client = client_of(edith)

    begun = client.post(f"{url}new/", {**DUMP, "dump": dump()})
    created = client.post(
        f"{url}{row.pk}/create/", {"name": "shop", "runtime": "3.3.2-1", "executor": "celery"}
    )

    for response in (begun, created):
        assert response.status_code == 422
        assert "brings code along" in response.content.decode()
    assert AirflowImport.objects.count() == 1
    assert not Deployment.objects.exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"host": ""}, "Upload a dump or an airflow.db, or enter the host name"),
        ({"host": "https://db/x"}, "Enter the host name alone"),
        ({"host": "a,b"}, "Enter the host name alone"),
        ({"database": ""}, "Enter the name of the database"),
        ({"user": "a b"}, "Enter the user"),
        ({"port": "0"}, "greater than or equal to 1"),
        ({"fernet_key": "short"}, "This is no Fernet key"),
        ({"ca_certificate": "x"}, "certificates in PEM"),
        ({"ca_certificate": WITH_KEY}, "This has a private key."),
        ({"encryption": "maybe"}, "Select a valid choice"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    client_of: Callable[[User], Client],
    alice: User,
    url: str,
    changes: dict[str, str],
    sentence: str,
) -> None:
    response = client_of(alice).post(f"{url}new/", {**SERVER, **changes})

    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert PASSWORD not in response.content.decode()
    assert not AirflowImport.objects.exists()


def test_a_dump_may_be_larger_than_code_but_not_than_its_limit(
    client_of: Callable[[User], Client], alice: User, url: str, settings: Any
) -> None:
    settings.CODE_ARCHIVE_MAX_BYTES, settings.UPLOAD_MAX_BYTES = 10, {"airflow_imports:new": 1000}
    client = client_of(alice)

    assert client.post(f"{url}new/", {**DUMP, "dump": dump(b"x" * 900)}).status_code == 302
    response = client.post(f"{url}new/", {**DUMP, "dump": dump(b"x" * 2000)})

    assert response.status_code == 422
    assert "The file is larger than" in response.content.decode()


def test_what_is_wrong_with_a_database_is_on_the_page(
    client_of: Callable[[User], Client],
    alice: User,
    url: str,
    plane: type[FakePlane],
    folder: Path,
) -> None:
    plane.store.fail("import_database", Permanent("The Fernet key does not decrypt 2 of 2."))
    client = client_of(alice)

    row = read(brought(client, url))

    assert row.state == ImportState.FAILED
    assert row.sealed is None
    assert "does not decrypt 2 of 2" in client.get(f"{url}{row.pk}/").content.decode()
    assert [*(folder / "imports").iterdir()] == []


def test_one_that_takes_too_long_is_given_up(
    client_of: Callable[[User], Client], alice: User, url: str, plane: type[FakePlane]
) -> None:
    plane.store.fail("import_database", SoftTimeLimitExceeded())

    row = read(brought(client_of(alice), url))

    assert (row.state, row.failure) == (ImportState.FAILED, reading.TOO_LONG)
    assert not row.upload.exists()


def test_a_worker_that_was_killed_is_followed_by_another_three_times(
    client_of: Callable[[User], Client], alice: User, url: str
) -> None:
    row = brought(client_of(alice), url)
    AirflowImport.objects.update(state="running", attempts=3, lease_until=timezone.now())

    row = read(row)

    assert row.state == ImportState.FAILED
    assert "cut off three times" in row.failure


def test_while_another_is_read_it_waits_and_that_is_no_attempt(
    client_of: Callable[[User], Client],
    alice: User,
    url: str,
    plane: type[FakePlane],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plane.store.fail("import_database", ScratchBusy("Another Airflow is being read."))
    asked: list[str] = []
    monkeypatch.setattr(jobs, "request_read", asked.append)
    first, second = brought(client_of(alice), url), brought(client_of(alice), url)
    asked.clear()

    tasks.read_import(str(first.pk))

    first.refresh_from_db()
    assert (first.state, first.attempts, first.lease_until) == (ImportState.WAITING, 0, None)
    assert asked == [], "one that waits asks for no other, which would wait, too"
    tasks.read_import(str(second.pk))
    assert asked == [str(first.pk)], "its turn comes at once"
    assert read(first).state == ImportState.READY


def test_dags_are_unpaused_with_the_rights_of_whoever_asked(
    client_of: Callable[[User], Client],
    alice: User,
    bob: User,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = client_of(alice)
    row = read(brought(client, url))
    client.post(
        f"{url}{row.pk}/create/", {"name": "shop", "runtime": "3.3.2-1", "executor": "local"}
    )
    row.refresh_from_db()
    with pytest.raises(Conflict, match="Wait until the Deployment runs"):
        services.request_unpause(actor=alice, row=row)
    deployment = Deployment.objects.get(name="shop")
    deployment.applied = deployment.wanted
    deployment.save()
    done: list[tuple[str, bool]] = []

    def pause(*, actor: User, deployment: Deployment, dag_id: str, is_paused: bool) -> None:
        done.append((dag_id, is_paused))
        raise NotInAirflow("Airflow does not know this DAG.")

    monkeypatch.setattr(unpausing, "pause_dag", pause)
    assert client.post(f"{url}{row.pk}/unpause/").status_code == 302
    assert unpausing.asked() == [str(row.pk)]
    unpausing.unpause_dags(import_id=str(row.pk), now=timezone.now())

    page = client.get(f"{url}{row.pk}/").content.decode()
    assert done == [("orders_daily", False)]
    assert "Airflow does not know this DAG." in page
    assert unpausing.asked() == []
    AirflowImport.objects.update(unpaused_by=bob, unpause={"asked": "now"})
    unpausing.unpause_dags(import_id=str(row.pk), now=timezone.now())
    assert done == [("orders_daily", False)], "Bob may not"
    assert dag_services.pause_dag is not pause


def test_dags_that_are_left_stay_paused_when_the_wish_is_withdrawn(
    client_of: Callable[[User], Client], alice: User, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(alice)
    row = read(brought(client, url))
    client.post(
        f"{url}{row.pk}/create/", {"name": "shop", "runtime": "3.3.2-1", "executor": "local"}
    )
    row.refresh_from_db()
    row.report["dags"] = [{"dag_id": one, "is_paused": False} for one in ("first", "second")]
    row.unpause, row.unpaused_by = {"asked": "now"}, alice
    row.save()
    done: list[str] = []

    def pause(*, dag_id: str, **_: object) -> None:
        done.append(dag_id)
        earlier_access_ended.send(sender=User, user=alice)

    monkeypatch.setattr(unpausing, "pause_dag", pause)
    unpausing.unpause_dags(import_id=str(row.pk), now=timezone.now())

    row.refresh_from_db()
    assert len(done) == 1
    assert (row.unpause, row.lease_until) == ({}, None)


def test_it_is_kept_as_long_as_a_deployment_needs_it(
    client_of: Callable[[User], Client], alice: User, url: str
) -> None:
    client = client_of(alice)
    row = read(brought(client, url))
    client.post(
        f"{url}{row.pk}/create/", {"name": "shop", "runtime": "3.3.2-1", "executor": "local"}
    )
    row.refresh_from_db()
    later = timezone.now() + services.KEPT * 2

    assert cleanup.remove_expired(now=later) == 0
    with pytest.raises(Conflict, match="is being created from it"):
        services.remove_import(actor=alice, row=row)
    Deployment.objects.update(phase=Phase.DELETED)

    assert cleanup.remove_expired(now=later) == 1
    assert not row.archive.exists()


def test_dags_can_be_unpaused_for_as_long_as_some_are_paused(
    client_of: Callable[[User], Client], alice: User, url: str
) -> None:
    client = client_of(alice)
    row = read(brought(client, url))
    client.post(
        f"{url}{row.pk}/create/", {"name": "shop", "runtime": "3.3.2-1", "executor": "local"}
    )
    Revision.objects.update(state="applied", applied_at=timezone.now())
    deployment = Deployment.objects.get(name="shop")
    Deployment.objects.update(applied=deployment.wanted)
    later = timezone.now() + services.KEPT * 2

    assert cleanup.remove_expired(now=later) == 0
    assert not row.archive.exists(), "the archive is needed no more"
    assert "Unpause the 1 that ran before" in client.get(f"{url}{row.pk}/").content.decode()
    later += services.KEPT * 2
    AirflowImport.objects.update(unpause={"done": "now", "failed": {"orders_daily": "Unknown."}})
    assert cleanup.remove_expired(now=later) == 0
    AirflowImport.objects.update(unpause={"done": "now", "failed": {}})

    assert cleanup.remove_expired(now=later + services.KEPT * 2) == 1


def test_what_killed_workers_left_goes_after_a_day(
    client_of: Callable[[User], Client], alice: User, url: str, folder: Path
) -> None:
    row = read(brought(client_of(alice), url))
    place = folder / "imports"
    (place / "import-x").mkdir()
    (place / "import-x" / "source.dump").write_bytes(b"x")
    (place / "of-no-row.dump.unfinished").write_bytes(b"x")

    assert cleanup.remove_stray_files(now=timezone.now()) == 0
    assert cleanup.remove_stray_files(now=timezone.now() + timedelta(days=2)) == 2

    assert [*place.iterdir()] == [row.archive]


def test_alice_removes_what_was_read(
    client_of: Callable[[User], Client], alice: User, url: str
) -> None:
    client = client_of(alice)
    row = read(brought(client, url))

    response = client.post(f"{url}{row.pk}/remove/", follow=True)

    assert "What was read of airflow.dump is removed." in response.content.decode()
    assert not AirflowImport.objects.exists()


def test_options_are_sorted_and_their_values_thrown_away() -> None:
    text = """
    [core]
    executor = CeleryExecutor
    parallelism = 64
    # sql_alchemy_conn = commented
    [webserver]
    workers = 4
    export AIRFLOW__SMTP__SMTP_PASSWORD=hunter2
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD=cat /secret
    """

    names = names_in(text)
    fates = sorted_by_fate(names, "3.3.2")

    assert "hunter2" not in str(names)
    assert "AIRFLOW__WEBSERVER__WORKERS" in fates["gone"]
    assert "AIRFLOW__CORE__EXECUTOR" in fates["portal"]
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" in fates["portal"]
    assert "AIRFLOW__CORE__PARALLELISM" in fates["kept"]
