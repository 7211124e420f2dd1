"""A Deployment on this machine that hibernates, from the time it is to wake until it is healthy, by
the keeper alone; and the processor time that its processes took until then, which a busy machine
does not change.
"""

from datetime import UTC, datetime, timedelta

import psutil

from apps.dataplane.hibernation.plans import HibernationPlan, Override
from bench.report import Line
from tests.dataplane.local_world import LocalWorld, local_world
from tests.dataplane.specs import make_runtime, make_spec
from tests.dataplane.world import eventually

MOST_SECONDS = 30
REF = "dozing-comet"
SOON = timedelta(seconds=8)


def run() -> tuple[list[Line], list[str]]:
    with local_world(make_runtime()) as world:
        world.create(make_spec(REF, executor="celery"))
        took, cpu = [], []
        for _ in range(3):
            seconds, cpu_seconds = _wake(world)
            took.append(seconds)
            cpu.append(cpu_seconds)
        world.delete()
    middle = sorted(took)[1]
    return [
        Line(
            name="waking, from its time until healthy",
            ours=f"{middle:.0f} s, {sorted(cpu)[1]:.0f} s CPU",
            goal=f"<= {MOST_SECONDS} s",
            is_met=middle <= MOST_SECONDS,
        )
    ], [f"three times: {', '.join(f'{one:.0f} s' for one in took)}, with one Celery worker"]


def _wake(world: LocalWorld) -> tuple[float, float]:
    world.apply(hibernation=_asleep(until=None))
    until = datetime.now(UTC) + SOON
    world.apply(hibernation=_asleep(until=until))
    eventually(lambda: world.pids(), seconds=60, every=0.1)
    eventually(lambda: world.plane.observe(ref=REF).health == "healthy", seconds=240, every=0.1)
    return (datetime.now(UTC) - until).total_seconds(), _cpu_seconds(world)


def _asleep(*, until: datetime | None) -> HibernationPlan:
    now = datetime.now(UTC)
    return HibernationPlan(override=Override(is_hibernating=True, since=now, until=until))


def _cpu_seconds(world: LocalWorld) -> float:
    """Return the processor time of all that runs of it, and of the children that ended."""
    found = [psutil.Process(pid) for pid in world.pids().values()]
    all_of = [*found, *(child for one in found for child in one.children(recursive=True))]
    times = [one.cpu_times() for one in all_of if one.is_running()]
    return sum(one.user + one.system + one.children_user + one.children_system for one in times)
