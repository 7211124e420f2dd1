"""The worker sizes are those that Astro's users know."""

from dataclasses import replace

from apps.dataplane.kubernetes.render.sizes import SIZES, limits_of, worker_share
from apps.dataplane.spec import WorkerQueue
from apps.dataplane.status import Usage
from tests.dataplane.specs import make_spec

ASTRO = {
    "A5": (1, 2, 5, 15),
    "A10": (2, 4, 10, 30),
    "A20": (4, 8, 20, 60),
    "A40": (8, 16, 40, 120),
    "A60": (12, 24, 60, 180),
    "A120": (24, 48, 120, 360),
    "A160": (32, 64, 160, 480),
}


def test_the_sizes_are_those_of_astro() -> None:
    found = {
        size.name: (size.cpus, size.memory_gib, size.usual_tasks, size.most_tasks) for size in SIZES
    }

    assert found == ASTRO


def test_a_worker_is_promised_a_quarter_of_its_cpus_and_all_its_memory() -> None:
    share = worker_share("A20")

    assert (share.cpu_millis, share.most_cpu_millis, share.memory_mib) == (1000, 4000, 8192)


def test_a_component_may_use_what_its_pods_that_run_may_use() -> None:
    queue = WorkerQueue(name="heavy", concurrency=4, min_workers=0, max_workers=9, size="A10")
    spec = replace(make_spec("a-b"), queues=(queue,))

    found = limits_of(spec, {"scheduler": 1, "worker heavy": 3, "worker gone": 2, "triggerer": 0})

    assert found == {
        "scheduler": Usage(memory_bytes=1536 * 2**20, cpu_millis=2000),
        "worker heavy": Usage(memory_bytes=3 * 4 * 2**30, cpu_millis=6000),
    }
