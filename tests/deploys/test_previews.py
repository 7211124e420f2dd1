"""Looking at an upload before it is deployed: from the check to the decision, with a fake plane."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import User
from apps.dataplane.errors import Permanent
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.project import (
    CodeName,
    Package,
    PackageLock,
    ParsedDag,
    ParsedProject,
    ParseError,
)
from apps.dataplane.status import AirflowResponse
from apps.deployments.configuration.schema import OwnImage, Variable
from apps.deployments.models import Deployment, Operation, Revision, RevisionState
from apps.deployments.reconciling.compiler import compile_spec
from apps.deployments.secrets import sealed
from apps.deploys.models import Deploy, Preview, PreviewState
from apps.deploys.previews import checking, services
from apps.deploys.previews.comparing import dag_changes, package_changes
from apps.deploys.previews.queries import comparison
from tests.clusters.material import registered
from tests.core.pages import check_page
from tests.deploys.test_deploy_pages import DAG, settle, zipped

ClientOf = Callable[[User], Client]
Plane = type[FakePlane]

LOCK = PackageLock(
    text="pandas==3.1.1 --hash=sha256:aa\n",
    packages=(Package(name="pandas", version="3.1.1", size_bytes=60_000_000),),
)
SALES = ParsedDag(
    dag_id="sales",
    file="sales.py",
    schedule="0 5 * * *",
    task_count=3,
    owners=("etl",),
    tags=("eu",),
)
BROKEN = ParseError(file="b.py", line=7, message="ImportError: no <b>", traceback="File …\n<i>")
ASKS = ParseError(
    file="v.py", line=1, message="Variable x not found", traceback="", needs_airflow=True
)
REPOSITORY = "registry.example.org/data/airflow"
PROJECT = {"dags/sales.py": DAG, "requirements.txt": b"pandas\n"}


@pytest.fixture(autouse=True)
def _storage(settings: Any, tmp_path: Path) -> None:
    default = settings.STORAGES["default"]
    options = {**default["OPTIONS"], "location": tmp_path / "bundles"}
    settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}


@pytest.fixture
def world(plane: Plane, deployment: Deployment, settings: Any) -> Plane:
    settings.AIRFLOW_SIGN_IN_PUBLIC_KEY = "public"
    deployment.airflow_secrets = sealed.new_airflow_secrets(deployment_id=deployment.pk)
    deployment.save(update_fields=["airflow_secrets"])
    plane.store.lock = LOCK
    plane.store.project = ParsedProject(dags=(SALES,), file_count=1)
    return plane


def send(client: Client, files: dict[str, bytes], **data: str) -> Any:
    archive = SimpleUploadedFile("project.zip", zipped(files))
    return client.post("/d/etl-prod-7f3c/deploys/", {"archive": archive, **data})


def checked(number: int = 1) -> Preview:
    """Do the job of a worker."""
    preview = Preview.objects.get(number=number)
    checking.check(preview_id=preview.pk, now=timezone.now())
    preview.refresh_from_db()
    return preview


def decide(client: Client, number: int = 1, **data: str) -> Any:
    return client.post(f"/d/etl-prod-7f3c/deploys/previews/{number}/", data)


def page(client: Client, number: int = 1) -> str:
    response = client.get(f"/d/etl-prod-7f3c/deploys/previews/{number}/")
    assert response.status_code == 200
    check_page(response.content.decode())
    return " ".join(response.content.decode().split())


def test_an_upload_is_shown_before_it_is_deployed(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    client = client_of(alice)

    response = send(client, PROJECT, is_previewed="on", description="Sales <2>")
    assert response["Location"] == f"/d/{deployment.ref}/deploys/previews/1/"
    assert "Choose the packages" in page(client)
    assert not Deploy.objects.exists()
    preview = checked()

    assert (preview.problem, preview.state) == ("", PreviewState.READY)
    shown = page(client)
    assert "pandas" in shown
    assert "<ins>3.1.1</ins>" in shown
    assert '<b class="name">sales</b>' in shown
    assert "<ins>0 5 * * *</ins>" in shown
    assert "Sales &lt;2&gt;" in shown
    assert "Every component, one after the other" in shown
    assert "Not deployed yet" in client.get(f"/d/{deployment.ref}/deploys/").content.decode()
    assert not Revision.objects.exclude(code_digest="").exists()

    response = decide(client, action="deploy", description="Sales 2")

    deploy = Deploy.objects.get()
    deployment.refresh_from_db()
    assert response["Location"].startswith(f"/d/{deployment.ref}/operations/")
    assert (deploy.description, deploy.kind, deploy.packages[0][1]) == (
        "Sales 2",
        "project",
        "3.1.1",
    )
    assert deploy.packages_digest == hashlib.sha256(LOCK.text.encode()).hexdigest()
    assert deployment.wanted.packages_digest == deploy.packages_digest
    spec = compile_spec(deployment=deployment, revision=deployment.wanted)
    assert spec.packages
    assert Path(spec.packages.lock_path).read_text() == LOCK.text
    assert f"deploys/{deploy.number}/" in page(client)
    assert (
        "1 beside those of the runtime"
        in client.get(f"/d/{deployment.ref}/deploys/1/").content.decode()
    )


def test_what_the_code_names_and_the_deployment_lacks_is_shown(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    names = (
        CodeName(kind="variable", name="<batch>", file="dags/a.py", line=3),
        CodeName(kind="connection", name="given", file="dags/a.py", line=4),
        CodeName(kind="environment", name="REGION", file="dags/a.py", line=5, has_default=True),
    )
    world.store.project = ParsedProject(dags=(SALES,), file_count=1, names=names)
    configuration = deployment.wanted.configuration
    config = replace(configuration, variables=(Variable(key="AIRFLOW_CONN_GIVEN", value="x"),))
    Revision.objects.filter(pk=deployment.wanted_id).update(config=config.to_json())
    client = client_of(alice)
    send(client, PROJECT, is_previewed="on")
    checked()

    shown = page(client)

    assert "Named in the code, not set here" in shown
    assert "&lt;batch&gt;" in shown
    assert "AIRFLOW_VAR_&lt;BATCH&gt;" in shown
    assert "Environment variable; the code has a default" in shown
    assert "AIRFLOW_CONN_GIVEN" not in shown


def test_without_packages_and_without_the_wish_it_is_deployed_at_once(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    response = send(client_of(alice), {"sales.py": DAG})

    assert "/operations/" in response["Location"]
    assert Deploy.objects.get().kind == "dags"
    assert not Preview.objects.exists()


def test_packages_are_checked_first_and_deployed_by_themselves_when_nothing_is_wrong(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    send(client_of(alice), PROJECT)

    assert checked().state == PreviewState.DEPLOYED
    assert Deploy.objects.get().created_by == alice


@pytest.mark.parametrize(("error", "is_deployed"), [(BROKEN, False), (ASKS, True)])
def test_a_file_that_fails_waits_for_a_person_and_one_that_asks_airflow_does_not(
    world: Plane,
    alice: User,
    deployment: Deployment,
    client_of: ClientOf,
    error: ParseError,
    is_deployed: bool,
) -> None:
    world.store.project = ParsedProject(dags=(SALES,), errors=(error,), file_count=2)

    send(client_of(alice), PROJECT)

    assert (checked().state == PreviewState.READY) != is_deployed
    assert Deploy.objects.exists() == is_deployed


def test_one_whose_author_may_no_longer_deploy_waits(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    send(client_of(alice), PROJECT)
    User.objects.filter(pk=alice.pk).update(is_active=False)

    assert checked().state == PreviewState.READY
    assert not Deploy.objects.exists()


def test_import_errors_stop_a_deploy_unless_they_are_accepted(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    client = client_of(alice)
    world.store.project = ParsedProject(dags=(SALES,), errors=(BROKEN, ASKS), file_count=3)
    send(client, PROJECT, is_previewed="on")
    checked()

    shown = page(client)
    refused = decide(client, action="deploy")

    assert "b.py, line 7" in shown
    assert "ImportError: no &lt;b&gt;" in shown
    assert "Not checked" in shown
    assert refused.status_code == 422
    assert "Some files cannot be imported" in refused.content.decode()
    assert not Deploy.objects.exists()
    decide(client, action="deploy", accepts_errors="on")
    assert Deploy.objects.count() == 1


def test_a_dag_that_disappears_while_it_runs_is_named(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    client = client_of(alice)
    send(client, PROJECT)
    checked()
    settle(deployment)
    world.store.project = ParsedProject(dags=(), file_count=0)
    runs = {"dag_runs": [{"dag_id": "sales"}, {"dag_id": "sales"}, {"dag_id": 7}, "x"]}
    world.store.responses["GET", "/api/v2/dags/~/dagRuns"] = AirflowResponse(status=200, data=runs)

    send(client, {"dags/other.py": DAG, "requirements.txt": b"pandas\n"})
    preview = checked(2)

    assert (preview.problem, preview.state) == ("", PreviewState.READY)
    assert preview.before["running"]["sales"] == 2
    shown = page(client, 2)
    assert "Runs of <b>sales</b> are not finished" in shown
    assert "2 runs not finished" in shown


@pytest.mark.parametrize("answer", [None, AirflowResponse(status=500, data="x")])
def test_an_airflow_that_does_not_answer_hinders_nothing(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf, answer: Any
) -> None:
    send(client_of(alice), PROJECT)
    checked()
    settle(deployment)
    world.store.project = ParsedProject()
    if answer:
        world.store.responses["GET", "/api/v2/dags/~/dagRuns"] = answer
    else:
        world.store.fail("airflow", Permanent("away"), times=None)

    send(client_of(alice), {**PROJECT, "dags/other.py": DAG}, is_previewed="on")

    assert checked(2).state == PreviewState.READY
    assert Preview.objects.get(number=2).before["running"] is None


@pytest.mark.parametrize("method", ["lock_packages", "install_packages", "parse_project"])
def test_what_fails_is_one_sentence_and_changes_nothing(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf, method: str
) -> None:
    client = client_of(alice)
    world.store.fail(method, Permanent("The package index has no <package>.", log=("a <line>",)))
    send(client, PROJECT)

    preview = checked()

    assert preview.state == PreviewState.FAILED
    shown = page(client)
    assert "The package index has no &lt;package&gt;." in shown
    assert "a &lt;line&gt;" in shown
    assert not Deploy.objects.exists()
    assert decide(client, action="deploy").status_code == 422
    decide(client, action="again")
    assert checked().state == PreviewState.DEPLOYED


def test_when_something_else_was_deployed_the_preview_is_made_again(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    client = client_of(alice)
    send(client, PROJECT, is_previewed="on")
    checked()
    send(client, {"other.py": DAG})

    response = decide(client, action="deploy")

    assert response["Location"].endswith("/deploys/previews/1/")
    assert Preview.objects.get().state == PreviewState.CHECKING
    assert Deploy.objects.count() == 1
    assert checked().state == PreviewState.READY
    decide(client, action="deploy")
    assert Deploy.objects.count() == 2


def test_another_image_that_came_meanwhile_makes_the_preview_anew(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    client = client_of(alice)
    send(client, PROJECT, is_previewed="on")
    checked()
    image = OwnImage(name="r.test/a:1", digest=f"sha256:{'4b' * 32}", airflow_version="3.3.2")
    with_image = replace(deployment.wanted.configuration, image=image)  # type: ignore[union-attr]
    newer = deployment.revisions.create(
        number=90, config=with_image.to_json(), state=RevisionState.APPLIED
    )
    Deployment.objects.filter(pk=deployment.pk).update(wanted=newer, applied=newer)

    decide(client, action="deploy")

    assert Preview.objects.get().state == PreviewState.CHECKING
    assert not Deploy.objects.exists()


def test_a_discarded_upload_cannot_be_deployed_and_a_second_click_makes_no_second_deploy(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    client = client_of(alice)
    for number, action in enumerate(("discard", "deploy"), start=1):
        send(client, {**PROJECT, "dags/n.py": b"# %d" % number}, is_previewed="on")
        checked(number)
        decide(client, number, action=action)

    responses = [decide(client, number, action="deploy") for number in (1, 2)]

    assert [response.status_code for response in responses] == [422, 422]
    assert Deploy.objects.count() == 1
    assert decide(client, 1, action="nonsense").status_code == 422


def test_going_back_brings_back_the_packages(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    client = client_of(alice)
    send(client, PROJECT)
    checked()
    settle(deployment)
    send(client, {"plain.py": DAG})
    settle(deployment)
    deployment.refresh_from_db()
    assert deployment.wanted.packages_digest == ""

    client.post(f"/d/{deployment.ref}/deploys/1/roll-back/")

    deployment.refresh_from_db()
    first, last = Deploy.objects.get(number=1), Deploy.objects.get(number=3)
    assert last.packages == first.packages
    assert deployment.wanted.packages_digest == first.packages_digest != ""


def test_the_same_code_with_other_packages_is_another_deploy(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    client = client_of(alice)
    send(client, PROJECT)
    checked()
    settle(deployment)
    send(client, PROJECT, is_previewed="on")
    checked(2)
    same = decide(client, 2, action="deploy")
    newer = Package(name="pandas", version="3.2")
    world.store.lock = PackageLock(text="pandas==3.2\n", packages=(newer,))
    send(client, PROJECT)

    assert "already runs exactly this code" in same.content.decode()
    assert checked(3).state == PreviewState.DEPLOYED
    assert Deploy.objects.count() == 2


def test_who_may_see_and_who_may_decide(
    world: Plane, alice: User, bob: User, charlie: User, deployment: Deployment, client_of: ClientOf
) -> None:
    send(client_of(alice), PROJECT, is_previewed="on")
    checked()

    assert "Deployment Author" in page(client_of(bob))
    assert decide(client_of(bob), action="deploy").status_code == 403
    assert decide(client_of(charlie), action="deploy").status_code == 404
    assert decide(client_of(alice), 7, action="deploy").status_code == 404
    assert not Deploy.objects.exists()


def test_a_worker_that_was_killed_is_followed_by_another_three_times(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    send(client_of(alice), PROJECT, is_previewed="on")
    preview, now = Preview.objects.get(), timezone.now()

    for _ in range(3):
        assert checking.due(now=now) == [preview.pk]
        assert checking._claim(preview.pk, now)
        assert checking.due(now=now) == []
        assert checking._claim(preview.pk, now) is None
        now += checking.LEASE + timedelta(seconds=1)
    checking.check(preview_id=preview.pk, now=now)

    preview.refresh_from_db()
    assert preview.state == PreviewState.FAILED
    assert "interrupted three times" in preview.problem


class Killed(BaseException):
    """What ends a worker at once: nothing after it is done."""


def test_a_worker_may_be_killed_at_every_step(
    world: Plane,
    alice: User,
    deployment: Deployment,
    client_of: ClientOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, now = deployment.wanted_id, timezone.now()
    send(client_of(alice), PROJECT)
    preview = Preview.objects.get()
    for step in ("lock_packages", "install_packages", "parse_project"):
        world.store.fail(step, Killed())  # type: ignore[arg-type]
        with pytest.raises(Killed):
            checking.check(preview_id=preview.pk, now=now)
        deployment.refresh_from_db()
        assert deployment.wanted_id == before
        assert checking.due(now=timezone.now()) == []
        now = timezone.now() + 2 * checking.LEASE
        assert checking.due(now=now) == [preview.pk]
        Preview.objects.update(attempts=0)
    checking.check(preview_id=preview.pk, now=now)

    assert Deploy.objects.count() == 1
    checking.check(preview_id=preview.pk, now=now + checking.LEASE)
    assert Deploy.objects.count() == 1


def test_a_preview_that_was_discarded_meanwhile_stays_so(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf, monkeypatch: Any
) -> None:
    send(client_of(alice), PROJECT)
    read = checking._read_dags

    def discard_meanwhile(preview: Preview, *rest: Any) -> None:
        read(preview, *rest)
        services.discard(preview=preview)

    monkeypatch.setattr(checking, "_read_dags", discard_meanwhile)

    assert checked().state == PreviewState.DISCARDED
    assert not Deploy.objects.exists()


def test_old_previews_are_discarded_and_their_files_may_go(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    send(client_of(alice), PROJECT, is_previewed="on")
    preview = checked()

    later = timezone.now() + timedelta(days=8)
    assert default_storage.exists(f"packages/{preview.packages_digest}.txt")
    assert services.remove_old(now=timezone.now()) == 0
    assert services.remove_old(now=later) == 1


def test_on_a_cluster_without_a_registry_packages_are_refused(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(
        cluster=registered(deployment.workspace.organization)
    )
    client = client_of(alice)

    refused = send(client, PROJECT, is_previewed="on")

    assert refused.status_code == 422
    assert "This cluster has no registry" in refused.content.decode()
    assert "Show what changes first" not in client.get("/d/etl-prod-7f3c/deploys/").content.decode()


def test_on_a_cluster_the_packages_are_an_image_that_going_back_brings_back(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    cluster = registered(deployment.workspace.organization)
    cluster.registry_repository = REPOSITORY
    cluster.save(update_fields=["registry_repository"])
    Deployment.objects.filter(pk=deployment.pk).update(cluster=cluster)
    world.store.image = f"{REPOSITORY}@sha256:{'a' * 64}"
    client = client_of(alice)

    def image() -> str | None:
        deployment.refresh_from_db()
        spec = compile_spec(deployment=deployment, revision=deployment.wanted)
        return spec.packages.image if spec.packages else None

    send(client, PROJECT, is_previewed="on")
    assert checked().state == PreviewState.READY
    assert image() is None
    decide(client, action="deploy")
    assert image() == world.store.image
    settle(deployment)
    send(client, {"sales.py": DAG})
    settle(deployment)
    assert image() is None
    client.post("/d/etl-prod-7f3c/deploys/1/roll-back/", {})
    assert image() == f"{REPOSITORY}@sha256:{'a' * 64}"


def test_it_says_how_long_deploys_like_it_took_here(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    client, now = client_of(alice), timezone.now()
    send(client, PROJECT, is_previewed="on")
    preview = checked()
    assert comparison(preview).restarts
    assert comparison(preview).usual_seconds is None

    def deployed(number: int, packages: str, seconds: int, state: str = "succeeded") -> None:
        revision = Revision.objects.create(
            deployment=deployment,
            number=100 + number,
            config=deployment.wanted.config,
            packages_digest=packages,
        )
        Operation.objects.create(
            deployment=deployment,
            number=100 + number,
            kind=Operation.Kind.DEPLOY,
            title="x",
            revision=revision,
            state=state,
            started_at=now,
            ended_at=now + timedelta(seconds=seconds),
        )

    for number, (packages, seconds) in enumerate((("a", 90), ("a", 5), ("b", 110), ("c", 400))):
        deployed(number, packages * 64, seconds)
    deployed(9, "d" * 64, 9999, "failed")

    assert comparison(preview).usual_seconds == 110
    page = client.get(f"/d/{deployment.ref}/deploys/previews/{preview.number}/").content.decode()
    assert "About 1 min 50 s, as the last deploys like this one" in page


def test_the_page_asks_a_fixed_number_of_questions(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    client = client_of(alice)
    client.get("/d/etl-prod-7f3c/deploys/")
    counts = []
    for count in (1, 60):
        dags = tuple(
            ParsedDag(dag_id=f"d{n}" * 40, file="d.py", schedule="", task_count=n)
            for n in range(count)
        )
        world.store.project = ParsedProject(dags=dags, errors=(BROKEN,) * count)
        send(client, {**PROJECT, "dags/n.py": b"# %d" % count}, is_previewed="on")
        number = Preview.objects.count()
        checked(number)
        with CaptureQueriesContext(connection) as queries:
            page(client, number)
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_packages_and_dags_are_compared_by_what_people_see() -> None:
    packages = package_changes(
        before=[["a", "1", 5], ["b", "1", 5], ["c", "1", 5]],
        after=[["b", "2", 7], ["c", "1", None], ["d", "1", None]],
    )
    row = ["x", "x.py", "@daily", 1, ["o"], []]
    dags = dag_changes(
        before=[row, ["gone", "g.py", "", 2, [], []]],
        after=[[*row[:3], 2, *row[4:]], ["same", "s.py", "", 0, [], []]],
        running={"gone": 4},
    )

    assert [(one.name, one.change, one.before, one.after, one.size_bytes) for one in packages] == [
        ("a", "removed", "1", "", 5),
        ("b", "changed", "1", "2", 7),
        ("d", "added", "", "1", None),
    ]
    assert [(one.dag_id, one.change, one.tasks, one.running) for one in dags] == [
        ("gone", "removed", (2, None), 4),
        ("same", "added", (None, 0), None),
        ("x", "changed", (1, 2), None),
    ]
    assert dag_changes(before=[row], after=[row]) == ()
    touched = dag_changes(before=[row], after=[row], changed_files=frozenset({"x.py"}))
    assert [one.change for one in touched] == ["changed"]


def test_a_failed_revision_may_be_deployed_again(
    world: Plane, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    send(client_of(alice), PROJECT)
    checked()
    settle(deployment, RevisionState.FAILED)

    send(client_of(alice), PROJECT)

    assert checked(2).state == PreviewState.DEPLOYED
