"""Backups in every state, schedules, and releases of Airflow, for the pages in a browser."""

from datetime import time, timedelta
from pathlib import Path
from uuid import UUID

from django.utils import timezone

from apps.accounts.models import User
from apps.backups.models import Backup, BackupSchedule
from apps.dataplane.hibernation.plans import HibernationPlan, Schedule, plan_to_json
from apps.deployments.models import Deployment
from apps.hibernation.models import Sleep
from apps.releases import trial
from apps.releases.models import Release, Source
from apps.upgrades.findings import finding
from apps.upgrades.models import Upgrade

CONTENT = b"an archive"
FULL = "The disk of /srv/a_very_long_folder_name/another/backups has no room for the backup."


def backups_on_stage(deployment: Deployment, author: User) -> list[UUID]:
    now = timezone.now()
    fields = {"deployment": deployment, "created_by": author, "revision": deployment.applied}
    done = {
        "state": "done",
        "airflow_version": "3.3.2",
        "size_bytes": len(CONTENT),
        "sha256": "0f" * 32,
        "started_at": now - timedelta(hours=3),
    }
    made = [
        Backup.objects.create(reason="manual", **fields, **done),
        Backup.objects.create(
            reason="schedule", expires_at=now + timedelta(days=9), **fields, **done
        ),
        Backup.objects.create(reason="upgrade", state="failed", failure=FULL * 3, **fields),
        Backup.objects.create(reason="deletion", state="running", started_at=now, **fields),
    ]
    _sleeps(deployment)
    path = Path(made[0].path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(CONTENT)
    BackupSchedule.objects.create(
        deployment=deployment,
        weekday=6,
        at=time(2, 30),
        time_zone="America/Argentina/ComodRivadavia",
        keep_days=30,
        next_at=now + timedelta(days=2),
        problem="There is nothing to back up until Airflow has started for the first time.",
    )
    _upgrades(deployment, author, made[0])
    return [one.pk for one in made]


def _upgrades(deployment: Deployment, author: User, backup: Backup) -> None:
    lines = ["etl/a_very_long_file_name_without_any_end.py, line 3: " + "x" * 300] * 4
    fields = {
        "deployment": deployment,
        "source": "3.2.2-1",
        "target": "3.3.2-1",
        "created_by": author,
        "findings": [finding(tone, FULL, FULL, lines) for tone in ("good", "move", "warn", "bad")],
    }
    Upgrade.objects.create(
        number=1, base=1, state="failed", failure=FULL * 4, backup=backup, **fields
    )
    Upgrade.objects.create(number=2, base=2, state="ready", **fields)


def _sleeps(deployment: Deployment) -> None:
    nights = Schedule(
        hibernate_at="30 19 * * MON,TUE,WED,THU,FRI",
        wake_at="*/15 6 * * *",
        time_zone="America/Argentina/ComodRivadavia",
        description="Nobody of data engineering works at night " + "x" * 60,
    )
    weekend = Schedule(hibernate_at="0 17 * * FRI", wake_at="0 9 * * MON", is_enabled=False)
    plan = HibernationPlan(schedules=(nights, weekend), idle_hours=6)
    Deployment.objects.filter(pk=deployment.pk).update(hibernation=plan_to_json(plan))
    began_at = timezone.now() - timedelta(days=2)
    Sleep.objects.create(
        deployment=deployment, began_at=began_at, ended_at=began_at + timedelta(hours=11), workers=2
    )


def releases_on_stage() -> None:
    now = timezone.now()
    keys = list(trial.STEPS)
    steps = [{"key": key, "state": "done", "detail": "x" * 90, "seconds": 40} for key in keys[:3]]
    fields = {"began_at": now - timedelta(minutes=9), "previous": "3.3.2-1"}
    published = now - timedelta(minutes=40)
    running = {"key": keys[3], "state": "running", "detail": "Installing.", "seconds": None}
    Release.objects.create(
        airflow_version="3.4.0",
        published_at=published,
        state="testing",
        step=keys[3],
        steps=[*steps, running],
        **fields,
    )
    failed = {"key": keys[3], "state": "failed", "detail": FULL, "seconds": 12}
    Release.objects.create(
        airflow_version="3.3.9",
        published_at=published,
        state="failed",
        failure="The packages of this Airflow do not fit together. " * 6,
        log=["× No solution found " + "y" * 400] * 5,
        steps=[*steps, failed],
        ended_at=now,
        **fields,
    )
    Source.objects.create(
        name="index", checked_at=now, problem="The package index answered with status 503."
    )
    Source.objects.create(name="feed", checked_at=now, problem="The feed is not a signed document.")
