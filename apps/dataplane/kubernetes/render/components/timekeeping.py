"""Hibernation without the portal: a CronJob for each time of the plan, in its time zone.

Each starts the same program, which reads the plan with the portal's own modules and does what that
says of now: an extra start does nothing, and schedules that overlap add up. Kubernetes skips times
in an hour that a clock leaves out; those of the night are looked at again an hour later.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cronsim import CronSim

from apps.dataplane.hibernation import plans, turns
from apps.dataplane.hibernation.plans import HibernationPlan, Schedule, plan_to_json
from apps.dataplane.kubernetes import names
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render import sizes
from apps.dataplane.kubernetes.render.places import TIMEKEEPING
from apps.dataplane.kubernetes.render.pods.access import HIBERNATION
from apps.dataplane.kubernetes.render.pods.placement import job_metadata
from apps.dataplane.kubernetes.render.pods.pods import (
    AIRFLOW_USER,
    closed_container,
    restricted_pod,
)
from apps.dataplane.kubernetes.render.pods.portal_files import PORTAL_FILES, RUNTIME_FOLDER
from apps.dataplane.kubernetes.render.target import API_SERVICE, POOLER_SERVICE, Target

PROGRAM, PROGRAM_FILES = "hibernate.py", "timekeeping"
# After a night in which the cluster itself was away the last time still counts.
LATE_SECONDS = 6 * 3600
# Clocks leave out an hour between these, whatever the country.
NIGHT_HOURS = 4


def program_and_plan(target: Target) -> tuple[Manifest, ...]:
    """Return their ConfigMaps; none where no time has to be kept."""
    if not target.keeps_time:
        return ()
    data = {"plan.json": json.dumps(_told(target), sort_keys=True, indent=1)}
    return (
        target.manifest("ConfigMap", PROGRAM_FILES, component=PORTAL_FILES, data=_sources()),
        target.manifest("ConfigMap", HIBERNATION, component=HIBERNATION, data=data),
    )


def cron_jobs(target: Target) -> list[Manifest]:
    """Return the CronJobs; none where no time has to be kept."""
    if not target.keeps_time:
        return []
    return [_cron_job(target, *one) for one in _times(target.spec.hibernation)]


@cache
def _sources() -> dict[str, str]:
    found = find_spec("cronsim.cronsim")
    cronsim = Path(str(found.origin)) if found else Path()
    paths = {
        PROGRAM: RUNTIME_FOLDER / "timekeeping" / PROGRAM,
        "plans.py": Path(plans.__file__),
        "turns.py": Path(turns.__file__),
        "cronsim.py": cronsim,
    }
    return {name: path.read_text() for name, path in paths.items()}


def _told(target: Target) -> dict[str, Any]:
    """Return what the program reads. What stops last serves tasks that still run."""
    spec, plan = target.spec, target.spec.hibernation
    quiet = tuple(replace(one, description="") for one in plan.schedules if one.is_enabled)
    runs_tasks = ["worker", "task", *(["scheduler"] if spec.executor == "local" else [])]
    return {
        "plan": plan_to_json(replace(plan, schedules=quiet)),
        "scalers": target.scaled_names,
        "first": {name: n for name, n in target.awake.items() if name not in _LAST},
        "last": {name: n for name, n in target.awake.items() if name in _LAST},
        "tasks": f"{names.DEPLOYMENT_LABEL}={spec.ref},"
        f"{names.COMPONENT_LABEL} in ({','.join(runs_tasks)})",
    }


_LAST = (API_SERVICE, POOLER_SERVICE)


def _times(plan: HibernationPlan) -> Iterator[tuple[str, str, str]]:
    """Yield name, cron expression and time zone of each CronJob."""
    enabled = [one for one in plan.schedules if one.is_enabled]
    for number, schedule in enumerate(enabled, start=1):
        yield f"hibernate-{number}", _cron(schedule.hibernate_at, schedule), schedule.time_zone
        yield f"wake-{number}", _cron(schedule.wake_at, schedule), schedule.time_zone
    if plan.override and plan.override.until:
        # Cron knows no seconds: at the first minute after it.
        at = plan.override.until.astimezone(UTC) + timedelta(seconds=59)
        yield "override-end", f"{at.minute} {at.hour} {at.day} {at.month} *", "Etc/UTC"


def _cron(text: str, schedule: Schedule) -> str:
    """Write an expression as every Kubernetes reads it. What it cannot say, such as the last day of
    a month, becomes every day: the program knows better.
    """
    found = CronSim(text, datetime(2024, 1, 1, tzinfo=UTC))
    hours = set(found.hours)
    if schedule.time_zone not in ("UTC", "Etc/UTC"):
        hours |= {hour + 1 for hour in hours if hour < NIGHT_HOURS}
    days = _listed(found.days, range(1, 32))
    weekdays = _listed({_weekday(day) for day in found.weekdays}, range(7))
    if "*" in (days, weekdays) and not found.day_and:
        days = weekdays = "*"
    fields = (
        _listed(found.minutes, range(60)),
        _listed(hours, range(24)),
        days,
        _listed(found.months, range(1, 13)),
        weekdays,
    )
    return " ".join(fields)


def _weekday(day: object) -> object:
    return day % 7 if isinstance(day, int) else day


def _listed(values: set[Any], every: range) -> str:
    """Write a field; one with anything else than numbers is open."""
    if values >= set(every) or not values <= set(every):
        return "*"
    return ",".join(map(str, sorted(values)))


def _cron_job(target: Target, name: str, cron: str, time_zone: str) -> Manifest:
    container = {
        "name": HIBERNATION,
        "image": target.runtime_image,
        "args": ["python", f"{TIMEKEEPING}/{PROGRAM}"],
        "env": [{"name": "CONNECTION_CHECK_MAX_COUNT", "value": "0"}],
        "volumeMounts": [{"name": "timekeeping", "mountPath": TIMEKEEPING, "readOnly": True}],
        **closed_container(sizes.CLEANUP),
    }
    pod = {
        **restricted_pod(target, user=AIRFLOW_USER, group=0),
        "serviceAccountName": HIBERNATION,
        "automountServiceAccountToken": True,
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [_volume()],
    }
    job = {
        "backoffLimit": 6,
        "activeDeadlineSeconds": target.spec.hibernation.task_minutes * 60 + 1800,
        "template": {"metadata": job_metadata(target, HIBERNATION), "spec": pod},
    }
    spec = {
        "schedule": cron,
        "timeZone": time_zone,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": LATE_SECONDS,
        "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 1,
        "jobTemplate": {"metadata": {"labels": target.labels(HIBERNATION)}, "spec": job},
    }
    return target.manifest("batch/v1 CronJob", name, component=HIBERNATION, spec=spec)


def _volume() -> dict[str, Any]:
    """Return the program, with the portal's modules at the paths from which they are imported."""
    below = {name: f"apps/dataplane/hibernation/{name}" for name in ("plans.py", "turns.py")}
    items = [
        {"key": name, "path": path}
        for name, path in {PROGRAM: PROGRAM, "cronsim.py": "cronsim.py", **below}.items()
    ]
    return {"name": "timekeeping", "configMap": {"name": PROGRAM_FILES, "items": items}}
