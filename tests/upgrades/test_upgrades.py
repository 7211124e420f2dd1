"""An upgrade from the check to its end, and what ends it early."""

import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.sign_in.address_proof import earlier_access_ended
from apps.backups.keeping.running import back_up
from apps.backups.models import Backup
from apps.backups.services import request_backup
from apps.clusters.images import project_image
from apps.clusters.models import Cluster
from apps.core.errors import Conflict, Invalid
from apps.dataplane.errors import Permanent
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.project import InstalledPackages, ParsedDag, ParsedProject, ParseError
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.status import AirflowResponse
from apps.deployments.configuration.schema import OwnImage
from apps.deployments.editing.services import deploy_code
from apps.deployments.models import Deployment, Operation, Revision
from apps.deployments.reconciling.compiler import code_name, lock_name
from apps.runtimes.catalogue import runtime_called
from apps.upgrades import checking, findings, running, services
from apps.upgrades.models import Upgrade, UpgradeState
from tests.backups.examples import with_secrets
from tests.dags.conftest import new_sign_in_key
from tests.deployments.conftest import remote as remote

pytestmark = pytest.mark.django_db
OLD, NEW = "3.2.2-1", "3.3.2-1"


@pytest.fixture(autouse=True)
def _places(settings: Any, tmp_path: Path) -> None:
    settings.AIRFLOW_SIGN_IN_KEY = new_sign_in_key()
    for name in ("default", "backups"):
        storage = settings.STORAGES[name]
        options = {**storage["OPTIONS"], "location": tmp_path / name}
        settings.STORAGES = {**settings.STORAGES, name: {**storage, "OPTIONS": options}}


@pytest.fixture
def older(make_deployment: Callable[..., Deployment]) -> Deployment:
    variable = {"key": "AIRFLOW__CORE__PARALLELISM", "value": "8", "secret_id": ""}
    deployment = make_deployment(config={"runtime": OLD, "variables": [variable]})
    digest = "c" * 64
    default_storage.save(code_name(digest), ContentFile(b"PK"))
    Revision.objects.filter(deployment=deployment).update(code_digest=digest)
    return with_secrets(Deployment.objects.get(pk=deployment.pk))


def checked(alice: User, older: Deployment) -> Upgrade:
    upgrade = services.begin_check(actor=alice, deployment=older, target=NEW)
    checking.check(upgrade_id=upgrade.pk, now=timezone.now())
    upgrade.refresh_from_db()
    return upgrade


def confirmed(alice: User, older: Deployment, starts_at: datetime | None = None) -> Upgrade:
    return services.confirm(actor=alice, upgrade=checked(alice, older), starts_at=starts_at)


def state_of(upgrade: Upgrade) -> tuple[str, str]:
    running.turn(now=timezone.now())
    upgrade.refresh_from_db()
    return upgrade.state, upgrade.failure


def test_an_upgrade_is_checked_backed_up_applied_and_done(
    alice: User, older: Deployment, plane: type[FakePlane]
) -> None:
    dag = ParsedDag(dag_id="orders", file="orders.py", schedule="", task_count=1)
    plane.store.project = ParsedProject(dags=(dag,), file_count=1)
    upgrade = checked(alice, older)
    titles = [one["title"] for one in upgrade.findings]
    assert upgrade.state == UpgradeState.READY
    assert titles[0] == f"All 1 DAG can be imported with {NEW}"
    assert "The option that is set still exists" in titles
    assert any("provider packages change" in title for title in titles)

    services.confirm(actor=alice, upgrade=upgrade, starts_at=None)

    assert state_of(upgrade) == ("backing-up", "")
    assert state_of(upgrade) == ("backing-up", "")
    backup = Backup.objects.get()
    assert (backup.reason, backup.keep_days) == ("upgrade", 90)
    back_up(backup_id=str(backup.pk), now=timezone.now())
    assert state_of(upgrade) == ("applying", "")
    older.refresh_from_db()
    assert older.wanted
    assert older.wanted.configuration.runtime == NEW
    Operation.objects.filter(pk=upgrade.operation_id).update(state="succeeded")
    assert state_of(upgrade) == ("done", "")
    assert running.turn(now=timezone.now()) == 0


def test_the_migration_is_estimated_from_the_sizes_of_the_tables(
    alice: User, older: Deployment, plane: type[FakePlane]
) -> None:
    mib = 1024**2
    hostile = ["x\x1b[31m", -2, True], "no row", ["", 1, 1], ["t", 1, 2**60]
    said = {"tables": [["log", -1, mib], ["task_instance", 100_000, 80 * mib], *hostile]}
    plane.store.responses["GET", "/auth/portal/tables"] = AirflowResponse(status=200, data=said)
    Deployment.objects.filter(pk=older.pk).update(applied=older.wanted)

    found = next(one for one in checked(alice, older).findings if "migrated" in one["title"])

    assert found["lines"] == ["task_instance: 80.0 MiB, about 100,000 rows", "log: 1.0 MiB"]
    assert found["detail"].startswith("That stops Airflow for up to 40 s: its tables have 81.0 MiB")


def test_without_table_sizes_there_is_no_estimate(alice: User, older: Deployment) -> None:
    found = next(one for one in checked(alice, older).findings if "migrated" in one["title"])

    assert found["lines"] == []
    assert "so there is no estimate" in found["detail"]


def test_it_waits_for_its_time_and_can_be_cancelled_until_then(
    alice: User, older: Deployment
) -> None:
    soon = timezone.now() + timedelta(hours=2)
    with pytest.raises(Invalid):
        confirmed(alice, older, datetime(2020, 1, 1, tzinfo=UTC))
    upgrade = confirmed(alice, older, soon)
    assert state_of(upgrade) == ("waiting", "")
    with pytest.raises(Conflict, match="scheduled or under way"):
        services.begin_check(actor=alice, deployment=older, target=NEW)

    services.cancel(actor=alice, upgrade=upgrade)

    assert running.turn(now=soon + timedelta(seconds=1)) == 0
    with pytest.raises(Conflict, match="cannot be cancelled"):
        services.cancel(actor=alice, upgrade=upgrade)
    with pytest.raises(Conflict, match="cannot be confirmed"):
        services.confirm(actor=alice, upgrade=upgrade, starts_at=None)
    assert not Backup.objects.exists()


def test_a_failed_backup_changes_nothing(
    alice: User, older: Deployment, plane: type[FakePlane]
) -> None:
    upgrade = confirmed(alice, older)
    plane.store.fail("back_up", Permanent("The disk is full."))
    state_of(upgrade)
    back_up(backup_id=str(Backup.objects.get().pk), now=timezone.now())

    state, failure = state_of(upgrade)

    assert (state, failure) == ("failed", f"{running.NO_BACKUP} The disk is full.")
    assert older.revisions.count() == 1


def test_a_change_or_a_lost_right_in_the_meantime_ends_it(
    alice: User, older: Deployment, make_deployment: Callable[..., Deployment]
) -> None:
    edited = confirmed(alice, older)
    deploy_code(actor=alice, deployment=older, digest="", summary="Newer")
    assert state_of(edited) == ("failed", running.CHANGED)
    other = with_secrets(make_deployment(config={"runtime": OLD}))
    orphaned = confirmed(alice, other)
    Upgrade.objects.filter(pk=orphaned.pk).update(confirmed_by=None)

    assert state_of(orphaned) == ("failed", running.NOT_ALLOWED)


def test_a_failed_rollout_names_the_way_back(alice: User, older: Deployment) -> None:
    upgrade = confirmed(alice, older)
    state_of(upgrade)
    back_up(backup_id=str(Backup.objects.get().pk), now=timezone.now())
    state_of(upgrade)
    Operation.objects.filter(pk=upgrade.operation_id).update(
        state="failed", failure="The migration failed."
    )

    state, failure = state_of(upgrade)

    assert state == "failed"
    assert failure == f"The migration failed. Restore the backup to go back to {OLD}."


def test_what_the_check_finds_is_said_whatever_happens(
    alice: User, older: Deployment, plane: type[FakePlane]
) -> None:
    error = ParseError(file="a.py", line=3, message="No module named 'x'", traceback="")
    plane.store.project = ParsedProject(errors=(error, replace(error, needs_airflow=True)))
    [first, *_] = checked(alice, older).findings
    assert (first["tone"], first["lines"]) == ("bad", ["a.py, line 3: No module named 'x'"])
    plane.store.project = ParsedProject(errors=(replace(error, needs_airflow=True),))
    assert checked(alice, older).findings[0]["tone"] == "warn"
    plane.store.fail("prepare_runtime", Permanent("No room."))

    [only] = checked(alice, older).findings

    assert (only["tone"], only["detail"]) == ("bad", "No room.")
    assert Upgrade.objects.filter(state="cancelled").count() == 2


def test_the_new_airflow_checks_the_options_and_ruff_the_code(
    alice: User, older: Deployment, plane: type[FakePlane]
) -> None:
    code = {"a.py": "from airflow.utils.dates import days_ago\n\nx = days_ago(1)\n"}
    with zipfile.ZipFile(default_storage.path(code_name("c" * 64)), "w") as archive:
        for name, text in code.items():
            archive.writestr(name, text)
    plane.store.project = ParsedProject(option_issues=("Removed `x` from `core`.",))

    found = {one["title"]: one for one in checked(alice, older).findings}

    issues = found["airflow config lint asks for 1 change"]
    assert (issues["tone"], issues["lines"]) == ("warn", ["Removed `x` from `core`."])
    removed = found["The code uses what Airflow 3 removed, in 1 place"]
    assert removed["lines"] == [
        "a.py, line 3: `airflow.utils.dates.days_ago` is removed in Airflow 3.0. (AIR301)"
    ]
    plane.store.project = ParsedProject(option_issues=None)
    titles = [one["title"] for one in checked(alice, older).findings]
    assert "The new Airflow could not check its configuration" in titles


def test_options_are_checked_where_no_code_is_deployed(
    alice: User, older: Deployment, plane: type[FakePlane]
) -> None:
    Revision.objects.filter(deployment=older).update(code_digest="")
    plane.store.project = ParsedProject(option_issues=())

    titles = [one["title"] for one in checked(alice, older).findings]

    assert titles[:2] == [
        "No code is deployed: the example DAGs come with the runtime",
        "airflow config lint of the new Airflow finds nothing to change",
    ]


def test_packages_that_do_not_fit_are_one_finding_of_many(
    alice: User, older: Deployment, plane: type[FakePlane]
) -> None:
    plane.store.fail("parse_project", Permanent("They do not fit.", log=("No pandas.",)))

    [first, second, *others] = checked(alice, older).findings

    assert (first["tone"], first["detail"], first["lines"]) == (
        "bad",
        "They do not fit.",
        ["No pandas."],
    )
    assert second["title"] == "The code was not checked for what Airflow 3 removed"
    assert any("provider packages change" in one["title"] for one in others)


def test_packages_of_a_cluster_get_an_image_of_the_new_runtime(
    alice: User, older: Deployment, remote: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, image = "d" * 64, f"registry.test/airflow@sha256:{'1' * 64}"
    default_storage.save(lock_name(digest), ContentFile(b""))
    Revision.objects.filter(deployment=older).update(packages_digest=digest)
    Deployment.objects.filter(pk=older.pk).update(cluster=remote)
    seen: list[DeploymentSpec] = []
    answer = InstalledPackages(packages=(), image=image)
    monkeypatch.setattr(FakePlane, "install_packages", lambda self, spec: answer)
    monkeypatch.setattr(
        FakePlane, "parse_project", lambda self, spec: seen.append(spec) or ParsedProject()
    )

    checked(alice, Deployment.objects.get(pk=older.pk))

    assert seen[0].packages
    assert seen[0].packages.image == image
    # The revision of the upgrade finds it.
    runtime = runtime_called(NEW).image
    found = project_image(cluster=remote, runtime_image=runtime, packages_digest=digest)
    assert found == image


def test_an_image_of_ones_own_is_said_before_anything_is_stopped(
    alice: User, older: Deployment, remote: Cluster
) -> None:
    image = OwnImage(name="r.test/etl:1", digest=f"sha256:{'1' * 64}", airflow_version="3.2.2")
    assert older.wanted
    config = older.wanted.config | {"image": asdict(image)}
    Deployment.objects.filter(pk=older.pk).update(cluster=remote)
    Revision.objects.filter(pk=older.wanted_id).update(config=config)
    upgrade = checked(alice, Deployment.objects.get(pk=older.pk))

    first = upgrade.findings[0]

    assert (first["tone"], first["title"]) == (
        "bad",
        "The configuration does not fit the new runtime",
    )
    assert "Airflow 3.2.2" in first["lines"][0]
    with pytest.raises(Conflict, match=r"would be refused.*Airflow 3\.2\.2"):
        services.confirm(actor=alice, upgrade=upgrade, starts_at=None)


def test_what_is_refused_by_the_time_it_begins_makes_no_backup(
    alice: User, older: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = confirmed(alice, older)
    monkeypatch.setattr(running, "refusals_of", lambda deployment, target: ["It is yanked."])

    state, failure = state_of(upgrade)

    assert state == "failed"
    assert failure == "The upgrade would be refused, so nothing was changed. It is yanked."
    assert not Backup.objects.exists()


def test_an_interrupted_check_is_begun_again_three_times(alice: User, older: Deployment) -> None:
    upgrade, now = services.begin_check(actor=alice, deployment=older, target=NEW), timezone.now()
    for _ in range(3):
        assert checking.due(now=now) == [upgrade.pk]
        assert checking._claim(upgrade.pk, now)
        assert checking.due(now=now) == []
        now += checking.LEASE + timedelta(seconds=1)

    checking.check(upgrade_id=upgrade.pk, now=now)

    upgrade.refresh_from_db()
    assert upgrade.findings[0]["title"] == "The check was interrupted three times"


def test_only_newer_runtimes_that_are_offered_are_targets(alice: User, older: Deployment) -> None:
    targets = [one.version for one in services.targets_of(older)]
    assert targets[0] == NEW
    assert OLD not in targets
    for target in (OLD, "3.1.8-1", "9.9.9-1", "<x>"):
        with pytest.raises(Invalid):
            services.begin_check(actor=alice, deployment=older, target=target)


def test_options_that_go_are_named() -> None:
    before, after = runtime_called(OLD), runtime_called(NEW)
    gone = sorted(findings._options(before) - findings._options(after))

    [found] = findings.of_options([*gone[:1], "AIRFLOW__CORE__PARALLELISM", "X"], before, after)

    assert (found["tone"], found["lines"]) == (("warn", gone[:1]) if gone else ("good", []))
    unknown = replace(after, airflow_version="9.9.9")
    [found] = findings.of_options(["AIRFLOW__CORE__PARALLELISM"], before, unknown)
    assert found["tone"] == "warn"


def test_the_pages_lead_through_an_upgrade(
    alice: User,
    bob: User,
    charlie: User,
    older: Deployment,
    client_of: Callable[[User], Client],
) -> None:
    client, every = client_of(alice), reverse("upgrades:list", args=[older.ref])
    assert b"Upgrade Airflow" in client.get(every).content
    assert client.post(every, {"target": OLD}).status_code == 422
    assert client_of(bob).post(every, {"target": NEW}).status_code == 403
    assert client_of(charlie).get(every).status_code == 404

    page = client.post(every, {"target": NEW})["Location"]

    assert b'data-hx-trigger="every 3s"' in client.get(page).content
    checking.check(upgrade_id=Upgrade.objects.get().pk, now=timezone.now())
    assert b"Confirm upgrade" in client.get(page).content
    assert b"Confirm upgrade" not in client_of(bob).get(page).content
    assert client.post(page, {"starts_at": "x"}).status_code == 422
    assert client.post(page, {"starts_at": "2020-01-01T00:00"}).status_code == 422
    assert client.post(page, {"starts_at": ""}).status_code == 302
    assert client_of(bob).post(f"{page}cancel/").status_code == 403
    client.post(f"{page}cancel/")
    assert Upgrade.objects.get().state == "cancelled"
    assert client.get(f"{every}9/").status_code == 404


def test_an_upgrade_that_is_backed_up_is_cancelled_with_the_access_of_who_confirmed_it(
    alice: User, older: Deployment
) -> None:
    upgrade = confirmed(alice, older)
    assert state_of(upgrade) == ("backing-up", "")

    earlier_access_ended.send(sender=User, user=alice)
    back_up(backup_id=str(Backup.objects.get().pk), now=timezone.now())

    assert state_of(upgrade)[0] == "cancelled"
    older.refresh_from_db()
    assert older.wanted
    assert older.wanted.number == upgrade.base


def test_what_an_account_set_up_before_its_address_was_proved_does_not_begin(
    alice: User, older: Deployment, make_deployment: Callable[..., Deployment]
) -> None:
    upgrade = confirmed(alice, older, timezone.now() + timedelta(hours=1))
    other = with_secrets(make_deployment())
    backup = request_backup(actor=alice, deployment=other, then_deletes=True)

    told = earlier_access_ended.send(sender=User, user=alice)

    words = [word for _, found in told for word in found or ()]
    assert f"the upgrade of {older} to {NEW}" in words
    assert f"the deletion of {other} after its backup" in words
    upgrade.refresh_from_db()
    backup.refresh_from_db()
    assert (upgrade.state, backup.then_deletes) == ("cancelled", False)
