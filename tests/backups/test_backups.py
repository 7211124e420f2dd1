"""Backups without a page: made, scheduled, kept, restored."""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.sign_in.address_proof import earlier_access_ended
from apps.audit.models import AuditEvent
from apps.backups import restoring, services
from apps.backups.keeping import cleanup, running, schedules
from apps.backups.keys import open_fernet_key
from apps.backups.models import Backup, BackupSchedule, BackupState
from apps.backups.queries import waiting_for_a_worker
from apps.core.errors import Conflict, Invalid, Refused
from apps.dataplane.errors import Permanent
from apps.dataplane.fake.plane import FakePlane
from apps.deployments.editing.code_rights import CodeRightMissing
from apps.deployments.editing.services import deploy_code, restore_revision
from apps.deployments.models import Deployment, Operation, Phase, Revision, RevisionState
from apps.deployments.reconciling.compiler import code_name, compile_spec, lock_name
from apps.deployments.secrets import sealed
from apps.organizations.models import Organization
from tests.backups.examples import file_of, make_backup, with_secrets
from tests.clusters.material import registered
from tests.conftest import custom_role, make_user, put_role

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 28, 20, 0, tzinfo=UTC)


def test_a_backup_has_a_file_a_checksum_a_revision_and_its_key(
    alice: User, deployment: Deployment, folder: Path
) -> None:
    backup = make_backup(alice, deployment, keep_days=7)

    assert backup.state == BackupState.DONE
    assert file_of(backup).read_bytes() == b"dump of etl-prod-7f3c"
    assert [*folder.iterdir()] == [file_of(backup)]
    assert (backup.size_bytes, backup.airflow_version) == (21, "3.3.2")
    assert backup.revision == deployment.applied
    assert backup.expires_at
    assert backup.ended_at
    assert backup.expires_at - backup.ended_at == timedelta(days=7)
    assert open_fernet_key(backup) == sealed.open_airflow_secrets(deployment).fernet_key
    actions = AuditEvent.objects.values_list("action", flat=True)
    assert {"backup.requested", "backup.completed"} <= set(actions)


def test_a_second_wish_is_the_same_backup_and_a_failure_says_why(
    alice: User, deployment: Deployment, plane: type[FakePlane]
) -> None:
    with_secrets(deployment)
    first = services.request_backup(actor=alice, deployment=deployment)
    plane.store.fail("back_up", Permanent("The disk of /b has no room for the backup."))

    second = services.request_backup(actor=alice, deployment=deployment)
    running.back_up(backup_id=str(first.pk), now=NOW)

    first.refresh_from_db()
    assert second.pk == first.pk
    assert (first.state, first.sha256) == (BackupState.FAILED, "")
    assert "no room" in first.failure
    with pytest.raises(Conflict, match="not complete"):
        restoring.restore_backup(actor=alice, backup=first, typed_name=deployment.name)
    running.back_up(backup_id=str(first.pk), now=NOW)
    assert plane.store.calls.count(("back_up", deployment.ref)) == 1


def test_a_worker_that_was_killed_is_followed_by_another_three_times(
    alice: User, deployment: Deployment
) -> None:
    backup = services.request_backup(actor=alice, deployment=deployment)
    now = NOW
    for attempt in range(1, 4):
        assert running._claim(str(backup.pk), now)
        assert running._claim(str(backup.pk), now) is None
        assert waiting_for_a_worker(now=now, limit=9) == []
        now += running.LEASE + timedelta(seconds=1)
        assert waiting_for_a_worker(now=now, limit=9) == [str(backup.pk)]
        backup.refresh_from_db()
        assert (backup.state, backup.attempts) == (BackupState.RUNNING, attempt)

    running.back_up(backup_id=str(backup.pk), now=now)

    backup.refresh_from_db()
    assert (backup.state, backup.failure) == (BackupState.FAILED, running.INTERRUPTED)


def test_what_cannot_be_backed_up_is_refused(
    alice: User, make_deployment: Callable[..., Deployment], organization: Organization
) -> None:
    new = make_deployment()
    Deployment.objects.filter(pk=new.pk).update(applied=None)
    gone = make_deployment(phase=Phase.DELETED)

    with pytest.raises(Refused, match="nothing to back up"):
        services.request_backup(actor=alice, deployment=new)
    with pytest.raises(Conflict, match="is deleted"):
        services.request_backup(actor=alice, deployment=gone)
    elsewhere = make_deployment(cluster=registered(organization))
    with pytest.raises(Refused, match="add one in Settings, Buckets"):
        services.request_backup(actor=alice, deployment=elsewhere)


def test_restoring_brings_back_configuration_code_and_database_once(
    alice: User, deployment: Deployment
) -> None:
    backup = make_backup(alice, deployment)
    deploy_code(actor=alice, deployment=deployment, digest="b" * 64, summary="Newer")

    with pytest.raises(Invalid):
        restoring.restore_backup(actor=alice, backup=backup, typed_name="another")
    operation = restoring.restore_backup(actor=alice, backup=backup, typed_name="etl-prod")

    deployment.refresh_from_db()
    revision = deployment.wanted
    assert revision
    assert (operation.kind, revision.code_digest) == (Operation.Kind.RESTORE, "")
    spec = compile_spec(deployment=deployment, revision=revision)
    assert spec.restore
    assert spec.restore.dump_path == str(file_of(backup))
    assert (spec.restore.sha256, spec.restore.pauses_dags) == (backup.sha256, False)
    with pytest.raises(Conflict, match="being restored"):
        services.remove_backup(actor=alice, backup=backup)
    # An edit that comes first takes the wish along; what was applied has none any more.
    deploy_code(actor=alice, deployment=deployment, digest="", summary="Edited meanwhile")
    deployment.refresh_from_db()
    assert deployment.wanted
    assert deployment.wanted.restore == revision.restore
    # One that failed, or is rolled back, leaves no wish behind.
    rolled = restore_revision(actor=alice, deployment=deployment, revision=backup.revision)
    assert rolled.revision
    assert rolled.revision.restore is None
    Revision.objects.filter(deployment=deployment).update(
        applied_at=NOW, state=RevisionState.APPLIED
    )
    deployment.wanted.refresh_from_db()
    assert compile_spec(deployment=deployment, revision=deployment.wanted).restore is None
    services.remove_backup(actor=alice, backup=backup)


def test_a_backup_brings_code_for_whoever_may_deploy_it_alone(
    alice: User, deployment: Deployment, organization: Organization
) -> None:
    """Its code, or what its database lets the triggerer run in a Deployment that is new."""
    edits = ("workspace.view", "deployment.view", "deployment.update")
    permissions = (*edits, "workspace.deployments.create")
    made = custom_role(
        "Editor", permissions, organization=organization, actor=alice, scope="workspace"
    )
    editor = make_user("Edith")
    put_role(editor, made, deployment.workspace)
    backup = make_backup(alice, deployment)
    same = restoring.restore_backup(actor=editor, backup=backup, typed_name="etl-prod")
    deploy_code(actor=alice, deployment=deployment, digest="b" * 64, summary="Newer")

    with pytest.raises(CodeRightMissing, match="has other code"):
        restoring.restore_backup(actor=editor, backup=backup, typed_name="etl-prod")
    with pytest.raises(CodeRightMissing, match="brings code along"):
        restoring.restore_as_new(actor=editor, backup=backup, name="etl-copy")

    assert same.kind == Operation.Kind.RESTORE
    assert Deployment.objects.count() == 1
    assert Revision.objects.latest("number").code_digest == "b" * 64


def test_a_backup_with_what_is_refused_by_now_is_not_restored(
    alice: User, deployment: Deployment
) -> None:
    variable = {"key": "LD_PRELOAD", "value": "x.so", "secret_id": ""}
    before = deployment.wanted
    assert before
    Revision.objects.filter(pk=before.pk).update(config=before.config | {"variables": [variable]})
    backup = make_backup(alice, Deployment.objects.get(pk=deployment.pk))

    with pytest.raises(Refused, match="This backup cannot be restored. LD_PRELOAD is reserved"):
        restoring.restore_backup(actor=alice, backup=backup, typed_name="etl-prod")

    assert Revision.objects.filter(deployment=deployment).count() == 1


def test_an_upgrade_is_undone_by_the_backup_of_before(
    alice: User, make_deployment: Callable[..., Deployment]
) -> None:
    older = make_deployment(config={"runtime": "3.2.2-1"})
    backup = make_backup(alice, older)
    Backup.objects.filter(pk=backup.pk).update(airflow_version="3.2.2")
    backup.refresh_from_db()
    newer = Revision.objects.create(
        deployment=older,
        number=2,
        config=older.wanted.config | {"runtime": "3.3.2-1"},  # type: ignore[union-attr]
        state=RevisionState.APPLIED,
        applied_at=NOW,
    )
    Deployment.objects.filter(pk=older.pk).update(wanted=newer, applied=newer)

    operation = restoring.restore_backup(actor=alice, backup=backup, typed_name=older.name)

    older.refresh_from_db()
    assert operation.revision
    assert operation.revision.configuration.runtime == "3.2.2-1"
    assert older.wanted == operation.revision


def test_a_new_deployment_from_a_backup_has_its_keys_and_copies_of_its_secrets(
    alice: User, deployment: Deployment
) -> None:
    row = sealed.new_secret_value(workspace=deployment.workspace, value="orders-password")
    row.deployment = deployment
    row.save()
    variable = {"key": "ORDERS", "value": "", "secret_id": str(row.pk)}
    Revision.objects.filter(deployment=deployment).update(
        config=deployment.wanted.config | {"variables": [variable]}  # type: ignore[union-attr]
    )
    backup = make_backup(alice, Deployment.objects.get(pk=deployment.pk))

    made = restoring.restore_as_new(actor=alice, backup=backup, name="etl-copy").deployment

    deployment.refresh_from_db()
    assert made.wanted
    spec = compile_spec(deployment=made, revision=made.wanted)
    assert spec.restore
    assert spec.restore.pauses_dags
    assert spec.secrets.fernet_key == sealed.open_airflow_secrets(deployment).fernet_key
    assert spec.secrets.jwt_secret != sealed.open_airflow_secrets(deployment).jwt_secret
    assert [one.value for one in spec.variables] == ["orders-password"]
    assert made.wanted.configuration.secret_ids != (str(row.pk),)


def test_a_new_deployment_from_a_backup_may_have_a_newer_runtime(
    alice: User, make_deployment: Callable[..., Deployment]
) -> None:
    older = with_secrets(make_deployment(config={"runtime": "3.2.2-1"}))
    for digest, name in (("a" * 64, code_name("a" * 64)), ("b" * 64, lock_name("b" * 64))):
        default_storage.save(name, ContentFile(digest.encode()))
    code = {"code_digest": "a" * 64, "packages_digest": "b" * 64}
    Revision.objects.filter(deployment=older).update(**code)
    backup = make_backup(alice, Deployment.objects.get(pk=older.pk))
    Backup.objects.filter(pk=backup.pk).update(airflow_version="3.2.2")
    backup.refresh_from_db()

    def made(name: str, runtime: str = "") -> Revision:
        operation = restoring.restore_as_new(actor=alice, backup=backup, name=name, runtime=runtime)
        assert operation.revision
        return operation.revision

    same, newer = made("same"), made("newer", "3.3.2-1")

    assert (same.configuration.runtime, same.packages_digest) == ("3.2.2-1", "b" * 64)
    assert newer.configuration.runtime == "3.3.2-1"
    assert (newer.code_digest, newer.packages_digest) == ("", ""), "chosen for the other runtime"
    spec = compile_spec(deployment=newer.deployment, revision=newer)
    assert spec.restore
    assert (spec.restore.airflow_version, spec.runtime.airflow_version) == ("3.2.2", "3.3.2")
    for runtime in ("3.2.1-1", "3.1.8-1", "9.9.9-1", "<x>"):
        with pytest.raises(Invalid, match="Airflow 3.2.2 or newer, such as 3.2.2-1") as caught:
            made("older", runtime)
        assert caught.value.field == "runtime"


def test_a_backup_of_a_runtime_that_is_offered_no_more_is_not_lost(
    alice: User, deployment: Deployment
) -> None:
    backup = make_backup(alice, deployment)
    config = deployment.wanted.config | {"runtime": "3.0.6-1"}  # type: ignore[union-attr]
    Revision.objects.filter(deployment=deployment).update(config=config)
    Backup.objects.filter(pk=backup.pk).update(airflow_version="3.0.6")
    backup = Backup.objects.get(pk=backup.pk)

    with pytest.raises(Invalid, match="such as 3.1.8-1"):
        restoring.restore_as_new(actor=alice, backup=backup, name="new")
    made = restoring.restore_as_new(actor=alice, backup=backup, name="new", runtime="3.1.8-1")

    assert made.revision
    assert made.revision.configuration.runtime == "3.1.8-1"
    backup.airflow_version = "99.0"
    with pytest.raises(Refused, match="No runtime is offered"):
        restoring.restore_as_new(actor=alice, backup=backup, name="newer", runtime="3.3.2-1")


def test_a_file_that_is_gone_or_cut_off_is_never_restored(
    alice: User, deployment: Deployment
) -> None:
    backup = make_backup(alice, deployment)
    file_of(backup).write_bytes(b"dump")
    with pytest.raises(Refused, match="cut off"):
        restoring.restore_backup(actor=alice, backup=backup, typed_name="etl-prod")

    file_of(backup).unlink()

    with pytest.raises(Refused, match="is gone"):
        restoring.restore_as_new(actor=alice, backup=backup, name="new")
    services.remove_backup(actor=alice, backup=backup)
    assert not Backup.objects.exists()


def test_a_deployment_is_deleted_after_its_last_backup_and_not_without_it(
    alice: User, bob: User, make_deployment: Callable[..., Deployment], plane: type[FakePlane]
) -> None:
    kept, failing, refused = (with_secrets(make_deployment()) for _ in range(3))
    plane.store.fail("back_up", Permanent("No."), ref=failing.ref)

    for one, actor in ((kept, alice), (failing, alice), (refused, bob)):
        make_backup(
            actor,
            one,
            reason=Backup.Reason.DELETION,
            keep_days=30,
            then_deletes=True,
        )

    phases = [Deployment.objects.get(pk=one.pk).phase for one in (kept, failing, refused)]
    assert phases == [Phase.DELETING, Phase.ACTIVE, Phase.ACTIVE]
    assert "permission to delete it is missing" in refused.backups.get().failure


@pytest.mark.parametrize("what", ["withdrawn", "closed"])
def test_a_deletion_that_is_withdrawn_while_the_backup_is_written_does_not_come(
    alice: User, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    back_up = FakePlane.back_up

    def meanwhile(self: FakePlane, **asked: Any) -> Any:
        if what == "withdrawn":
            earlier_access_ended.send(sender=User, user=alice)
        else:
            User.objects.filter(pk=alice.pk).update(is_active=False)
        return back_up(self, **asked)

    monkeypatch.setattr(FakePlane, "back_up", meanwhile)
    reason = Backup.Reason.DELETION
    backup = make_backup(alice, deployment, reason=reason, keep_days=30, then_deletes=True)

    assert backup.state == BackupState.DONE
    assert backup.then_deletes == (what == "closed")
    assert Deployment.objects.get(pk=deployment.pk).phase == Phase.ACTIVE


def test_backups_end_with_their_time_and_strays_are_removed(
    alice: User, make_deployment: Callable[..., Deployment], folder: Path
) -> None:
    short = make_backup(alice, make_deployment(), keep_days=1)
    forever = make_backup(alice, make_deployment())
    stray = folder / "0b0b.dump"
    stray.write_bytes(b"")
    later = timezone.now() + timedelta(days=2)

    assert cleanup.remove_expired(now=later) == 1
    assert cleanup.remove_stray_files(now=timezone.now()) == 0
    assert cleanup.remove_stray_files(now=later) == 1

    assert not file_of(short).exists()
    assert [*folder.iterdir()] == [file_of(forever)]


def test_a_schedule_makes_one_backup_when_it_is_due_and_says_what_hindered_it(
    alice: User, deployment: Deployment
) -> None:
    schedule = services.save_schedule(
        actor=alice,
        deployment=deployment,
        weekday=None,
        at=time(2, 0),
        time_zone="Europe/Oslo",
        keep_days=14,
    )
    assert schedules.begin_due(now=schedule.next_at - timedelta(seconds=1)) == 0

    # The portal was away for three days.
    now = schedule.next_at + timedelta(days=3, hours=1)
    assert schedules.begin_due(now=now) == 1
    assert schedules.begin_due(now=now) == 0

    backup = Backup.objects.get()
    assert (backup.reason, backup.keep_days, backup.created_by) == ("schedule", 14, None)
    schedule.refresh_from_db()
    assert now < schedule.next_at < now + timedelta(days=1)
    Deployment.objects.filter(pk=deployment.pk).update(applied=None)
    assert schedules.begin_due(now=schedule.next_at) == 0
    schedule.refresh_from_db()
    assert "nothing to back up" in schedule.problem
    Deployment.objects.filter(pk=deployment.pk).update(phase=Phase.DELETED)
    assert schedules.begin_due(now=schedule.next_at) == 0
    assert not BackupSchedule.objects.exists()


@pytest.mark.parametrize(
    ("after", "weekday", "at", "zone", "due"),
    [
        ("2026-11-28T20:00", None, "21:00", "UTC", "2026-11-28T21:00"),
        ("2026-11-28T21:00", None, "21:00", "UTC", "2026-11-29T21:00"),
        ("2026-11-28T20:00", None, "02:00", "Europe/Oslo", "2026-11-29T01:00"),
        # Clocks go from 2 to 3: half past two is half past three then.
        ("2026-03-28T12:00", None, "02:30", "Europe/Oslo", "2026-03-29T01:30"),
        # They go back from 3 to 2: the first half past two, and not again an hour later.
        ("2026-10-24T12:00", None, "02:30", "Europe/Oslo", "2026-10-25T00:30"),
        ("2026-10-25T00:30", None, "02:30", "Europe/Oslo", "2026-10-26T01:30"),
        ("2026-11-28T20:00", 5, "21:00", "UTC", "2026-11-28T21:00"),
        ("2026-11-28T22:00", 5, "21:00", "UTC", "2026-12-05T21:00"),
        ("2026-11-28T20:00", 6, "00:00", "Pacific/Kiritimati", "2026-12-05T10:00"),
    ],
)
def test_schedules_follow_the_clocks_of_their_time_zone(
    after: str, weekday: int | None, at: str, zone: str, due: str
) -> None:
    found = services.next_time(
        weekday=weekday,
        at=time.fromisoformat(at),
        zone=ZoneInfo(zone),
        after=datetime.fromisoformat(after).replace(tzinfo=UTC),
    )

    assert found == datetime.fromisoformat(due).replace(tzinfo=UTC)


def test_every_day_has_exactly_one_turn_in_a_year_of_any_zone() -> None:
    for zone in ("America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"):
        moment, turns = datetime(2026, 1, 1, tzinfo=UTC), []
        while moment.year == 2026:
            moment = services.next_time(
                weekday=None, at=time(2, 15), zone=ZoneInfo(zone), after=moment
            )
            turns.append(moment.astimezone(ZoneInfo(zone)).date())
        assert len(turns) == len(set(turns)) in (365, 366)
