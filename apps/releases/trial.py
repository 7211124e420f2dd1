"""The trial of a release on this machine, in steps that each may be interrupted and repeated.

    lock ─▶ start ─▶ celery ─▶ switch ─▶ local ─▶ sign-in ─▶ tidy
         ─▶ previous ─▶ history ─▶ upgrade ─▶ verify ─▶ clean     ─▶ tested
    any step that fails ─▶ clean ─▶ failed

One worker at a time holds the claim, for one turn of some minutes; what was reached is on the row,
so a worker that was killed is followed by another. One release is tested at a time.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.module_loading import import_string
from packaging.version import Version

from apps.dataplane.airflow_token import AirflowUser
from apps.dataplane.base import DataPlane, SupportsReleases
from apps.dataplane.errors import DataPlaneError, Permanent, Temporary
from apps.dataplane.spec import DeploymentSpec, ExecutorName, RuntimeSpec
from apps.releases import shelf
from apps.releases.airflows import has_run, run_dags, spec_of
from apps.releases.models import OPEN, Release, ReleaseState
from apps.runtimes.catalogue import Runtime, offered_runtimes

logger = logging.getLogger(__name__)

# Short, so that other jobs of the background have their turns between.
TURN_SECONDS = 20
LEASE = timedelta(seconds=TURN_SECONDS + 360)
STEP_ALLOWED = timedelta(minutes=30)
BETWEEN_LOOKS_SECONDS = 1.0
LOG_LINES = 40
Outcome = tuple[bool, str]


@dataclass
class Trial:
    """What the steps share."""

    release: Release
    plane: DataPlane

    def new(self, executor: ExecutorName, revision: int) -> DeploymentSpec:
        name = f"{self.release.airflow_version}-new"
        return spec_of(name, self._runtime(), executor=executor, revision=revision)

    def upgraded(self, runtime: RuntimeSpec | None, revision: int) -> DeploymentSpec:
        """The Airflow that begins with the previous runtime; None is the release itself."""
        name = f"{self.release.airflow_version}-old"
        return spec_of(name, runtime or self._runtime(), executor="local", revision=revision)

    def previous(self) -> RuntimeSpec | None:
        found = _previous(self.release)
        return _spec(found) if found else None

    def _runtime(self) -> RuntimeSpec:
        version = self.release.airflow_version
        return RuntimeSpec(
            version=self.release.runtime,
            airflow_version=version,
            image=f"apache/airflow:{version}",
            lock_path=shelf.write_lock(self.release),
        )


def turn(*, now: datetime, seconds: float = TURN_SECONDS) -> Release | None:
    """Continue the trial that is due, for some minutes; return its release. None without one."""
    release = _claim(now)
    if release is None:
        return None
    trial = Trial(release, import_string(settings.DATA_PLANES["local"])())
    deadline = time.monotonic() + seconds
    while release.state == ReleaseState.TESTING and time.monotonic() < deadline:
        if not _advance(trial):
            time.sleep(min(BETWEEN_LOOKS_SECONDS, max(0.0, deadline - time.monotonic())))
    release.lease_until = None
    release.save(update_fields=["lease_until"])
    return release


def try_again(release: Release) -> bool:
    """Test a release that failed once more; return whether it had failed."""
    rows = Release.objects.filter(pk=release.pk, state=ReleaseState.FAILED)
    return bool(
        rows.update(state=ReleaseState.FOUND, failure="", log=[], steps=[], step="", lock="")
    )


def titles(release: Release) -> list[tuple[str, str]]:
    """Return the keys and titles of all steps."""
    before = release.previous or "the previous runtime"
    return [(key, title.format(before=before)) for key, (title, _) in STEPS.items()]


def _claim(now: datetime) -> Release | None:
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    rows = Release.objects.filter(free, state__in=OPEN)
    # One that is being tested comes first, then the newest: people wait for that.
    release = rows.order_by("-state", "-published_at").first()
    if release is None:
        return None
    changes: dict[str, Any] = {"state": ReleaseState.TESTING, "lease_until": now + LEASE}
    if not release.step:
        found = _previous(release)
        changes |= {
            "step": next(iter(STEPS)),
            "step_began_at": now,
            "began_at": now,
            "previous": found.version if found else "",
        }
    try:
        with transaction.atomic():
            if not rows.filter(pk=release.pk).update(**changes):
                return None
    except IntegrityError:
        return None  # another one is being tested
    return Release.objects.get(pk=release.pk)


def _advance(trial: Trial) -> bool:
    """Work on the step that is next; return whether it is done."""
    release = trial.release
    try:
        is_done, detail = STEPS[release.step][1](trial)
        if not is_done and _is_late(release):
            raise Permanent(f"It did not end within {STEP_ALLOWED.seconds // 60} minutes. {detail}")
    except Temporary as error:
        if not _is_late(release):
            _note(release, "running", error.message)
            return False
        _fail(release, error)
        return True
    except DataPlaneError as error:
        _fail(release, error)
        return True
    _note(release, "done" if is_done else "running", detail)
    if is_done:
        _next(release)
    return is_done


def _is_late(release: Release) -> bool:
    began = release.step_began_at or release.found_at
    return timezone.now() - began > STEP_ALLOWED


def _next(release: Release) -> None:
    keys = list(STEPS)
    place = keys.index(release.step) + 1
    if place == len(keys):
        _end(release)
        return
    release.step, release.step_began_at = keys[place], timezone.now()
    release.save(update_fields=["step", "step_began_at"])


def _fail(release: Release, error: DataPlaneError) -> None:
    """Go to the last step, which cleans up; one that fails itself leaves what is there."""
    logger.warning("release failed", extra={"release": release.airflow_version})
    _note(release, "failed", error.message)
    release.failure = release.failure or error.message[:1000]
    release.log = release.log or list(error.log)[-LOG_LINES:]
    last = list(STEPS)[-1]
    if release.step == last:
        _end(release)
        return
    release.step, release.step_began_at = last, timezone.now()
    release.save(update_fields=["failure", "log", "step", "step_began_at"])


def _end(release: Release) -> None:
    release.state = ReleaseState.FAILED if release.failure else ReleaseState.TESTED
    release.ended_at = timezone.now()
    release.save()
    shelf.write()


def _note(release: Release, state: str, detail: str) -> None:
    """Write how a step is, if that changed."""
    began = release.step_began_at or timezone.now()
    row = {
        "key": release.step,
        "state": state,
        "detail": detail[:500],
        "seconds": round((timezone.now() - began).total_seconds()) if state != "running" else None,
    }
    others = [one for one in release.steps if one["key"] != release.step]
    if [*others, row] != release.steps:
        release.steps = [*others, row]
        release.save(update_fields=["steps"])


def _previous(release: Release) -> Runtime | None:
    """Return the newest offered runtime that is older."""
    own = Version(release.airflow_version)
    offered = offered_runtimes(today=timezone.now().date())
    return next((one for one in offered if Version(one.airflow_version) < own), None)


def _spec(runtime: Runtime) -> RuntimeSpec:
    return RuntimeSpec(
        version=runtime.version,
        airflow_version=runtime.airflow_version,
        image=runtime.image,
        lock_path=str(runtime.lock_path),
    )


def _lock(trial: Trial) -> Outcome:
    if not isinstance(trial.plane, SupportsReleases):
        raise Permanent("Releases are tested on the portal's own machine only.")
    release = trial.release
    if not release.lock:
        release.lock = trial.plane.lock_runtime(airflow_version=release.airflow_version)
        release.save(update_fields=["lock"])
    count = sum("==" in line for line in release.lock.splitlines() if not line.startswith(" "))
    return True, f"{count} packages, each with its hashes."


def _apply(trial: Trial, spec: DeploymentSpec) -> Outcome:
    progress = trial.plane.apply(spec=spec)
    if progress.is_done:
        return True, ""
    running = next((one for one in progress.steps if one.state == "running"), None)
    return False, f"{running.title}. {running.detail}".strip() if running else ""


def _remove(trial: Trial, spec: DeploymentSpec) -> Outcome:
    return trial.plane.delete(ref=spec.ref).is_done, ""


def _sign_in(trial: Trial) -> Outcome:
    viewer = AirflowUser("trial@example.org", "viewer")
    spec = trial.new("local", 2)
    allowed = ("/api/v2/dags", 200), ("/api/v2/connections", 403)
    for path, expected in allowed:
        answer = trial.plane.airflow(spec=spec, method="GET", path=path, user=viewer)
        if answer.status != expected:
            raise Permanent(
                f"A viewer got status {answer.status} for {path}, and should get {expected}."
            )
    return True, "A viewer sees DAGs, and no connections."


def _start_previous(trial: Trial) -> Outcome:
    before = trial.previous()
    if before is None:
        return True, "There is no older runtime."
    return _apply(trial, trial.upgraded(before, 1))


def _make_history(trial: Trial) -> Outcome:
    before = trial.previous()
    if before is None:
        return True, "There is no older runtime."
    return run_dags(trial.plane, trial.upgraded(before, 1), "trial-before")


def _verify(trial: Trial) -> Outcome:
    spec = trial.upgraded(None, 2)
    if trial.previous() and not has_run(trial.plane, spec, "trial-before"):
        raise Permanent("Runs of the previous runtime are missing after the upgrade.")
    return run_dags(trial.plane, spec, "trial-after")


def _clean(trial: Trial) -> Outcome:
    done = [_remove(trial, spec)[0] for spec in (trial.new("local", 2), trial.upgraded(None, 2))]
    return all(done), ""


STEPS: dict[str, tuple[str, Callable[[Trial], Outcome]]] = {
    "lock": ("Lock all packages with hashes", _lock),
    "start": (
        "Install, migrate a new database, start with Celery",
        lambda trial: _apply(trial, trial.new("celery", 1)),
    ),
    "celery": (
        "Run the example DAGs with Celery",
        lambda trial: run_dags(trial.plane, trial.new("celery", 1), "trial-celery"),
    ),
    "switch": (
        "Switch to the Local executor",
        lambda trial: _apply(trial, trial.new("local", 2)),
    ),
    "local": (
        "Run the example DAGs with the Local executor",
        lambda trial: run_dags(trial.plane, trial.new("local", 2), "trial-local"),
    ),
    "sign-in": ("Sign in through the portal", _sign_in),
    "tidy": ("Delete it", lambda trial: _remove(trial, trial.new("local", 2))),
    "previous": ("Start {before}", _start_previous),
    "history": ("Run the example DAGs with {before}", _make_history),
    "upgrade": (
        "Upgrade its database",
        lambda trial: _apply(trial, trial.upgraded(None, 2)),
    ),
    "verify": ("Find the earlier runs, and run the DAGs again", _verify),
    "clean": ("Delete what the test made", _clean),
}
