"""The worker sizes are those that Astro's users know."""

from apps.dataplane.kubernetes.render.sizes import SIZES, worker_share

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
