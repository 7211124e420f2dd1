"""A real Celery worker on a plane that writes a journal: to be killed, stopped and woken up."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from apps.dataplane import fence
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.status import Observation, Progress

JOURNAL, POISON = "TEST_JOURNAL", "TEST_POISON"
GROUP, STEP = "TEST_CONTROL_GROUP", "TEST_STEP_SECONDS"
LEASE_SECONDS, FENCE_MARGIN_SECONDS = 6.0, 1.0
STEPS, STEP_SECONDS, SHORT_STEP_SECONDS = 6, 0.5, 0.05
MOST_EATEN_MB = 2048
# As in the settings: a pass is asked to end, then killed, before its lease ends.
LIMITS = {"soft_time_limit": 4.0, "time_limit": 5.0}


@dataclass(frozen=True)
class Line:
    """One step of an apply, as its worker wrote it."""

    pid: int
    ref: str
    revision: int
    step: int


def crash() -> None:
    """End the process at once, as a fault in a library does."""
    os.kill(os.getpid(), signal.SIGSEGV)


def loop() -> None:
    while True:
        time.sleep(0.01)


def loop_deaf() -> None:
    """Go on whatever is raised in here, as a loop with a wide `except` does."""
    while True:
        with suppress(Exception):
            loop()


def eat() -> None:
    """Take memory, far more than a worker may have."""
    taken = []
    while len(taken) < MOST_EATEN_MB:
        taken.append(b"x" * 2**20)


class JournalPlane(FakePlane):
    """It applies in steps, each a line of the journal, and is what the journal says. Applying what
    is named as poison does what its venom says: JSON, of each ref its venom.
    """

    def apply(self, *, spec: DeploymentSpec) -> Progress:
        for step in range(STEPS):
            fence.check()
            with Path(os.environ[JOURNAL]).open("a") as journal:
                journal.write(f"{os.getpid()} {spec.ref} {spec.revision} {step}\n")
            if venom := json.loads(os.environ.get(POISON, "{}")).get(spec.ref):
                VENOMS[venom]()
            time.sleep(float(os.environ.get(STEP, STEP_SECONDS)))
        return Progress(steps=(), is_done=True)

    def observe(self, *, ref: str) -> Observation:
        lines = [line for line in read(Path(os.environ[JOURNAL])) if line.ref == ref]
        done = [line.revision for line in lines if line.step == STEPS - 1]
        return Observation(
            observed_at=datetime.now(UTC),
            exists=bool(done),
            applied_revision=done[-1] if done else 0,
            health="healthy",
            message="Airflow is healthy.",
        )


VENOMS = {venom.__name__: venom for venom in (crash, loop, loop_deaf, eat)}


def read(journal: Path) -> list[Line]:
    if not journal.exists():
        return []
    found = [line.split() for line in journal.read_text().splitlines()]
    return [Line(int(pid), ref, int(revision), int(step)) for pid, ref, revision, step in found]


class Worker:
    """A worker with one child, in processes of its own."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        with log.open("a") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.deployments.workers"],
                env=environment,
                stdout=output,
                stderr=output,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all its processes, the parent first."""
        for process in self._family():
            process.send_signal(number)

    def kill_child(self) -> None:
        for process in self._family()[1:]:
            process.kill()

    def end(self) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGKILL)
        self.process.wait()

    def _family(self) -> list[psutil.Process]:
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]


def main() -> None:
    if GROUP in os.environ:
        Path(os.environ[GROUP], "cgroup.procs").write_text(str(os.getpid()))
    import django  # noqa: PLC0415 - settings are read when this runs as a program

    django.setup()
    from django.conf import settings  # noqa: PLC0415

    from apps.deployments.reconciling import lifecycle, reconciler  # noqa: PLC0415
    from astro_portal.celery import app  # noqa: PLC0415

    settings.DATA_PLANES = {"local": "tests.deployments.workers.JournalPlane"}
    lifecycle.LEASE_SECONDS = LEASE_SECONDS
    lifecycle.claim.__kwdefaults__["seconds"] = LEASE_SECONDS
    reconciler.FENCE_MARGIN_SECONDS = FENCE_MARGIN_SECONDS
    queues = "interactive,reconcile.0,background"
    app.worker_main(
        ["worker", "--concurrency", "1", "--queues", queues, "--without-gossip", "--without-mingle"]
    )


if __name__ == "__main__":
    main()
