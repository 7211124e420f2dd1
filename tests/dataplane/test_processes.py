"""What processes use: of this one, which is there in any case."""

import os

from apps.dataplane.local.machine.processes import CpuMeter, TreeUsage, tree_usage

NO_PID = 2**22 + 1


def used(cpu_seconds: float) -> TreeUsage:
    return TreeUsage(memory_bytes=1, cpu_seconds=cpu_seconds)


def test_cpu_is_what_was_used_between_two_looks():
    meter = CpuMeter()
    looks = [(0.0, 5.0), (10.0, 7.5), (10.5, 8.0), (20.0, 7.5), (30.0, 6.0), (900.0, 9.0)]

    told = [meter.millis(7, used(cpu), now=now) for now, cpu in looks]

    # The first look knows of none before it, nor does one after a long time.
    assert told == [None, 250, None, 0, 0, None]
    assert meter.millis(8, used(1.0), now=901.0) is None


def test_the_meter_forgets_processes_that_are_gone():
    meter = CpuMeter()
    for pid in range(3000):
        meter.millis(pid, used(0.0), now=float(pid))

    assert len(meter.known) <= 1001


def test_a_process_uses_memory_and_cpu_and_one_that_ended_nothing():
    mine = tree_usage(os.getpid())

    assert mine.memory_bytes > 2**20
    assert mine.cpu_seconds > 0
    assert tree_usage(NO_PID) == TreeUsage(memory_bytes=0, cpu_seconds=0.0)
